"""The assertion for other people's tests, and the fixture of the same name."""

import subprocess
import sys

import numpy as np
import pytest

import headwise as hw
from headwise.testing import assert_attention


def unscaled(X, Wq, Wk, Wv):
    s = (X @ Wq.T) @ (X @ Wk.T).T
    p = np.exp(s - s.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) @ (X @ Wv.T)


def test_a_right_function_passes():
    assert assert_attention(hw.self_attention).ok


def test_a_wrong_one_fails_with_its_mistake():
    with pytest.raises(AssertionError, match="unscaled: scale-missing"):
        assert_attention(unscaled, kind="self_attention")


def test_a_notebook_or_another_grader_needs_no_pytest():
    program = (
        "import sys; sys.modules['pytest'] = None\nimport headwise\nfrom headwise.testing import assert_attention\n"
        "print(assert_attention(headwise.self_attention).ok)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "True\n"


def test_the_fixture(tmp_path):
    test = tmp_path / "test_mine.py"
    test.write_text("def test_mine(assert_attention):\n    assert_attention(lambda X, Wq, Wk, Wv: X @ Wv.T)\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "AssertionError: <lambda>: " in done.stdout
    assert "def assert_attention" not in done.stdout  # the report, and not our own frames

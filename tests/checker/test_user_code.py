"""Files and functions that end the process, or close and replace what belongs to it."""

import io
import os
import sys

import pytest

import headwise as hw
from headwise.checker.detection.refusal import UncallableError
from helpers.commands import headwise, headwise_process

RIGHT = """
import sys, os
import numpy as np
def attention(q, k, v):
    HERE
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ v
"""


class OddError(BaseException):
    def __str__(self):
        raise SystemExit(3)


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), OddError()])
def test_whatever_a_function_raises_is_its_error(error):
    def fails(q, k, v):
        raise error

    with pytest.raises(UncallableError, match=type(error).__name__):
        hw.check(fails)


def test_ctrl_c_during_a_call_interrupts():
    def interrupted(q, k, v):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hw.check(interrupted)


@pytest.mark.sampled
@pytest.mark.parametrize("line", ["import os; os._exit(0)", "sys.exit(0)", "raise GeneratorExit"])
@pytest.mark.parametrize("when", ["imported", "called"])
def test_a_file_that_ends_the_process_has_status_2(line, when, tmp_path):
    text = RIGHT.replace("HERE", line) if when == "called" else f"import sys\n{line}\n"
    (tmp_path / "mine.py").write_text(text)
    done = headwise_process("check", "mine.py:attention", folder=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stdout.startswith("def adapter(") if when == "called" else not done.stdout
    assert ("it raised" if when == "called" else "fails when it is imported") in done.stderr


def test_a_child_of_a_file_still_ends(tmp_path):
    fork = "if (child := os.fork()) == 0: os._exit(7)\nassert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    (tmp_path / "mine.py").write_text(RIGHT.replace("HERE", "pass") + fork)
    done = headwise_process("check", "mine.py", folder=tmp_path)
    assert (done.returncode, done.stdout.count("is right")) == (0, 1), done.stderr


@pytest.mark.sampled
@pytest.mark.parametrize(
    "line",
    [
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout = sys.stderr = None",
        "import io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
        "import faulthandler; faulthandler.enable(); faulthandler.disable()",
        "print('hello'); print('hello', file=sys.stderr)",
        "import builtins; builtins.print = builtins.open = None",
    ],
)
@pytest.mark.parametrize("when", ["imported", "called"])
def test_the_streams_of_the_process_are_out_of_reach(line, when, tmp_path):
    (tmp_path / "mine.py").write_text(RIGHT.replace("HERE", line if when == "called" else "pass") + line + "\n")
    done = headwise("check", "mine.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("attention is right")


def test_a_function_may_import_its_neighbours_when_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_mine.py").write_text("from numpy import sqrt\n")
    (tmp_path / "mine.py").write_text(RIGHT.replace("HERE", "from neighbour_of_mine import sqrt"))
    assert headwise("check", tmp_path / "mine.py").returncode == 0
    assert sys.path[-1] == str(tmp_path)  # behind what is installed


def test_afterwards_everything_is_as_before():
    before = sys.stdout, sys.stderr, os._exit, print
    assert hw.check(hw.self_attention).ok
    assert (sys.stdout, sys.stderr, os._exit, print) == before
    assert isinstance(sys.stdout, io.TextIOBase)

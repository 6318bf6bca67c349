"""`headwise report`, as a user would run it; what it writes is tested with the studies."""

import subprocess
import sys

import numpy as np
import pytest

from headwise.data.array_files import coursework_arrays


def headwise(*arguments, folder):
    command = [sys.executable, "-m", "headwise", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


def test_one_part_says_what_it_found_and_how_to_make_it_again(tmp_path):
    made = headwise("--quick", "--part", "gaussian", "--seed", 3, "--out", "here", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "Least squares on a Gaussian" in made.stdout
    assert "1/1 gaussian: correlation by least squares" in made.stderr
    page = (tmp_path / "here" / "index.html").read_text()
    assert "headwise report --quick --part gaussian --seed 3" in page
    assert "This is the quick report" in page
    assert 'id="attention"' not in page


def test_arrays_of_ones_own_with_tokens_as_columns(tmp_path):
    own = coursework_arrays()
    own["X"] = np.ascontiguousarray(own["X"][:4].T) + 1  # (D, N)
    np.savez(tmp_path / "mine.npz", **own)
    asked = ("--quick", "--part", "attention", "--arrays", "mine.npz")
    refused = headwise(*asked, folder=tmp_path)
    assert refused.returncode == 2
    assert "Wq: expected (d, D=4) because X is (6, 4); got (6, 6)" in refused.stderr
    assert not (tmp_path / "report").exists()
    np.savez(tmp_path / "flat.npz", **{**own, "X": own["X"][0]})
    refused = headwise("--arrays", "flat.npz", "--columns", folder=tmp_path)
    assert refused.returncode == 2
    assert "X: expected (..., D, N); got (4,)" in refused.stderr
    made = headwise(*asked, "--columns", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "those of mine.npz, whose X has a token in each column" in page
    assert "N = 4 tokens" in page
    assert "over 24 permutations" in made.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quick", "--full"), "expected one of them at most"),
        (("--columns",), "was not given"),
        (("--part", "vison"), "expected attention, vision, series, gaussian; got vison"),
        (("--workers", 0), "expected 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(arguments, message, tmp_path):
    refused = headwise(*arguments, folder=tmp_path)
    assert refused.returncode == 2
    assert message in " ".join(refused.stderr.split())
    assert not list(tmp_path.iterdir())

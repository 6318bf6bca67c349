"""``headwise report`` as a user runs it; its contents are tested with the coursework."""

from dataclasses import replace

import numpy as np
import pytest

from headwise.coursework.report import BUDGETS
from headwise.data.array_files import coursework_arrays
from helpers.budgets import TINY
from helpers.commands import headwise
from helpers.notebooks import NOTEBOOKS


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The quick report at the smallest size."""
    monkeypatch.setitem(BUDGETS, "quick", replace(TINY, name="quick"))


def report(*arguments, folder):
    return headwise("report", *arguments, folder=folder)


@pytest.mark.exhaustive  # a notebook's report has the parts, too
def test_one_part_with_its_results_and_its_command(tmp_path):
    shown = report("--quick", "--part", "gaussian", "--seed", 3, "--out", "here", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "Least squares on a Gaussian" in shown.stdout
    assert "1/1 gaussian: correlation by least squares" in shown.stderr
    page = (tmp_path / "here" / "index.html").read_text()
    assert "headwise report --quick --part gaussian --seed 3" in page
    assert "This is the quick report" in page
    assert 'id="attention"' not in page


@pytest.mark.exhaustive  # tests/coursework/test_notebook.py reads arrays with tokens as columns
def test_other_arrays_with_tokens_as_columns(tmp_path):
    own = coursework_arrays()
    own["X"] = np.ascontiguousarray(own["X"][:4].T) + 1  # (D, N)
    np.savez(tmp_path / "mine.npz", **own)
    few = ("--quick", "--part", "attention", "--arrays", "mine.npz")
    failed = report(*few, folder=tmp_path)
    assert failed.returncode == 2
    assert "Wq: expected (d, D=4) because X is (6, 4); got (6, 6)" in failed.stderr
    assert not (tmp_path / "report").exists()
    np.savez(tmp_path / "flat.npz", **{**own, "X": own["X"][0]})
    failed = report("--arrays", "flat.npz", "--columns", folder=tmp_path)
    assert failed.returncode == 2
    assert "X: expected (..., D, N); got (4,)" in failed.stderr
    shown = report(*few, "--columns", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "those of mine.npz, whose X has a token in each column" in page
    assert "N = 4 tokens" in page
    assert "over 24 permutations" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quick", "--full"), "expected at most one of them"),
        (("--columns",), "which is missing"),
        (("--part", "vison"), "expected attention, vision, series, gaussian; got vison"),
        (("--processes", 0), "expected 1 or more"),
    ],
)
def test_errors_leave_nothing_behind(arguments, message, tmp_path):
    failed = report(*arguments, folder=tmp_path)
    assert failed.returncode == 2
    assert message in " ".join(failed.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_notebook_in_and_a_worked_solution_out(tmp_path):
    notebook = NOTEBOOKS / "prince_12_1.ipynb"
    shown = report("--hints", "--notebook", notebook, "--part", "attention", "--out", "hints", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "What was found in prince_12_1.ipynb" in (tmp_path / "hints" / "hints.html").read_text()
    failed = report("--notebook", notebook, "--take", "X=nothing", folder=tmp_path)
    assert failed.returncode == 2
    assert "prince_12_1.ipynb has no array nothing" in failed.stderr
    checked = headwise("check", "--notebook", notebook)
    assert checked.returncode == 1
    assert "scale-missing" in checked.stdout
    assert "agrees with attention that does not divide by √d" in checked.stdout

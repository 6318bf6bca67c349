"""`headwise grade` with a course's notebook: its names, its arrays, and what may not be in the folder of the class."""

import csv

import pytest

from helpers.commands import headwise
from helpers.notebooks import write_notebook

COURSE = """import numpy as np
rng = np.random.default_rng(5)
X = rng.normal(size=(7, 5))
omega_q, omega_k, omega_v = rng.normal(size=(3, 6, 7))
H = 2
def softmax(z):
    e = np.exp(z - z.max(0))
    return e / e.sum(0)
def exercise_2(X, omega_q, omega_k, omega_v, H):
    parts = [np.split(W @ X, H) for W in (omega_q, omega_k, omega_v)]
    return np.vstack([v @ softmax(k.T @ q / np.sqrt(len(q))) for q, k, v in zip(*parts)])
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ada.py").write_text(COURSE)
    (folder / "bo.py").write_text(COURSE.replace("np.sqrt(len(q))", "np.sqrt(len(X))"))
    write_notebook(tmp_path / "course.ipynb", COURSE)
    return folder


def test_names_and_arrays_of_the_notebook(folder, tmp_path):
    args = (
        "grade",
        folder,
        "--notebook",
        tmp_path / "course.ipynb",
        "--out",
        tmp_path / "grades.csv",
        "--processes",
        1,
    )
    done = headwise(*args, "--feedback", tmp_path / "feedback")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "grades.csv").open() as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["Several heads: found"] == "right"
    assert rows["ada"]["Several heads: on the course's arrays"].startswith("agrees with the library to")
    assert rows["bo"]["Several heads: found"] == "scale-model-width"
    assert rows["bo"]["Several heads: on the course's arrays"].startswith("differs from the library by")
    assert "On the course's arrays, `exercise_2` differs" in (tmp_path / "feedback/students/bo.md").read_text()


def test_nothing_is_written_into_the_folder_of_the_class(folder, tmp_path):
    cases = [("--feedback", folder / "feedback"), ("--feedback", folder / "ada" / "pages")]
    cases += [("--format", "gradescope", "--out", folder / "results"), ("--notebook", folder / "ada.py")]
    for options in cases:
        done = headwise("grade", folder, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"expected a path outside {folder}, where it would be read as a submission" in done.stderr
    done = headwise("grade", folder, "--heads", 2)
    assert done.returncode == 2
    assert "name one with --notebook" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["ada.py", "bo.py"]

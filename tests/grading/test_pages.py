"""What comes out: tables, results for other graders, pages for people; whatever students write in them."""

import csv
import io
import json
import re

import pytest

from headwise.errors import DataError
from headwise.grading.feedback import student_page, write_feedback
from headwise.grading.grade_class import ClassGrades, grade_class
from headwise.grading.grade_submission import Grade, Mark, TaskGrade
from headwise.grading.rubric import Rubric, Task
from headwise.grading.submissions import Submission
from headwise.grading.tables import gradescope, nbgrader_table, otter_table, plain_table

UNSCALED = """
import numpy as np
def self_attention(X, Wq, Wk, Wv):
    S = (X @ Wq.T) @ (X @ Wk.T).T
    P = np.exp(S - S.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True) @ (X @ Wv.T)
"""
POINTS = {"runs": 1, "rows-sum-to-one": 2, "plain": 3, "right": 6}
TASK = Task("One head", ("self_attention",), "self_attention", POINTS, {"scale-missing": 1})
RUBRIC = Rubric("Sheet", (TASK,))


@pytest.fixture(scope="module")
def graded():
    right = UNSCALED.replace("(X @ Wk.T).T", "(X @ Wk.T).T / len(Wq) ** 0.5")
    return grade_class([Submission("ada", {"a.py": right}), Submission("bo", {"b.py": UNSCALED})], RUBRIC)


NASTY = '=cmd|"/c calc"!A1 <script>alert(1)</script> | `x` [l](javascript:alert(1)) ![p](http://x.y/z)'


@pytest.fixture
def nasty():
    task = TaskGrade("One head", "f", (Mark("right", "no mistake", 0, 4, NASTY),), None, NASTY, "f.py")
    return ClassGrades(RUBRIC, (Grade(NASTY.replace("/", "."), (task,), (NASTY,)),))


def test_what_students_write_stays_text(nasty, tmp_path):
    write_feedback(nasty, tmp_path / "pages")
    pages = {path.suffix: path.read_text() for path in (tmp_path / "pages" / "students").iterdir()}
    pages["index"] = (tmp_path / "pages" / "index.html").read_text()
    for page in (pages[".html"], pages["index"]):
        assert "<script" not in page
        assert "<img" not in page
        assert "javascript:alert" not in re.findall(r'href="([^"]*)"', page)
        assert "default-src 'none'" in page
    assert "<script" not in pages[".md"].replace("\\<script", "")
    rows = list(csv.reader(io.StringIO(plain_table(nasty))))
    assert all(cell[:1] not in "=+-@" for row in rows for cell in row if cell)


def test_tables_that_other_graders_take(graded):
    otter = list(csv.DictReader(io.StringIO(otter_table(graded))))
    assert otter[0] == {"file": "ada", "One head": "12", "percent_correct": "1"}
    nbgrader = list(csv.DictReader(io.StringIO(nbgrader_table(graded))))
    assert (nbgrader[1]["student_id"], nbgrader[1]["score"], nbgrader[1]["max_score"]) == ("bo", "8", "12")
    bo = graded.grades[1]
    results = json.loads(gradescope(bo, student_page(bo, "Sheet")))
    assert results["score"] == 8 == sum(test["score"] for test in results["tests"])
    assert sum(test["max_score"] for test in results["tests"]) == 12
    assert results["tests"][0] | {"output": ""} == {
        "name": "One head: it runs",
        "number": "1.1",
        "score": 1,
        "max_score": 1,
        "status": "passed",
        "output": "",
        "output_format": "text",
    }


def test_feedback_says_the_mistake(graded):
    page = student_page(graded.grades[1], "Sheet")
    assert page.startswith("# Sheet: 8 of 12 points")
    assert "not divided by √d" in page
    assert "\\`" not in page  # what the checker reports is Markdown already


def test_feedback_goes_into_its_own_folder_only(graded, tmp_path):
    pages = tmp_path / "pages"
    write_feedback(graded, pages)
    (pages / "students" / "gone.html").write_text("of an earlier class")
    write_feedback(graded, pages)
    assert not (pages / "students" / "gone.html").exists()
    (pages / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match=r"thesis\.tex"):
        write_feedback(graded, pages)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pages"]

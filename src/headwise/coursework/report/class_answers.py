"""The answers of a class next to the right ones, for lecturers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from headwise.checker.catalogue import CATALOGUE
from headwise.coursework.notebook import CheckedFunction, NotebookArrays, NotebookRun, OwnArrays, compare_on_arrays
from headwise.document import Paragraph, Section, Table
from headwise.errors import HeadwiseError
from headwise.grading import Grade, Sandbox, Submission, TaskGrade, default_rubric, grade_class, read_class
from headwise.shapes import Array
from headwise.text import Statement, pluralize

__all__ = ["class_section"]


def class_section(folder: Path, arrays: Mapping[str, Array], heads: int) -> Section:
    """Every submission's functions, graded in the sandbox: what each returned, and what is right.

    Parameters
    ----------
    folder : Path
        The submissions.
    arrays : mapping
        The course's arrays, with which every function is called too.
    heads : int
        The number of heads of these calls.

    Raises
    ------
    DataError
        If there are no submissions in the folder.
    """
    submissions = read_class(folder)
    grades = grade_class(submissions, default_rubric(), processes=os.cpu_count() or 1)
    rows = tuple(
        _row(submission, grade, task, arrays, heads)
        for submission, grade in zip(submissions, grades.grades, strict=True)
        for task in grade.tasks
    )
    right = sum(task.verdict is not None and task.verdict.ok for grade in grades.grades for task in grade.tasks)
    summary = Statement(
        "{students} of {folder}: {right} of {tasks} functions are right. For a wrong one, the smallest input that "
        "shows it is given with the right output and the submission's.",
        {
            "students": pluralize(len(grades.grades), "submission"),
            "folder": folder.name,
            "right": right,
            "tasks": len(rows),
        },
    )
    columns = ("student", "function", "verdict", "on the course's arrays", "input", "right", "submitted")
    table = Table(Statement("Answers of the class."), columns, rows, "class", words=True)
    return Section("class", "The class's answers", (Paragraph((summary,)), table))


def _row(
    submission: Submission, grade: Grade, task: TaskGrade, arrays: Mapping[str, Array], heads: int
) -> tuple[str, ...]:
    if task.verdict is None or task.problem:
        return grade.student, task.task, task.problem or "not checked", "", "", "", ""
    own = _on_arrays(submission, task, arrays, heads).description
    example = task.verdict.example
    verdict = "right" if task.verdict.ok else " ".join(CATALOGUE[code].title for code in task.verdict.mistakes)
    if task.verdict.ok or example is None:
        return grade.student, task.task, verdict, own, "", "", ""
    inputs = "; ".join(f"{name} = {value}" for name, value in example.inputs)
    return grade.student, task.task, verdict, own, inputs, example.expected, example.got


def _on_arrays(submission: Submission, task: TaskGrade, arrays: Mapping[str, Array], heads: int) -> OwnArrays:
    """Call a submission's function on the course's arrays, in the orientation that the checker detected."""
    assert task.verdict is not None
    columns, in_out = (code in task.verdict.conventions for code in ("tokens-as-columns", "weights-in-out"))
    lines = ["import numpy as _numpy"]
    for role, array in arrays.items():
        turned = array.T if (role == "X" and columns) or (role.startswith("W") and in_out) else array
        shaped = turned[:, None] if role.startswith("b") and columns else turned
        lines.append(f"_course_{role} = _numpy.array({shaped.tolist()})")
    source = "\n".join([submission.files[task.file], *lines])
    sources: dict[str, tuple[str, ...]] = {role: (f"_course_{role}",) for role in arrays}
    found = NotebookArrays(dict(arrays), heads, columns, in_out, sources, 1, (), "", ())
    try:
        with Sandbox({**submission.files, task.file: source}, task.file, default_rubric().limits) as sandbox:
            run = NotebookRun(Path(task.file), source, {}, (), (), sandbox)
            return compare_on_arrays(run, CheckedFunction(task.function, task.verdict), found)
    except HeadwiseError as error:
        return OwnArrays("", problem=str(error))

"""The answers of a class next to the right ones, for lecturers."""

from __future__ import annotations

import os
from pathlib import Path

from headwise.checker.catalogue import CATALOGUE
from headwise.document import Paragraph, Section, Table
from headwise.grading import Grade, TaskGrade, default_rubric, grade_class, read_class
from headwise.text import Statement, pluralize

__all__ = ["class_section"]


def class_section(folder: Path) -> Section:
    """Every submission's functions, graded in the sandbox: what each returned, and what is right.

    Raises
    ------
    DataError
        If there are no submissions in the folder.
    """
    grades = grade_class(read_class(folder), default_rubric(), processes=os.cpu_count() or 1)
    rows = tuple(_row(grade, task) for grade in grades.grades for task in grade.tasks)
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
    columns = ("student", "function", "verdict", "input", "right", "submitted")
    table = Table(Statement("Answers of the class."), columns, rows, "class", words=True)
    return Section("class", "The class's answers", (Paragraph((summary,)), table))


def _row(grade: Grade, task: TaskGrade) -> tuple[str, ...]:
    if task.verdict is None or task.problem:
        return grade.student, task.task, task.problem or "not checked", "", "", ""
    example = task.verdict.example
    verdict = "right" if task.verdict.ok else " ".join(CATALOGUE[code].title for code in task.verdict.mistakes)
    if task.verdict.ok or example is None:
        return grade.student, task.task, verdict, "", "", ""
    inputs = "; ".join(f"{name} = {value}" for name, value in example.inputs)
    return grade.student, task.task, verdict, inputs, example.expected, example.got

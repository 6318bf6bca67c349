"""The answers of a class next to the right ones, for lecturers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from headwise.checker.catalogue import CATALOGUE
from headwise.coursework.class_grades import with_course_arrays, with_course_names
from headwise.coursework.notebook import CourseNotebook
from headwise.document import Paragraph, Section, Table
from headwise.grading import Grade, TaskGrade, default_rubric, grade_class, read_class
from headwise.shapes import Array
from headwise.text import Statement, pluralize


def class_section(folder: Path, arrays: Mapping[str, Array], heads: int, course: CourseNotebook | None) -> Section:
    """Every submission's functions, graded in the sandbox: what each returned, and what is right.

    Each function is also called with the course's arrays and numbers of heads; a course's notebook names what
    submissions may define.
    """
    submissions = read_class(folder)
    rubric = with_course_names(default_rubric(), course) if course else default_rubric()
    graded = grade_class(submissions, rubric, processes=os.cpu_count() or 1)
    grades = with_course_arrays(graded, submissions, arrays, heads)
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
    columns = ("student", "function", "verdict", "on the course's arrays", "input", "right", "submitted")
    table = Table(Statement("Answers of the class."), columns, rows, "class", words=True)
    return Section("class", "The class's answers", (Paragraph((summary,)), table))


def _row(grade: Grade, task: TaskGrade) -> tuple[str, ...]:
    if task.verdict is None or task.problem:
        return grade.student, task.task, task.problem or "not checked", "", "", "", ""
    example = task.verdict.example
    verdict = "right" if task.verdict.ok else " ".join(CATALOGUE[code].title for code in task.verdict.mistakes)
    if task.verdict.ok or example is None:
        return grade.student, task.task, verdict, task.on_course_arrays, "", "", ""
    inputs = "; ".join(f"{name} = {value}" for name, value in example.inputs)
    return grade.student, task.task, verdict, task.on_course_arrays, inputs, example.expected, example.got

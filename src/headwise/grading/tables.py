"""The grades of a class as tables and JSON: plain, and in the formats of three graders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from headwise.files import to_csv
from headwise.grading.grade_class import ClassGrades
from headwise.grading.grade_submission import Grade, TaskGrade


def plain_table(grades: ClassGrades) -> str:
    """A row for each student: total points, and for each task its points and mistakes, then notes."""
    tasks = [task.name for task in grades.rubric.tasks]
    with_arrays = any(task.on_course_arrays for grade in grades.grades for task in grade.tasks)
    suffixes = ("", ": found", ": on the course's arrays")[: 3 if with_arrays else 2]
    columns = ["student", "points", "out_of", *(f"{name}{suffix}" for name in tasks for suffix in suffixes)]
    return _csv([*columns, "notes"], (_plain_row(grade, len(suffixes)) for grade in grades.grades))


def otter_table(grades: ClassGrades) -> str:
    """A row for each student, a column for each task, and the percentage, like the table of otter's own grader."""
    rows = (
        [grade.student, *(points(task.points) for task in grade.tasks), points(grade.points / grade.out_of)]
        for grade in grades.grades
    )
    return _csv(["file", *(task.name for task in grades.rubric.tasks), "percent_correct"], rows)


def nbgrader_table(grades: ClassGrades) -> str:
    """The columns of nbgrader's export; those that Headwise does not know are empty."""
    columns = "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty"
    rows = []
    for grade in grades.grades:
        score = points(grade.points)
        rows.append([grades.rubric.title, "", "", grade.student, "", "", "", score, "0", score, points(grade.out_of)])
    return _csv([*columns.split(), "score", "max_score"], rows)


TABLES = {"csv": plain_table, "otter": otter_table, "nbgrader": nbgrader_table}


def gradescope(grade: Grade, feedback: str) -> str:
    """One student's ``results.json``: a test for each property, and the feedback in Markdown."""
    tests = [
        {
            "name": f"{task.task}: {mark.description}",
            "number": f"{i}.{j}",
            "score": mark.points,
            "max_score": mark.out_of,
            "status": "passed" if mark.points == mark.out_of else "failed",
            "output": mark.reason or task.problem,
            "output_format": "text",
        }
        for i, task in enumerate(grade.tasks, 1)
        for j, mark in enumerate(task.marks, 1)
    ]
    results = {
        "score": grade.points,
        "output": feedback,
        "output_format": "md",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(results, ensure_ascii=False, indent=2) + "\n"


def as_json(grades: ClassGrades) -> str:
    """All grades and groups as JSON."""
    content = {
        "title": grades.rubric.title,
        "out_of": grades.rubric.out_of,
        "unconfined": grades.unconfined,
        "grades": [_summary(grade) for grade in grades.grades],
        "groups": [asdict(group) for group in grades.groups()],
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def points(value: float) -> str:
    """Points without trailing zeros: 7, 7.5, 6.67."""
    return f"{round(value, 2):g}"


def _summary(grade: Grade) -> dict[str, Any]:
    fields = ("task", "function", "points", "out_of", "mistakes", "problem", "on_course_arrays")
    tasks = [
        {**{name: getattr(task, name) for name in fields}, "marks": [asdict(mark) for mark in task.marks]}
        for task in grade.tasks
    ]
    return {**{name: getattr(grade, name) for name in ("student", "points", "out_of", "notes")}, "tasks": tasks}


def _plain_row(grade: Grade, columns: int) -> list[str]:
    cells = ((points(task.points), _mistakes(task), task.on_course_arrays)[:columns] for task in grade.tasks)
    per_task = [cell for row in cells for cell in row]
    return [grade.student, points(grade.points), points(grade.out_of), *per_task, "; ".join(grade.notes)]


def _mistakes(task: TaskGrade) -> str:
    if task.problem:
        return task.problem
    return " ".join(task.mistakes) or "right"


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return to_csv(columns, (map(_cell, row) for row in rows))


def _cell(text: str) -> str:
    """Escape text that a spreadsheet would take for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

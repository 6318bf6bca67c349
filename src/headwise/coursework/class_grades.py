"""Grading by a course's notebook: its names of the functions, and every submission's results on its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from headwise.coursework.notebook import (
    CheckedFunction,
    CourseNotebook,
    NotebookArrays,
    NotebookRun,
    OwnArrays,
    compare_on_arrays,
)
from headwise.errors import HeadwiseError
from headwise.grading import ClassGrades, Limits, Rubric, Sandbox, Submission, TaskGrade
from headwise.shapes import Array

__all__ = ["with_course_arrays", "with_course_names"]


def with_course_names(rubric: Rubric, course: CourseNotebook) -> Rubric:
    """The rubric, whose tasks also accept the names that the notebook's functions of their kind have."""
    verdicts = [item.checked for item in course.functions if not item.checked.is_class]
    kinds = {item.name: item.verdict.kind for item in verdicts if item.verdict is not None}
    taken = {name for task in rubric.tasks for name in task.function}
    new = {kind: [name for name in kinds if kinds[name] == kind and name not in taken] for kind in kinds.values()}
    tasks = tuple(replace(task, function=(*task.function, *new.get(task.kind, ()))) for task in rubric.tasks)
    return replace(rubric, tasks=tasks)


def with_course_arrays(
    grades: ClassGrades, submissions: Sequence[Submission], arrays: Mapping[str, Array], heads: int
) -> ClassGrades:
    """The grades, with what each function returned for the course's arrays next to the library.

    Parameters
    ----------
    grades : ClassGrades
        Of these submissions, in their order.
    submissions : sequence of Submission
    arrays : mapping
        X (N, D), Wq, Wk, Wv (out, in) and perhaps Wo and biases.
    heads : int
        The number of heads of functions with several.
    """
    found = NotebookArrays(dict(arrays), heads, False, False, {}, 1, (), "", ())
    limits = grades.rubric.limits
    compared = [
        replace(grade, tasks=tuple(replace(t, on_course_arrays=_describe(s, t, found, limits)) for t in grade.tasks))
        for s, grade in zip(submissions, grades.grades, strict=True)
    ]
    return replace(grades, grades=tuple(compared))


def _describe(submission: Submission, task: TaskGrade, found: NotebookArrays, limits: Limits) -> str:
    """In words; nothing for a task that could not be graded."""
    return "" if task.verdict is None or task.problem else _compare(submission, task, found, limits).description


def _compare(submission: Submission, task: TaskGrade, found: NotebookArrays, limits: Limits) -> OwnArrays:
    """Call a submission's function on the course's arrays, in the orientation that the checker detected."""
    assert task.verdict is not None
    columns, in_out = (code in task.verdict.conventions for code in ("tokens-as-columns", "weights-in-out"))
    lines = ["import numpy as _numpy"]
    for role, array in found.arrays.items():
        turned = array.T if (role == "X" and columns) or (role.startswith("W") and in_out) else array
        shaped = turned[:, None] if role.startswith("b") and columns else turned
        lines.append(f"_course_{role} = _numpy.array({shaped.tolist()})")
    lines.append("_course_columns = [column[:, None] for column in _course_X.T]")
    source = "\n".join([submission.files[task.file], *lines])
    sources: dict[str, tuple[str, ...]] = {role: (f"_course_{role}",) for role in found.arrays}
    oriented = replace(found, columns=columns, in_out=in_out, sources=sources)
    listed = replace(oriented, sources=sources | {"X": ("_course_columns",)})
    try:
        with Sandbox({**submission.files, task.file: source}, task.file, limits) as sandbox:
            run = NotebookRun(Path(task.file), source, {}, (), (), sandbox)
            checked = CheckedFunction(task.function, task.verdict)
            result = compare_on_arrays(run, checked, oriented)
            if columns and not result.agrees:  # it may take a list of columns
                second = compare_on_arrays(run, checked, listed)
                return second if second.agrees or (result.problem and not second.problem) else result
            return result
    except HeadwiseError as error:
        return OwnArrays("", problem=str(error))

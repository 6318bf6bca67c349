"""Grading by a course's notebook: its names of the functions, and every submission's results on its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headwise.coursework.notebook import (
    CheckedFunction,
    CourseNotebook,
    NotebookArrays,
    NotebookRun,
    OutputComparison,
    compare_on_arrays,
)
from headwise.errors import HeadwiseError
from headwise.grading import ClassGrades, Limits, Rubric, Sandbox, Submission, TaskGrade, is_class, uses_torch
from headwise.shapes import Array


def with_course_names(rubric: Rubric, course: CourseNotebook) -> Rubric:
    """The rubric, whose tasks also accept the names that the notebook's functions of their kind have."""
    verdicts = [item.checked for item in course.functions if item.checked.form == "function"]
    kinds = {item.name: item.verdict.kind for item in verdicts if item.verdict is not None}
    taken = {name for task in rubric.tasks for name in task.function}
    new = {kind: [name for name in kinds if kinds[name] == kind and name not in taken] for kind in kinds.values()}
    tasks = tuple(replace(task, function=(*task.function, *new.get(task.kind, ()))) for task in rubric.tasks)
    return replace(rubric, tasks=tasks)


def with_course_arrays(
    grades: ClassGrades, submissions: Sequence[Submission], arrays: Mapping[str, Array], heads: int
) -> ClassGrades:
    """The grades, with what each function returned for the course's arrays next to the library.

    The submissions are in the order of the grades; X (N, D) has tokens as rows, matrices are (out, in), and `heads` is
    the number of heads of functions with several.
    """
    inputs = NotebookArrays(dict(arrays), heads, False, False, {}, 1, (), "", ())
    limits = grades.rubric.limits
    compared = [
        replace(grade, tasks=tuple(replace(t, on_course_arrays=_describe(s, t, inputs, limits)) for t in grade.tasks))
        for s, grade in zip(submissions, grades.grades, strict=True)
    ]
    return replace(grades, grades=tuple(compared))


def _describe(submission: Submission, task: TaskGrade, inputs: NotebookArrays, limits: Limits) -> str:
    """In words; nothing for a class, which has its own matrices, and for a task that could not be graded."""
    if task.verdict is None or task.problem or is_class(submission.files[task.file], task.function):
        return ""
    return _compare(submission, task, inputs, limits).description


def _compare(submission: Submission, task: TaskGrade, inputs: NotebookArrays, limits: Limits) -> OutputComparison:
    """Call a submission's function on the course's arrays, as the checker found that it takes them.

    The first result that agrees counts, or else the first at all: the function may take tensors or a list of columns.
    """
    assert task.verdict is not None
    codes = ("tokens-as-columns", "weights-in-out", "heads-stacked")
    columns, in_out, by_head = (code in task.verdict.conventions for code in codes)
    oriented = replace(inputs, columns=columns, in_out=in_out, own_heads=inputs.heads if by_head else 1)
    results = []
    for array in ("numpy.array", "torch.tensor") if uses_torch(submission.files[task.file]) else ("numpy.array",):
        definitions, sources = _definitions(oriented, array)
        lists = ({}, {"X": ("_course_columns",)}) if columns else ({},)
        source = "\n".join([submission.files[task.file], *definitions])
        try:
            with Sandbox({**submission.files, task.file: source}, task.file, limits) as sandbox:
                run = NotebookRun(Path(task.file), source, {}, (), (), sandbox)
                checked = CheckedFunction(task.function, task.verdict)
                inputs_of = [replace(oriented, sources=sources | other) for other in lists]
                results += [compare_on_arrays(run, checked, arrays) for arrays in inputs_of]
        except HeadwiseError as error:
            results.append(OutputComparison("", problem=str(error)))
    return min(results, key=lambda result: (not result.agrees, bool(result.problem)))


def _definitions(inputs: NotebookArrays, array: str) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Code that defines the course's arrays, and the variables by role: one for each head if there are such."""
    module = array.partition(".")[0]
    lines, sources = [f"import {module} as _{module}"], {}
    for role, values in inputs.arrays.items():
        count = 1 if role in ("X", "Wo", "bo") else inputs.own_heads
        sources[role] = tuple(f"_course_{role}{h}" for h in range(1, count + 1)) if count > 1 else (f"_course_{role}",)
        for name, part in zip(sources[role], np.split(values, count), strict=True):
            oriented = part.T if (role == "X" and inputs.columns) or (role.startswith("W") and inputs.in_out) else part
            shaped = oriented[:, None] if role.startswith("b") and inputs.columns else oriented
            lines.append(f"{name} = _{array}({shaped.tolist()})")
    return [*lines, "_course_columns = [column[:, None] for column in _course_X.T]"], sources

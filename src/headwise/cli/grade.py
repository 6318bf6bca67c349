"""``headwise grade``: grade a class's submissions, each in a sandbox, by a rubric."""

from __future__ import annotations

import enum
import re
from contextlib import ExitStack
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from headwise.cli.console import messages, output, progress_bars, resumable
from headwise.cli.notebook_options import Columns, Heads, Matrices, NotebookFile, Take, array_options
from headwise.cli.options import PROCESSES, SEED, Json, Scheduler
from headwise.cli.paths import check_outside, check_writable, check_writable_file
from headwise.coursework.class_grades import with_course_arrays, with_course_names
from headwise.coursework.notebook import ArrayOptions, read_course
from headwise.errors import DataError
from headwise.files import lock_file, write_text
from headwise.grading.feedback import check_feedback_folder, student_page, write_feedback
from headwise.grading.grade_class import ClassGrades, grade_class
from headwise.grading.rubric import default_rubric, read_rubric
from headwise.grading.submissions import other_files, read_class, read_submission
from headwise.grading.tables import TABLES, as_json, gradescope, points
from headwise.parallel.tasks import check_scheduler


class Format(enum.StrEnum):
    """The format of the grades."""

    csv = "csv"
    gradescope = "gradescope"
    otter = "otter"
    nbgrader = "nbgrader"


def grade(
    folder: Annotated[
        Path,
        typer.Argument(
            help="The class: .py and .ipynb files named by student, or a folder or .zip for each; also the .zip that "
            "Moodle, Canvas or Gradescope exports."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the grades. With `--format gradescope`, a folder with a file for each student, or a .json "
            "file, and then FOLDER is one submission."
        ),
    ] = None,
    notebook: NotebookFile = None,
    heads: Heads = None,
    columns: Columns = None,
    weights: Matrices = None,
    take: Take = None,
    rubric: Annotated[
        Path | None,
        typer.Option(help="Tasks and points, in YAML.", show_default="one head and several, ten points each"),
    ] = None,
    feedback: Annotated[Path | None, typer.Option(help="Folder for a page for each student, and one for you.")] = None,
    format: Annotated[Format, typer.Option(help="Format of `--out`.")] = Format.csv,
    processes: Annotated[int | None, PROCESSES] = None,
    scheduler: Scheduler = None,
    seed: Annotated[int | None, SEED] = None,
    print_json: Json = False,
) -> None:
    """Grade a class: the mistakes in each solution, points for each property, feedback pages.

    Every submission runs in its own process, without files, network or other processes, and for a limited time, so that
    it can affect no other grade. The default seed is derived from the submissions, so that students cannot know it.

    Example: `headwise grade submissions/ --out grades.csv --feedback feedback/`

    With --notebook, solutions may use the names of its functions, and each is also run on its arrays.
    """
    alone = format is Format.gradescope and out is not None and out.suffix == ".json"
    if format is Format.gradescope and out is None:
        raise DataError("--out: expected a folder for Gradescope's results, or results.json for one submission.")
    options = array_options(heads, columns, weights, take)
    if notebook is None and options != ArrayOptions():
        raise DataError("--heads, --columns, --weights, --take: apply to a notebook; name one with --notebook.")
    if notebook is not None:
        check_outside(notebook, folder, "--notebook")
    if out is not None:
        _check_out(out, folder, is_folder=format is Format.gradescope and not alone)
    if feedback is not None:
        check_outside(feedback, folder, "--feedback")
        check_feedback_folder(feedback)
        check_writable(feedback, "--feedback")
    if scheduler is not None:
        check_scheduler(scheduler)
    criteria = read_rubric(rubric) if rubric else default_rubric()
    submissions = [read_submission(folder)] if alone else read_class(folder)
    course = None if notebook is None else read_course(notebook, options)
    if course is not None:
        criteria = with_course_names(criteria, course)
    with ExitStack() as locks:
        for path in dict.fromkeys(filter(None, (out, feedback))):
            locks.enter_context(lock_file(path))
        with resumable("Nothing was written; run the same command again to start over"), progress_bars() as progress:
            progress.stage(f"Grading {len(submissions)} submissions", len(submissions))
            grades = grade_class(
                submissions,
                criteria,
                processes=processes,
                scheduler=scheduler,
                seed=seed,
                on_grade=lambda grade: progress.advance(grade.student),
            )
            if course is not None:
                progress.stage("Running them on the course's arrays", 1)
                grades = with_course_arrays(grades, submissions, course.inputs.arrays, course.inputs.heads)
                progress.advance()
        if feedback:
            write_feedback(grades, feedback)
        if out:
            _write(grades, out, format, alone)
    if print_json:
        print(as_json(grades), end="")
    else:
        _print(grades)
        if not alone and (names := sorted({*other_files(folder)} - {path.name for path in (out, rubric) if path})):
            messages.print(f"Not read, as submissions are .py, .ipynb and .zip files and folders: {', '.join(names)}")
        for path in filter(None, (out, feedback / "index.html" if feedback else None)):
            messages.print(f"Wrote {path}")


def _check_out(out: Path, submissions: Path, *, is_folder: bool) -> None:
    """Raise DataError if the grades cannot be written; a folder of them must not be read as submissions."""
    if is_folder:
        check_outside(out, submissions)
        check_writable(out)
    else:
        check_writable_file(out)


def _write(grades: ClassGrades, out: Path, format: Format, alone: bool) -> None:
    if format is not Format.gradescope:
        write_text(out, TABLES[format](grades))
        return
    for grade in grades.grades:
        path = out if alone else out / f"{grade.student}.json"
        write_text(path, gradescope(grade, student_page(grade, grades.rubric.title)))


def _print(grades: ClassGrades) -> None:
    tasks = grades.rubric.tasks
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("student", no_wrap=True, max_width=max(output.width // 3, 12))
    table.add_column("points", justify="right", no_wrap=True)
    for task in tasks:
        table.add_column(task.name)
    for grade in grades.grades:
        problems = (re.sub("^it could not be called.*?: ", "", task.problem) for task in grade.tasks)
        mistakes = (
            shorten(problem, 40, placeholder=" …") or " ".join(task.mistakes) or "right"
            for problem, task in zip(problems, grade.tasks, strict=True)
        )
        table.add_row(grade.student, points(grade.points), *mistakes)
    output.print(table)
    output.print(f"\nOut of {points(grades.rubric.out_of)} points.")
    shared = [group for group in grades.groups() if len(group.students) > 1]
    if shared:
        output.print("\nThe same mistakes", style="bold")
    for group in shared:
        what = " ".join(group.mistakes) or group.problem
        output.print(f"  {len(group.students):3d}  {group.task}: {what}")
    for item in grades.unconfined:
        messages.print(Text.assemble(("Not confined on this system:", "yellow"), f" {item}."))

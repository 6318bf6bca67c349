"""``headwise grade``: a class's submissions, each run apart, against a rubric."""

from __future__ import annotations

import enum
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from headwise.cli.console import messages, output, progress_bars
from headwise.errors import DataError
from headwise.files import write_text
from headwise.grading.feedback import check_feedback_folder, student_page, write_feedback
from headwise.grading.grade_class import ClassGrades, grade_class
from headwise.grading.result_tables import TABLES, as_json, gradescope, points
from headwise.grading.rubric import default_rubric, read_rubric
from headwise.grading.submissions import read_class, read_submission

__all__ = ["Format", "grade"]


class Format(enum.StrEnum):
    """What the file of grades looks like."""

    csv = "csv"
    gradescope = "gradescope"
    otter = "otter"
    nbgrader = "nbgrader"


def grade(
    folder: Annotated[
        Path,
        typer.Argument(
            help="The class: .py and .ipynb files named by student, or a folder for each.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the grades here. With `--format gradescope`, a folder for a file a student, or a .json file, "
            "and then FOLDER is one submission.",
            show_default=False,
        ),
    ] = None,
    rubric: Annotated[
        Path | None,
        typer.Option(help="What is asked and what it is worth, in YAML.", show_default="the one that ships"),
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(help="Write a page a student, and one for you, into this folder.", show_default=False)
    ] = None,
    format: Annotated[Format, typer.Option(help="The form of `--out`.")] = Format.csv,
    jobs: Annotated[int | None, typer.Option(min=1, help="How many at a time.", show_default="one a core")] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Draws the inputs.", show_default="from the submissions, so that nobody knows it before"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of tables.")] = False,
) -> None:
    """Grade a class: which mistake each solution holds, points by property, feedback pages.

    Every submission runs in its own process, without files, network or other processes, and for a limited time; what
    it does costs its own points and nothing else.

    Example: `headwise grade submissions/ --out grades.csv --feedback feedback/`
    """
    alone = format is Format.gradescope and out is not None and out.suffix == ".json"
    if format is Format.gradescope and out is None:
        raise DataError("--out: Gradescope's results need a place; a folder, or results.json for one submission.")
    if out is not None and out.is_dir() and (alone or format is not Format.gradescope):
        raise DataError(f"--out: expected a file; {out} is a folder.")
    if feedback is not None:
        check_feedback_folder(feedback)
    asked = read_rubric(rubric) if rubric else default_rubric()
    submissions = [read_submission(folder)] if alone else read_class(folder)
    with progress_bars() as progress:
        progress.stage(f"Grading {len(submissions)} submissions", len(submissions))
        grades = grade_class(
            submissions, asked, jobs=jobs, seed=seed, on_each=lambda each: progress.advance(each.student)
        )
    if feedback:
        write_feedback(grades, feedback)
    if out:
        _write(grades, out, format, alone)
    if json:
        print(as_json(grades), end="")
    else:
        _print(grades)
        for path in filter(None, (out, feedback / "index.html" if feedback else None)):
            messages.print(f"Wrote {path}")


def _write(grades: ClassGrades, out: Path, format: Format, alone: bool) -> None:
    if format is not Format.gradescope:
        write_text(out, TABLES[format](grades))
        return
    for each in grades.grades:
        path = out if alone else out / f"{each.student}.json"
        write_text(path, gradescope(each, student_page(each, grades.rubric.title)))


def _print(grades: ClassGrades) -> None:
    tasks = grades.rubric.tasks
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("student", no_wrap=True)
    table.add_column("points", justify="right", no_wrap=True)
    for task in tasks:
        table.add_column(escape(task.name))
    for each in grades.grades:
        found = (
            shorten(task.problem, 40, placeholder=" …") or " ".join(task.mistakes) or "right" for task in each.tasks
        )
        table.add_row(escape(each.student), points(each.points), *map(escape, found))
    output.print(table)
    output.print(f"\nOut of {points(grades.rubric.out_of)} points.")
    shared = [group for group in grades.groups() if len(group.students) > 1]
    if shared:
        output.print("\n[bold]Wrong in the same way[/bold]")
    for group in shared:
        what = " ".join(group.mistakes) or group.problem
        output.print(f"  {len(group.students):3d}  {escape(group.task)}: {escape(what)}")
    for door in grades.open_doors:
        messages.print(f"[yellow]Not confined on this system:[/yellow] {escape(door)}.", markup=True)

"""A page for each student and one for the teacher, as HTML that needs nothing beside it, and as Markdown.

What a student wrote appears on these pages (names, messages, lines of source), so every word of it is escaped, and
the pages forbid scripts and loading anything.
"""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

from headwise.checker.catalogue import CATALOGUE
from headwise.errors import DataError, MissingExtraError
from headwise.grading.grade_class import ClassGrades
from headwise.grading.grade_submission import Grade, TaskGrade
from headwise.grading.result_tables import points

__all__ = ["check_feedback_folder", "student_page", "write_feedback"]

_OURS = "index.html", "students"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!])")


def check_feedback_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but earlier feedback, which is replaced.

    Raises
    ------
    DataError
        If there is something else.
    """
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in there if name not in _OURS]
    if foreign or (folder.exists() and not folder.is_dir()):
        found = f"it holds {foreign[0]}" if foreign else "it is a file"
        raise DataError(f"{folder}: expected a new folder, or one of feedback pages; {found}.")


def write_feedback(grades: ClassGrades, folder: Path) -> None:
    """Write the pages: ``index.html`` for the teacher, ``students/NAME.html`` and ``.md`` for each student.

    The folder is made whole beside its place and then put there; an earlier one of the same making is replaced.

    Raises
    ------
    DataError
        If something else is in the folder.
    MissingExtraError
        If Jinja or markdown-it is not installed.
    """
    check_feedback_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        beside.chmod(0o755)
        _write_pages(grades, beside)
        if folder.is_dir():
            shutil.rmtree(folder)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def student_page(grade: Grade, title: str) -> str:
    """One student's feedback in Markdown."""
    lines = [
        f"# {_plain(title)}: {points(grade.points)} of {points(grade.out_of)} points",
        "",
        _plain(grade.student),
        "",
    ]
    lines += [f"- {_plain(note)}" for note in grade.notes] + ([""] if grade.notes else [])
    for task in grade.tasks:
        lines += [f"## {_plain(task.task)}: {points(task.points)} of {points(task.out_of)}", ""]
        lines += [f"**{_plain(_sentence(task.problem))}**", ""] if task.problem else []
        lines += ["| | points | |", "|---|---:|---|"]
        for mark in task.marks:
            score = f"{points(mark.points)} / {points(mark.out_of)}"
            lines.append(f"| {_plain(mark.says)} | {score} | {_plain(mark.why)} |")
        lines += ["", _report(task), ""]
    return "\n".join(lines)


def _write_pages(grades: ClassGrades, folder: Path) -> None:
    try:
        from jinja2 import Environment, StrictUndefined
        from markdown_it import MarkdownIt
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("a feedback page", error.name or "Jinja", "lab") from None

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    jinja = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    jinja.filters |= {"points": points, "code": lambda code: CATALOGUE[code], "sentence": _sentence}
    jinja.globals["report"] = lambda task: Markup(markdown.render(_report(task)))
    here = files("headwise.grading")
    style = Markup(here.joinpath("feedback.css").read_text(encoding="utf-8"))
    student = jinja.from_string(here.joinpath("student.html").read_text(encoding="utf-8"))
    teacher = jinja.from_string(here.joinpath("teacher.html").read_text(encoding="utf-8"))

    (folder / "students").mkdir()
    for grade in grades.grades:
        page = folder / "students" / grade.student
        text = student.render(grade=grade, title=grades.rubric.title, style=style)
        page.with_name(page.name + ".html").write_text(text, encoding="utf-8")
        page.with_name(page.name + ".md").write_text(student_page(grade, grades.rubric.title), encoding="utf-8")
    text = teacher.render(grades=grades, groups=grades.groups(), style=style, **_summary(grades))
    (folder / "index.html").write_text(text, encoding="utf-8")


def _summary(grades: ClassGrades) -> dict[str, Any]:
    """How the points are spread: mean, median, and how many students are in each tenth of the points."""
    each, tenth = [grade.points for grade in grades.grades], grades.rubric.out_of / 10
    counts = Counter(min(int(got / tenth), 9) for got in each)
    spread = [(f"{points(i * tenth)}–{points((i + 1) * tenth)}", counts[i]) for i in range(10)]
    return {"mean": statistics.fmean(each), "median": statistics.median(each), "spread": spread}


def _report(task: TaskGrade) -> str:
    """The checker's own words, as a part of a page: its headings one level down."""
    if task.verdict is None or task.problem:
        return ""
    lines, fenced = [], False
    for line in task.verdict.report("markdown").split("\n"):
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(lines)


def _sentence(problem: str) -> str:
    return f"{problem[:1].upper()}{problem[1:]}."


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return _SPECIAL.sub(r"\\\1", text)

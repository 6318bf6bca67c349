"""Feedback pages: self-contained HTML for each student and for the teacher, and Markdown for each student.

Text from students appears on these pages (names, messages, lines of source), so all of it is escaped, and the pages
forbid scripts and loading anything.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.user_code.notebooks import name_cells
from headwise.errors import DataError, require_extra
from headwise.files import atomic_folder
from headwise.grading.grade_class import ClassGrades
from headwise.grading.grade_submission import Grade, TaskGrade
from headwise.grading.tables import points
from headwise.text import capitalize_first

_PAGES = "index.html", "students"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!])")


def check_feedback_folder(folder: Path) -> None:
    """Raise an error if a folder contains anything but earlier feedback, which is replaced.

    Raises
    ------
    DataError
        If it contains something else, or is a file.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if name not in _PAGES]
    if foreign or (folder.exists() and not folder.is_dir()):
        reason = f"it contains {foreign[0]}" if foreign else "it is a file"
        raise DataError(f"{folder}: expected a new folder, or one of feedback pages; {reason}.")


def write_feedback(grades: ClassGrades, folder: Path) -> None:
    """Write the pages: ``index.html`` for the teacher, ``students/NAME.html`` and ``.md`` for each student.

    The pages are written into a temporary folder first, which then replaces the old one.

    Raises
    ------
    DataError
        If the folder contains something else.
    MissingExtraError
        If Jinja or markdown-it is not installed.
    """
    check_feedback_folder(folder)
    with atomic_folder(folder) as temporary:
        _write_pages(grades, temporary)


def student_page(grade: Grade, title: str) -> str:
    """One student's feedback in Markdown.

    Raises
    ------
    MissingExtraError
        If Jinja or markdown-it is not installed.
    """
    return str(_environment().get_template("student.md").render(grade=grade, title=title))


def _environment() -> Any:
    """The templates of the pages, with autoescaping for HTML only."""
    with require_extra("a feedback page", None, "lab"):
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
        from markdown_it import MarkdownIt
        from markupsafe import Markup

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    loader = ChoiceLoader([PackageLoader("headwise.grading"), PackageLoader("headwise.document")])
    escape = select_autoescape(["html"])
    environment = Environment(
        loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"points": points, "mistake": CATALOGUE.__getitem__, "sentence": _sentence, "plain": _plain}
    environment.filters |= {"report": _report, "report_html": lambda task: Markup(markdown.render(_report(task)))}
    style = files("headwise.grading").joinpath("templates", "feedback.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)
    return environment


def _write_pages(grades: ClassGrades, folder: Path) -> None:
    environment, title = _environment(), grades.rubric.title
    (folder / "students").mkdir()
    for grade in grades.grades:
        for suffix in ("html", "md"):
            text = environment.get_template(f"student.{suffix}").render(grade=grade, title=title)
            (folder / "students" / f"{grade.student}.{suffix}").write_text(text, encoding="utf-8")
    teacher = environment.get_template("teacher.html")
    text = teacher.render(grades=grades, groups=grades.groups(), **_summary(grades))
    (folder / "index.html").write_text(text, encoding="utf-8")


def _summary(grades: ClassGrades) -> dict[str, Any]:
    """The distribution of the points: mean, median, and a histogram with ten bins."""
    totals, tenth = [grade.points for grade in grades.grades], grades.rubric.out_of / 10
    counts = Counter(min(int(total / tenth), 9) for total in totals)
    histogram = [(f"{points(i * tenth)}–{points((i + 1) * tenth)}", counts[i]) for i in range(10)]
    return {"mean": statistics.fmean(totals), "median": statistics.median(totals), "histogram": histogram}


def _report(task: TaskGrade) -> str:
    """The checker's report in Markdown, with its headings one level down."""
    if task.verdict is None or task.problem:
        return ""
    lines, fenced = [], False
    for line in name_cells(task.source, task.verdict.report("markdown")).split("\n"):
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(lines)


def _sentence(problem: str) -> str:
    return capitalize_first(problem) + ("" if problem.endswith(("?", "!", ".", "…")) else ".")


def _plain(text: str) -> str:
    """Text with all characters escaped that Markdown would interpret."""
    return _SPECIAL.sub(r"\\\1", text)

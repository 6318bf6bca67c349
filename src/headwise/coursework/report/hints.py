"""The sheet with methods and checks, and without answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwise.coursework.notebook import CourseNotebook
from headwise.coursework.report.notebook import notebook_section
from headwise.coursework.solution import hint_sections, write_solution
from headwise.text import Statement

_SUBTITLE = (Statement("Questions, methods and checks; no answers."),)


def write_hints(folder: Path, parts: Sequence[str], course: CourseNotebook | None) -> list[Path]:
    """Write ``hints.ipynb``, ``.html``, ``.tex`` and, with a browser, ``.pdf``."""
    front = (notebook_section(course),) if course else ()
    sections = (*front, *hint_sections(tuple(parts)))
    return write_solution(folder, sections, _SUBTITLE, None, None, "hints", "Hints")

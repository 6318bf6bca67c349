"""The questions of the sheet with methods and checks, and no answers."""

from __future__ import annotations

from importlib.resources import files

from headwise.document import Paragraph, Section
from headwise.errors import require_extra
from headwise.text import Statement


def hint_sections(parts: tuple[str, ...]) -> tuple[Section, ...]:
    """A section for each question of these parts of the report."""
    with require_extra("the sheet without answers", "PyYAML", "lab"):
        import yaml
    questions = yaml.safe_load((files("headwise.coursework.solution") / "hints.yaml").read_text(encoding="utf-8"))
    return tuple(
        Section(
            f"hint-{part}-{i}",
            hint["heading"],
            tuple(
                Paragraph((Statement("{label}: {text}", {"label": name.capitalize(), "text": hint[name]}),))
                for name in ("question", "method", "check")
            ),
        )
        for part in questions
        if part in parts
        for i, hint in enumerate(questions[part], 1)
    )

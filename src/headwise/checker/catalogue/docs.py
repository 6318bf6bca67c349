"""The catalogue as a page of the documentation: ``python -m headwise.checker.catalogue.docs > docs/mistakes.md``."""

from __future__ import annotations

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.catalogue.entry import Mistake

__all__ = ["mistakes_page"]

_HEAD = """# Mistakes people make in attention code

What `headwise check` can name. The code is the stable name that a verdict prints. A verdict is earned: a mistake is
named only if the definition *with that mistake put in* gives the function's outputs to rounding on fresh random inputs,
and the definition without it does not; up to four mistakes at once likewise.

This page is made from the catalogue: `python -m headwise.checker.catalogue.docs > docs/mistakes.md`.
"""


def mistakes_page() -> str:
    """The page in Markdown: a table of contents, then a section for each mistake."""
    contents = "\n".join(f"- [`{e.code}`](#{e.code}): {e.title}" for e in CATALOGUE.values())
    return "\n".join([_HEAD, contents, "", *(_section(e) for e in CATALOGUE.values())])


def _section(entry: Mistake) -> str:
    lines = [
        f"## {entry.code}",
        "",
        entry.title,
        "",
        f"- **It should be:** `{entry.formula}`",
        f"- **Symptom:** {entry.symptom}",
        f"- **Fix:** {entry.fix}",
    ]
    if entry.reported_in:
        lines.append(f"- **Seen in:** {', '.join(entry.reported_in)}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(mistakes_page(), end="")

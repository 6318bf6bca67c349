"""A caption: statements in four parts, rendered for a terminal, a document, a paper and a screen reader."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwise.files import write_text
from headwise.text import Statement, as_latex, as_markdown, as_text

__all__ = ["Caption", "to_statements"]


@dataclass(frozen=True)
class Caption:
    """A caption in four parts, each a list of statements, with an alternative text.

    Attributes
    ----------
    title : Statement
    shown, reading, findings, limits : tuple of Statement
    alternative : tuple of Statement
        A short description for readers who cannot see the figure.
    """

    title: Statement
    shown: tuple[Statement, ...]
    reading: tuple[Statement, ...]
    findings: tuple[Statement, ...]
    limits: tuple[Statement, ...]
    alternative: tuple[Statement, ...]

    @property
    def parts(self) -> dict[str, tuple[Statement, ...]]:
        """The parts by their headings."""
        return {
            "What is shown": self.shown,
            "How to read it": self.reading,
            "What it says about this model": self.findings,
            "What it does not say": self.limits,
        }

    def paragraphs(self) -> list[str]:
        """For a terminal: the title and one paragraph for each part."""
        paragraphs = [f"{heading}. {' '.join(map(as_text, part))}" for heading, part in self.parts.items()]
        return [as_text(self.title), *paragraphs]

    def text(self) -> str:
        """The paragraphs, separated by blank lines."""
        return "\n\n".join(self.paragraphs())

    def markdown(self) -> str:
        """For a document: bold headings, and formulae between dollar signs."""
        paragraphs = [f"**{heading}.** {' '.join(map(as_markdown, part))}" for heading, part in self.parts.items()]
        return "\n\n".join([f"**{as_markdown(self.title)}**", *paragraphs]) + "\n"

    def latex(self, figure: str) -> str:
        r"""For a paper, to be read with ``\input``: a float that says what is shown, then the other parts as text.

        The whole caption would be longer than a page. Only the title goes into the list of figures.

        Parameters
        ----------
        figure : str
            Name of the figure's file without its ending; also the name of the label.
        """
        title, shown = as_latex(self.title), " ".join(map(as_latex, self.shown))
        others = [
            f"\\paragraph{{{heading}.}} {' '.join(map(as_latex, part))}\n"
            for heading, part in self.parts.items()
            if part is not self.shown
        ]
        return "\n".join(
            [
                "% needs \\usepackage{graphicx}",
                "\\begin{figure*}",
                "  \\centering",
                f"  \\includegraphics[width=\\linewidth]{{{figure}}}",
                f"  \\caption[{title}]{{\\textbf{{{title}.}} {shown}}}",
                f"  \\label{{fig:{figure}}}",
                "\\end{figure*}",
                "",
                *others,
            ]
        )

    def alt(self) -> str:
        """The alternative text: a few plain sentences."""
        return " ".join(map(as_text, self.alternative))

    def save(self, stem: Path) -> list[Path]:
        """Write the caption as .md, .tex and .txt, the alternative text as .alt.txt, and all statements as .json."""
        contents = {
            "md": self.markdown(),
            "tex": self.latex(stem.name),
            "txt": self.text() + "\n",
            "alt.txt": self.alt() + "\n",
            "json": self._json(),
        }
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in contents]
        for path, text in zip(paths, contents.values(), strict=True):
            write_text(path, text)
        return paths

    def _json(self) -> str:
        """The template, values and text of every statement."""
        parts = {"title": (self.title,), **self.parts, "alternative": self.alternative}
        content = {
            heading: [{"template": s.template, "values": s.values, "text": as_text(s)} for s in part]
            for heading, part in parts.items()
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def to_statements(values: Mapping[str, Any], *templates: str | Iterable[str]) -> tuple[Statement, ...]:
    """Pair each template, or each template of a group, with those of the values that it uses."""
    flat = [t for group in templates for t in ((group,) if isinstance(group, str) else group)]
    return tuple(
        Statement(t, {name: value for name, value in values.items() if f"{{{name}}}" in t or f"{{{name}:" in t})
        for t in flat
    )

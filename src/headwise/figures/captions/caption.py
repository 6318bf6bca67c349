"""A caption: statements in four parts, spelled for a terminal, a document, a paper and a screen reader."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwise.files import write_text
from headwise.text.statement import Statement, as_latex, as_markdown, as_text

__all__ = ["Caption", "to_statements"]


@dataclass(frozen=True)
class Caption:
    """A caption in four parts, each a list of statements, and a short text in place of the picture.

    Attributes
    ----------
    title : Statement
    shown, reading, findings, limits : tuple of Statement
    alternative : tuple of Statement
        For who cannot see the picture.
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
        """For a terminal: the title, and a paragraph a part."""
        return [
            as_text(self.title),
            *(f"{heading}. {' '.join(map(as_text, said))}" for heading, said in self.parts.items()),
        ]

    def text(self) -> str:
        """The paragraphs with a line between them."""
        return "\n\n".join(self.paragraphs())

    def markdown(self) -> str:
        """For a document: bold headings, formulae between dollar signs."""
        paragraphs = [f"**{heading}.** {' '.join(map(as_markdown, said))}" for heading, said in self.parts.items()]
        return "\n\n".join([f"**{as_markdown(self.title)}**", *paragraphs]) + "\n"

    def latex(self, picture: str) -> str:
        r"""For a paper, to ``\input``: a float with what is shown below it, and the other parts as text after it.

        All in one caption would be longer than a page. The title alone goes into the list of figures.

        Parameters
        ----------
        picture : str
            Name of the picture's file without its ending, which names the label too.
        """
        title, shown = as_latex(self.title), " ".join(map(as_latex, self.shown))
        others = [
            f"\\paragraph{{{heading}.}} {' '.join(map(as_latex, said))}\n"
            for heading, said in self.parts.items()
            if said is not self.shown
        ]
        return "\n".join(
            [
                "% needs \\usepackage{graphicx}",
                "\\begin{figure*}",
                "  \\centering",
                f"  \\includegraphics[width=\\linewidth]{{{picture}}}",
                f"  \\caption[{title}]{{\\textbf{{{title}.}} {shown}}}",
                f"  \\label{{fig:{picture}}}",
                "\\end{figure*}",
                "",
                *others,
            ]
        )

    def alt(self) -> str:
        """A few plain sentences in place of the picture."""
        return " ".join(map(as_text, self.alternative))

    def save(self, stem: Path) -> list[Path]:
        """Write the caption as .md, .tex and .txt, the alternative text as .alt.txt, and all statements as .json."""
        written = {
            "md": self.markdown(),
            "tex": self.latex(stem.name),
            "txt": self.text() + "\n",
            "alt.txt": self.alt() + "\n",
            "json": self._json(),
        }
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in written]
        for path, text in zip(paths, written.values(), strict=True):
            write_text(path, text)
        return paths

    def _json(self) -> str:
        """Templates, values and finished text."""
        parts = {"title": (self.title,), **self.parts, "alternative": self.alternative}
        content = {
            heading: [{"template": s.template, "values": s.values, "text": as_text(s)} for s in said]
            for heading, said in parts.items()
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def to_statements(facts: Mapping[str, Any], *templates: str | Iterable[str]) -> tuple[Statement, ...]:
    """Templates, or runs of them, as statements, each with those of the facts that it uses."""
    every = [t for given in templates for t in ((given,) if isinstance(given, str) else given)]
    return tuple(
        Statement(t, {name: value for name, value in facts.items() if f"{{{name}}}" in t or f"{{{name}:" in t})
        for t in every
    )

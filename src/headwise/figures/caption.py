"""A caption: statements in four parts, rendered for a terminal, a document, a paper and a screen reader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwise.files import write_text
from headwise.representation import brief_repr
from headwise.text import Statement, as_latex, as_markdown, as_text


@dataclass(frozen=True)
class Caption:
    """A caption in four parts, each a list of statements, with an alternative text.

    Attributes
    ----------
    title : Statement
    shown, reading, findings, limits : tuple of Statement
    alternative : tuple of Statement
        A short description for readers who cannot see the figure.
    short : tuple of Statement
        The caption in at most 120 words, for a paper: what is shown, how to read it, what matters most, and how
        faithful it is; its first sentence is the title. By default the title and what is shown.
    """

    title: Statement
    shown: tuple[Statement, ...]
    reading: tuple[Statement, ...]
    findings: tuple[Statement, ...]
    limits: tuple[Statement, ...]
    alternative: tuple[Statement, ...]
    short: tuple[Statement, ...] = ()

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        if not self.short:
            object.__setattr__(self, "short", (Statement(f"{self.title.template}.", self.title.values), *self.shown))

    @property
    def parts(self) -> dict[str, tuple[Statement, ...]]:
        """The parts by their headings."""
        return {
            "What is shown": self.shown,
            "How to read it": self.reading,
            "What it shows for this input": self.findings,
            "What it does not say": self.limits,
        }

    def paragraphs(self) -> list[str]:
        """For a terminal: the title and one paragraph for each part."""
        paragraphs = [f"{heading}. {' '.join(map(as_text, part))}" for heading, part in self.parts.items()]
        return [as_text(self.title), *paragraphs]

    def text(self, *, full: bool = False) -> str:
        """The short caption, or all paragraphs, separated by blank lines."""
        return "\n\n".join(self.paragraphs()) if full else " ".join(map(as_text, self.short))

    def markdown(self, *, full: bool = False) -> str:
        """For a document: formulae between dollar signs, and in the full caption bold headings."""
        if not full:
            first, *others = map(as_markdown, self.short)
            return f"{' '.join([f'**{first}**', *others])}\n"
        paragraphs = [f"**{heading}.** {' '.join(map(as_markdown, part))}" for heading, part in self.parts.items()]
        return "\n\n".join([f"**{as_markdown(self.title)}**", *paragraphs]) + "\n"

    def latex(self, figure: str, *, one_column: bool = False) -> str:
        r"""For a paper, to be read with ``\input``: a float with the short caption.

        Only the title goes into the list of figures.

        Parameters
        ----------
        figure : str
            Name of the figure's file without its ending; also the name of the label.
        one_column : bool
            Whether the float fills one column of a page with two, or the whole width.
        """
        first, *others = map(as_latex, self.short)
        environment = "figure" if one_column else "figure*"
        return rf"""% needs \usepackage{{graphicx}}
\begin{{{environment}}}
  \centering
  \includegraphics[width=\linewidth]{{{figure}}}
  \caption[{as_latex(self.title)}]{{\textbf{{{first}}} {" ".join(others)}}}
  \label{{fig:{figure}}}
\end{{{environment}}}
"""

    def alt(self) -> str:
        """The alternative text: a few plain sentences."""
        return " ".join(map(as_text, self.alternative))

    def save(self, stem: Path, *, one_column: bool = False) -> list[Path]:
        """Write the caption as .md and .txt, short and then in full, as .tex (short), .alt.txt and .json."""
        contents = {
            "md": f"{self.markdown()}\n{self.markdown(full=True)}",
            "tex": self.latex(stem.name, one_column=one_column),
            "txt": f"{self.text()}\n\n{self.text(full=True)}\n",
            "alt.txt": self.alt() + "\n",
            "json": self._json(),
        }
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in contents]
        for path, text in zip(paths, contents.values(), strict=True):
            write_text(path, text)
        return paths

    def _json(self) -> str:
        """The template, values and text of every statement."""
        parts = {"title": (self.title,), "short": self.short, **self.parts, "alternative": self.alternative}
        content = {
            heading: [{"template": s.template, "values": s.values, "text": as_text(s)} for s in part]
            for heading, part in parts.items()
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


_MAX_WORDS = 120  # of a short caption
_EVEN = ("uniform", "uniform_distance", "uniform_entropy", "even_self")  # values of an even spread over visible tokens


Templates = Sequence[str | Iterable[str]]  # templates, and groups of them


def write_caption(
    values: Mapping[str, Any],
    title: str,
    *,
    shown: Templates,
    reading: Templates,
    findings: Templates,
    limits: Templates,
    alternative: Templates,
    short: tuple[Sequence[str], Sequence[str], Sequence[str]] | None = None,
) -> Caption:
    """A caption from templates, each with those of the values that it uses.

    The short one has the title, sentences on what is shown, as many findings as fit, and the last sentences; by default
    the title and what is shown.
    """
    groups = {"shown": shown, "reading": reading, "findings": findings, "limits": limits, "alternative": alternative}
    parts = {name: to_statements(values, *templates) for name, templates in groups.items()}
    summary = () if short is None else _shorten(values, [f"{title}.", *short[0]], *short[1:])
    return Caption(to_statements(values, title)[0], **parts, short=summary)


def _shorten(
    values: Mapping[str, Any], shown: Sequence[str], findings: Sequence[str], last: Sequence[str]
) -> tuple[Statement, ...]:
    """A short caption: as many of the findings, in order of importance, as fit between the other sentences."""
    remaining = [template for template in findings if template]
    while True:
        statements = to_statements(values, [t for t in shown if t], remaining, [t for t in last if t])
        if not remaining or sum(len(as_text(s).split()) for s in statements) <= _MAX_WORDS:
            return statements
        remaining.pop()


def to_statements(values: Mapping[str, Any], *templates: str | Iterable[str]) -> tuple[Statement, ...]:
    """Pair each template, or each template of a group, with those of the values that it uses.

    A value of an even spread that differs between layers is written as a range, from ``name_low`` to ``name_high``.
    """
    flat = [_with_ranges(t, values) for group in templates for t in ((group,) if isinstance(group, str) else group)]
    return tuple(
        Statement(t, {name: value for name, value in values.items() if f"{{{name}}}" in t or f"{{{name}:" in t})
        for t in flat
    )


def _with_ranges(template: str, values: Mapping[str, Any]) -> str:
    for name in _EVEN:
        if f"{name}_low" in values:
            template = re.sub(rf"\{{{name}(:[^}}]*)\}}", rf"{{{name}_low\1}} to {{{name}_high\1}}", template)
    return template

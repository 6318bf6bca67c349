"""A document of statements, tables and figures, as one HTML file that needs nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from headwise.figures.captions.caption import Caption
from headwise.figures.save import svg_data_uri
from headwise.files import to_csv, write_text
from headwise.shapes import Array
from headwise.text.statement import Statement, as_html, as_text

__all__ = [
    "BACKLINK_LABEL",
    "Block",
    "Code",
    "Derivation",
    "Document",
    "FigureBlock",
    "Paragraph",
    "Section",
    "Step",
    "Table",
]


BACKLINK_LABEL = "What stands behind it"  # the heading over seeds and runs in a figure's caption
_STOPPED = re.compile(r"<math\b(?:(?!</math>).)*</math>[.,;:)]+", re.DOTALL)


@dataclass(frozen=True)
class Paragraph:
    """Statements that belong together."""

    statements: tuple[Statement, ...]
    kind: str = "paragraph"


@dataclass(frozen=True)
class Table:
    """A table with a heading for each column, and for each row where the first column is one.

    `words` tells that its cells hold sentences, to be broken into lines.
    """

    title: Statement
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str
    words: bool = False
    kind: str = "table"

    @classmethod
    def of_matrix(
        cls,
        title: Statement,
        name: str,
        matrix: Array,
        rows: Sequence[str],
        columns: Sequence[str],
        form: str = ".4f",
    ) -> Table:
        """Numbers with four decimals, or in another form."""
        body = tuple(
            (row, *(f"{value:{form}}" for value in values)) for row, values in zip(rows, matrix.tolist(), strict=True)
        )
        return cls(title, ("", *columns), body, name)

    def csv(self) -> str:
        """The same table for a program."""
        return to_csv(self.columns, self.rows)


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption: a title and paragraphs under headings."""

    source: str  # a data URI
    title: Statement
    parts: dict[str, tuple[Statement, ...]]
    files: tuple[str, ...]
    kind: str = "figure"

    @property
    def alternative(self) -> str:
        """What a screen reader says for the picture: the title and what is shown."""
        shown = next(iter(self.parts.values()), ())
        return " ".join([as_text(self.title) + ".", *map(as_text, shown)])

    @classmethod
    def captioned(cls, caption: Caption, behind: Statement, files: Sequence[Path], root: Path) -> FigureBlock:
        """A saved figure with a caption that was measured and what stands behind it, linked to its files."""
        parts = {**caption.parts, BACKLINK_LABEL: (behind,)}
        return cls(svg_data_uri(files), caption.title, parts, tuple(str(path.relative_to(root)) for path in files))


class Step(NamedTuple):
    """One step of a derivation.

    Attributes
    ----------
    words : Statement or str
        Why it is taken.
    tex : str
        What it says, in LaTeX; empty where the words say all.
    holds : bool, optional
        Whether it was verified; None for an argument that there is nothing to verify by.
    """

    words: Statement | str
    tex: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Derivation:
    """Steps, one leading to the next."""

    steps: tuple[Step, ...]
    kind: str = "derivation"


@dataclass(frozen=True)
class Code:
    """A program as it stands in a file."""

    title: Statement
    source: str
    kind: str = "code"


Block = Paragraph | Table | FigureBlock | Derivation | Code


@dataclass(frozen=True)
class Section:
    """A heading, what stands under it, and the sections inside it.

    Attributes
    ----------
    anchor, heading : str
    blocks : tuple
    sections : tuple of Section
    number : str
        As the table of contents prints it, such as ``"2"`` or ``"(b)"``.
    """

    anchor: str
    heading: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    number: str = ""

    @property
    def all_blocks(self) -> Iterator[Block]:
        """Its own, and those of the sections inside."""
        yield from self.blocks
        for section in self.sections:
            yield from section.all_blocks


@dataclass(frozen=True)
class Document:
    """A whole document.

    Attributes
    ----------
    title : str
    subtitle : tuple of Statement
        What it is.
    abstract : tuple of Statement
        What it found, in short.
    sections : tuple of Section
    files : tuple of str
        The same document in other forms, beside the page.
    """

    title: str
    subtitle: tuple[Statement, ...]
    abstract: tuple[Statement, ...]
    sections: tuple[Section, ...]
    files: tuple[str, ...] = ()

    def html(self) -> str:
        """The whole page."""
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["statement"] = _said
        environment.filters["mathml"] = lambda tex: Markup(convert(tex, display="block"))
        source = (files("headwise.document") / "document.html").read_text(encoding="utf-8")
        return environment.from_string(source).render(document=self) + "\n"

    def save(self, folder: Path) -> Path:
        """Write ``index.html``, and every table as CSV in ``tables/``."""
        for section in self.sections:
            for block in section.all_blocks:
                if isinstance(block, Table):
                    write_text(folder / "tables" / f"{block.name}.csv", block.csv())
        page = folder / "index.html"
        write_text(page, self.html())
        return page


def _said(words: Statement | str) -> Markup:
    """A statement with its formulae, none of them on another line than the stop after it."""
    if not isinstance(words, Statement):
        return escape(words)
    return Markup(_STOPPED.sub(r'<span class="together">\g<0></span>', as_html(words)))

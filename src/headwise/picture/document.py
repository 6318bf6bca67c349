"""A document of statements, tables and figures, as one HTML file that needs nothing beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup

from headwise.files import write_text
from headwise.picture.caption import Caption
from headwise.picture.text import Statement, as_html, as_text
from headwise.shapes import Array

__all__ = ["Derivation", "Document", "Figured", "Paragraph", "Section", "Table"]


@dataclass(frozen=True)
class Paragraph:
    """Statements that belong together."""

    statements: tuple[Statement, ...]
    kind: str = "paragraph"


@dataclass(frozen=True)
class Table:
    """A table with a heading for each column, and for each row where the first column is one."""

    title: Statement
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str
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
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()


@dataclass(frozen=True)
class Figured:
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
    def captioned(cls, source: str, caption: Caption, files: Sequence[Path], root: Path) -> Figured:
        """A figure with a caption that was measured, linked to its files."""
        return cls(source, caption.title, caption.parts, tuple(str(path.relative_to(root)) for path in files))


@dataclass(frozen=True)
class Derivation:
    """Steps of a derivation: words, the formula they lead to in LaTeX, and whether it was verified."""

    steps: tuple[tuple[str, str, bool], ...]
    kind: str = "derivation"


Block = Paragraph | Table | Figured | Derivation


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    anchor: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A title, a line below it, and sections."""

    title: str
    subtitle: Statement
    sections: tuple[Section, ...]

    def html(self) -> str:
        """The whole page."""
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["statement"] = lambda statement: Markup(as_html(statement))
        environment.filters["mathml"] = lambda tex: Markup(convert(tex, display="block"))
        source = (files("headwise.picture") / "document.html").read_text(encoding="utf-8")
        return environment.from_string(source).render(document=self) + "\n"

    def save(self, folder: Path) -> Path:
        """Write ``index.html``, and every table as CSV in ``tables/``."""
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Table):
                    write_text(folder / "tables" / f"{block.name}.csv", block.csv())
        page = folder / "index.html"
        write_text(page, self.html())
        return page

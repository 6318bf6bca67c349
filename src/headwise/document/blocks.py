"""The parts of a document: paragraphs, tables, figures, derivations, code and sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from headwise.document.html import render_template
from headwise.figures import Caption, svg_data_uri
from headwise.files import to_csv, write_text
from headwise.shapes import Array
from headwise.text import Statement, as_text

_NARROW = 8  # columns of a table that has room for another next to it
BACKLINK_LABEL = "Data and seeds"  # the heading of the last part of a figure's caption


class Paragraph:
    """Statements that form a paragraph."""

    kind = "paragraph"

    def __init__(self, *statements: Statement) -> None:
        self.statements = statements


@dataclass(frozen=True)
class Table:
    """A table with a heading for each column; the first cell of a row is the heading of the row.

    Set `words` if the cells contain sentences, so that their lines are wrapped.
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
        number_format: str = ".4f",
    ) -> Table:
        """Build a table of numbers in this format."""
        body = tuple(
            (row, *(f"{value:{number_format}}" for value in values))
            for row, values in zip(rows, matrix.tolist(), strict=True)
        )
        return cls(title, ("", *columns), body, name)

    def csv(self) -> str:
        """The table as CSV."""
        return to_csv(self.columns, self.rows)


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption.

    Attributes
    ----------
    source : str
        A data URI.
    title : Statement
    parts : dict
        The caption's paragraphs by their headings.
    files : tuple of str
        Its files, relative to the document's folder.
    short : tuple of Statement
        The caption in a few sentences.
    folded : bool
        Whether the short caption is shown, and the paragraphs only when a reader opens them.
    """

    source: str
    title: Statement
    parts: dict[str, tuple[Statement, ...]]
    files: tuple[str, ...]
    short: tuple[Statement, ...] = ()
    folded: bool = False
    kind: str = "figure"

    @property
    def alternative(self) -> str:
        """The alternative text: the title and what is shown."""
        shown = next(iter(self.parts.values()), ())
        return " ".join([as_text(self.title) + ".", *map(as_text, shown)])

    @classmethod
    def captioned(
        cls, caption: Caption, provenance: Statement, files: Sequence[Path], root: Path, *, folded: bool = False
    ) -> FigureBlock:
        """Build a block from a saved figure, its measured caption and its provenance, with links to its files."""
        parts = {**caption.parts, BACKLINK_LABEL: (provenance,)}
        names = tuple(str(path.relative_to(root)) for path in files)
        _, *short = caption.short  # the first sentence is the title
        return cls(svg_data_uri(files), caption.title, parts, names, tuple(short), folded)

    def abridged(self) -> FigureBlock:
        """The same with the short caption only."""
        return replace(self, parts={}, folded=True)


class Step(NamedTuple):
    """One step of a derivation.

    Attributes
    ----------
    words : Statement or str
        The reason for the step.
    tex : str
        Its formula in LaTeX; may be empty.
    holds : bool, optional
        Whether it was verified; None if there is nothing to verify.
    """

    words: Statement | str
    tex: str = ""
    holds: bool | None = None


class Derivation:
    """A sequence of steps."""

    kind = "derivation"

    def __init__(self, *steps: Step) -> None:
        self.steps = steps


@dataclass(frozen=True)
class Code:
    """The source of a program."""

    title: Statement
    source: str
    kind: str = "code"


@dataclass(frozen=True)
class Widget:
    """An interactive figure: HTML with controls, and a script that draws; it needs no server.

    Attributes
    ----------
    name : str
        The HTML id of its element.
    title : Statement
    description : tuple of Statement
        What is shown, for all readers.
    markup, script : str
        HTML and JavaScript of the program, not of users.
    """

    name: str
    title: Statement
    description: tuple[Statement, ...]
    markup: str
    script: str
    kind: str = "widget"


Block = Paragraph | Table | FigureBlock | Derivation | Code | Widget


@dataclass(frozen=True)
class Section:
    """A heading with its blocks and subsections.

    Attributes
    ----------
    anchor, heading : str
    blocks : tuple
    sections : tuple of Section
    number : str
        As shown in the table of contents, such as ``"2"`` or ``"(b)"``.
    """

    anchor: str
    heading: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    number: str = ""

    @property
    def all_blocks(self) -> Iterator[Block]:
        """All blocks, including those of subsections."""
        yield from self.blocks
        for section in self.sections:
            yield from section.all_blocks


class Numbering:
    """Numbers of the figures and tables of a document, and which of them follow each paragraph."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self.labels: dict[int, tuple[str, str]] = {}
        self.references: dict[int, list[tuple[str, str]]] = {}
        counts = {"Figure": 0, "Table": 0}
        for section in sections:
            paragraph: Block | None = None
            for block in section.all_blocks:
                if isinstance(block, Paragraph):
                    paragraph = block
                elif isinstance(block, Table | FigureBlock | Widget):
                    word = "Table" if isinstance(block, Table) else "Figure"
                    counts[word] += 1
                    label = f"{word} {counts[word]}", f"{word.lower()}-{counts[word]}"
                    self.labels[id(block)] = label
                    if paragraph is not None:
                        self.references.setdefault(id(paragraph), []).append(label)

    def label(self, block: Block) -> tuple[str, str]:
        """``Figure 3`` or ``Table 2``, and its anchor."""
        return self.labels[id(block)]

    def following(self, block: Block) -> list[tuple[str, str]]:
        """The first figures and tables after a paragraph and before the next."""
        return self.references.get(id(block), [])

    @staticmethod
    def groups(blocks: Sequence[Block]) -> Iterator[list[Block]]:
        """The blocks, with consecutive small matrices together."""
        group: list[Block] = []
        for block in blocks:
            small = isinstance(block, Table) and not block.words and len(block.columns) <= _NARROW
            if group and not small:
                yield group
                group = []
            if small:
                group.append(block)
            else:
                yield [block]
        if group:
            yield group


@dataclass(frozen=True)
class Document:
    """A whole document.

    Attributes
    ----------
    title : str
    subtitle : tuple of Statement
        One or two sentences below the title.
    abstract : tuple of Statement
        The main results.
    sections : tuple of Section
    files : tuple of str
        The same document in other formats, in the same folder.
    """

    title: str
    subtitle: tuple[Statement, ...]
    abstract: tuple[Statement, ...]
    sections: tuple[Section, ...]
    files: tuple[str, ...] = ()

    def html(self) -> str:
        """The document as one HTML file without external parts."""
        return render_template("headwise.document", "document.html", document=self, numbers=Numbering(self.sections))

    def save(self, folder: Path, name: str = "index.html") -> Path:
        """Write the page, and every table as CSV in ``tables/``."""
        for section in self.sections:
            for block in section.all_blocks:
                if isinstance(block, Table):
                    write_text(folder / "tables" / f"{block.name}.csv", block.csv())
        page = folder / name
        write_text(page, self.html())
        return page

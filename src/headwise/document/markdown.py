"""Statements and tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwise.document.blocks import Table
from headwise.text import Statement, as_markdown


def as_markdown_page(title: str, parts: Mapping[str, Sequence[Statement]], tables: Sequence[Table] = ()) -> str:
    """Render paragraphs under their headings, then the tables, each with its title.

    Examples
    --------
    >>> print(as_markdown_page("Scores", {"Findings": [Statement("None."), Statement("Yet.")]}), end="")
    # Scores
    <BLANKLINE>
    ## Findings
    <BLANKLINE>
    None. Yet.
    """
    blocks = [f"# {title}"]
    for heading, statements in parts.items():
        blocks += [f"## {heading}", " ".join(map(as_markdown, statements))]
    for table in tables:
        blocks += [as_markdown(table.title), as_markdown_table(table)]
    return "\n\n".join(blocks) + "\n"


def as_markdown_table(table: Table) -> str:
    """Render columns and rows, numbers aligned to the right, without the title.

    Examples
    --------
    >>> print(as_markdown_table(Table(Statement("Scores"), ("model", "right"), (("rows", "97"),), "scores")))
    | model | right |
    | --- | ---: |
    | rows | 97 |
    """
    lines = [table.columns, ("---", *["---:"] * (len(table.columns) - 1)), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

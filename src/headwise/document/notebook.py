"""Jupyter notebooks: sections as Markdown cells, and code with what it printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from headwise.document.blocks import Block, Code, Derivation, Paragraph, Section, Table
from headwise.document.markdown import as_markdown_table
from headwise.text import Statement, as_markdown


class NotebookCell(NamedTuple):
    """A cell: Markdown, or code with its output."""

    source: str
    is_code: bool = False
    output: str = ""


def markdown_cells(section: Section, level: int = 2) -> Iterator[NotebookCell]:
    """A section as a cell, and one for each of its subsections; figures are left out."""
    number = f"{section.number} " if section.number else ""
    parts = [f"{'#' * level} {number}{section.heading}"]
    parts += [text for block in section.blocks if (text := _block(block))]
    yield NotebookCell("\n\n".join(parts))
    for inner in section.sections:
        yield from markdown_cells(inner, level + 1)


def notebook_json(cells: Sequence[NotebookCell]) -> str:
    """A notebook in the format nbformat 4.5.

    Examples
    --------
    >>> json.loads(notebook_json([NotebookCell("print(1)", True, "1")]))["cells"][0]["outputs"][0]["text"]
    ['1']
    """
    content = {
        "cells": [_cell(cell, number) for number, cell in enumerate(cells, 1)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _cell(cell: NotebookCell, number: int) -> dict[str, Any]:
    base = {"id": f"cell-{number}", "metadata": {}, "source": cell.source.splitlines(keepends=True)}
    if not cell.is_code:
        return {"cell_type": "markdown", **base}
    text = cell.output.splitlines(keepends=True)
    outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    return {"cell_type": "code", "execution_count": number, "outputs": outputs, **base}


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return " ".join(map(_text, block.statements))
        case Derivation():
            return "\n\n".join(_step(i, *step) for i, step in enumerate(block.steps, 1))
        case Code():
            return f"```python\n{block.source}\n```"
        case Table():
            return f"{_text(block.title)}\n\n{as_markdown_table(block)}"
    return ""


def _step(number: int, words: Statement | str, tex: str, holds: bool | None) -> str:
    verdict = "" if holds is None else " *(verified)*" if holds else " **(NOT verified)**"
    return f"{number}. {_text(words)}{verdict}" + (f"\n\n   $${tex}$$" if tex else "")


def _text(text: Statement | str) -> str:
    return as_markdown(text) if isinstance(text, Statement) else text

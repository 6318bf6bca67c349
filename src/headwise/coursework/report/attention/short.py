"""Short answers to the questions of the first part: derivation and numbers, at most a page each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwise.coursework.results import Coursework
from headwise.document import Block, Code, Derivation, FigureBlock, Paragraph, Section, Table

_MOST = 60  # numbers of a table that a short answer prints


def short_answers(study: Coursework, sections: Sequence[Section]) -> tuple[Section, ...]:
    """The paragraphs, derivations, figures of weights and small tables of the full account, question by question."""
    by_anchor = {section.anchor: section for section in sections}
    heads = tuple(f"output-{run.heads}" for run in study.runs)
    swapped = tuple(f"{name}-swapped" for name in heads)
    tables = {"runs": heads, "swap": swapped[:1], "difference": ("one-pair",), "expressiveness": ("directions",)}
    derivations = {"expressiveness": 2}
    return tuple(
        Section(
            f"short-{anchor}",
            section.heading,
            tuple(_keep(section.blocks, tables.get(anchor, ()), derivations.get(anchor, 9), anchor == "runs")),
            number=section.number,
        )
        for anchor, section in by_anchor.items()
        if anchor != "arrays"
    )


def _keep(blocks: Sequence[Block], tables: tuple[str, ...], derivations: int, figures: bool) -> list[Block]:
    selected: list[Block] = []
    for block in blocks:
        if isinstance(block, Derivation):
            derivations -= 1
        if isinstance(block, FigureBlock) and figures:
            again = any(isinstance(other, FigureBlock) for other in selected)  # how to read it has been explained
            short = block.parts.get("What it says", ()) if again else block.short
            selected.append(replace(block.abridged(), short=short))
        elif isinstance(block, Table):
            if block.name in tables and len(block.rows) * len(block.columns) <= _MOST:
                selected.append(block)
        elif isinstance(block, Paragraph | Derivation | Code) and derivations >= 0:
            selected.append(block)
    return selected

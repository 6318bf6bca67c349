"""The report's first part: multi-head self-attention on arrays small enough to print.

Sections: the functions, the arrays, the outputs, permuted inputs, why the number of heads matters, expressiveness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headwise.coursework.expressiveness.study import Expressiveness, expressiveness
from headwise.coursework.report.attention.equivariance import equivariance_section
from headwise.coursework.report.attention.expressive_power import expressiveness_section, setting_of
from headwise.coursework.report.attention.functions_and_arrays import arrays_section, functions_section
from headwise.coursework.report.attention.head_count import head_count_section
from headwise.coursework.report.attention.outputs import outputs_section
from headwise.coursework.report.context import Chapter, ReportContext
from headwise.coursework.results import Coursework, max_relative_difference
from headwise.coursework.solution import Notation
from headwise.document import Block, Code, Derivation, FigureBlock, Paragraph, Section, Table
from headwise.files import atomic_write
from headwise.hashing import fingerprint
from headwise.text import Statement, scientific

__all__ = ["attention_chapter"]

_N_FITS = 4  # each family to itself and to the other
_MOST = 60  # numbers of a table that a short answer prints


def attention_chapter(context: ReportContext) -> Chapter:
    """Run the coursework and the fits, and describe them."""
    context.progress.stage("attention on the coursework's arrays", 1)
    study = context.coursework
    with atomic_write(context.folder / "arrays" / "coursework.npz") as temporary:
        np.savez(temporary, allow_pickle=False, **study.arrays)
    sections = [
        functions_section(study, Notation.of(study.arrays, context.inputs)),
        arrays_section(study, context),
        outputs_section(study, context),
        equivariance_section(study),
        *([head_count_section(study)] if len(study.runs) > 1 else []),
    ]
    context.progress.advance()
    families = _families(study, context)
    sections.append(expressiveness_section(families, study, context))
    return Chapter(
        Section("attention", "Computer assignment: multi-head self-attention", sections=tuple(sections), number="1"),
        (_headline(study),),
        (
            ("coursework arrays", context.arrays_name),
            ("coursework arrays, SHA-256", fingerprint(*study.arrays.values())),
            ("fits of one family to the other", f"seed {families.seed}, {families.starts} starts each"),
        ),
        short_answers(study, sections),
    )


def _families(study: Coursework, context: ReportContext) -> Expressiveness:
    budget, setting = context.budget, setting_of(study)
    settings = {"targets": budget.targets, "starts": budget.starts, "steps": budget.steps, "seed": budget.seed}
    context.progress.stage("one head or several, fitted to each other", _N_FITS)
    return Expressiveness.from_json(
        context.store.cached(
            "expressiveness",
            {**settings, "setting": setting},
            lambda: expressiveness(setting, **settings, on_fit=context.progress.advance).to_json(),
        )
    )


def _headline(study: Coursework) -> Statement:
    single_head, multi_head = study.runs[0], study.runs[-1]
    if single_head is multi_head:
        return Statement(
            "On the coursework's arrays, permuted inputs give permuted outputs to within {moved} of the largest, over "
            "{permutations} permutations.",
            {"moved": scientific(single_head.equivariance.output), "permutations": study.permutations},
        )
    furthest = float(np.abs(single_head.result.output - multi_head.result.output).max())
    outcome = (
        "differ by up to {furthest:.4g} though the matrices are the same"
        if max_relative_difference(single_head.result.output, multi_head.result.output) > study.rounding
        else "agree"
    )
    return Statement(
        "On the coursework's arrays, the outputs for H = {few} and H = {many} " + outcome + "; permuted inputs give "
        "permuted outputs to within {moved} of the largest, over {permutations} permutations.",
        {
            "few": single_head.heads,
            "many": multi_head.heads,
            "furthest": furthest,
            "moved": scientific(max(run.equivariance.output for run in study.runs)),
            "permutations": study.permutations,
        },
    )


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

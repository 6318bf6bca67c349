"""Rows instead of patches: what must change, whether it works as well, what is lost and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from headwise.coursework.report.context import ReportContext
from headwise.coursework.report.vision.claims import claims_table
from headwise.coursework.report.vision.shapes import shapes_table
from headwise.document import Block, Paragraph, Section
from headwise.experiments.results_cache import cached_result
from headwise.experiments.statistics import ALPHA, min_attainable_p
from headwise.experiments.tokenizers.findings import findings
from headwise.experiments.tokenizers.result import Comparison
from headwise.experiments.tokenizers.result_tables import tables
from headwise.experiments.tokenizers.run import compare, figures
from headwise.text import Statement, pluralize
from headwise.tokenizers import get_tokenizer

__all__ = ["headline", "tokenizer_comparison", "tokenizers_section"]

_TITLES = {
    "accuracy": "Every run, the means, and the differences within seeds",
    "shifted": "What moving all digits does to the accuracy",
    "positions": "What the positions learn: cosines between the tokens' position embeddings, mean over seeds",
    "sizes": "Accuracy against the number of training digits",
}
_SHOWN = {
    "accuracy": "Left, a dot is a run, a bar the mean over seeds with Student's interval; right, mean differences to "
    "what is named after the minus sign, within seeds, with the same interval.",
    "shifted": "Change in points when all judged digits are moved to the right, or down, by so many pixels; mean over "
    "seeds. The grey band is as far as digits were moved in training.",
    "positions": "Row n, column m: how alike the embeddings of the positions n and m are, from opposite to equal.",
    "sizes": "Share of digits read correctly after training on so many, about as many steps each; mean over seeds.",
}


def tokenizer_comparison(desk: ReportContext) -> Comparison:
    """All runs of the plan, in as many processes as there are workers; kept, with the times that were taken."""
    plan = desk.effort.cuts

    def make() -> object:
        folder = desk.folder / "studies" / "tokenisations"
        return compare(folder, plan, load=desk.load, workers=desk.processes, progress=desk.progress).to_json()

    made_of = {"jobs": [job.identity for job in plan.jobs(desk.digits)]}
    return Comparison.from_json(cached_result(desk.folder / "studies" / "tokenisations.json", made_of, make))


def headline(comparison: Comparison) -> Statement:
    """Whether rows, the second cut, do as well as the first."""
    pair = next(pair for pair in comparison.pairs if pair.name == comparison.names[1])
    verdict = {
        "better": "Cut into {name} instead of {base}, the same transformer reads digits better",
        "worse": "Cut into {name} instead of {base}, the same transformer reads digits worse",
        "no difference shown": "Cut into {name} instead of {base}, the same transformer shows no difference",
    }[pair.verdict]
    if min_attainable_p(comparison.seeds) > ALPHA:
        verdict = "Whether {name} instead of {base} make a difference cannot be told"
    return Statement(
        verdict + " ({points:+.2f} points over {seeds}, p = {p:.2g} in the exact paired test).",
        {
            "name": pair.name,
            "base": pair.base,
            "points": 100 * comparison.difference(pair).mean,
            "seeds": pluralize(comparison.seeds, "seed"),
            "p": pair.p_seeds,
        },
    )


def tokenizers_section(comparison: Comparison, desk: ReportContext) -> Section:
    """The answer in three parts, and its limits."""
    said = findings(comparison)
    shown = {table.name: replace(table, name=f"cuts-{table.name}") for table in tables(comparison)}
    drawn = {name: block for name, block in _figures(comparison, desk)}
    plan = desk.effort.cuts
    first, second = (plan.of(name) for name in comparison.names[:2])
    desk.progress.stage("what a cut keeps together", 1)
    claims = claims_table(comparison, desk.digits)
    desk.progress.advance()
    return Section(
        "cuts",
        "Rows instead of patches",
        (Paragraph((_answer(comparison), *said["What was compared"])),),
        (
            Section(
                "cuts-change",
                "What must change",
                (
                    Paragraph(_change(comparison)),
                    shapes_table(first, second),
                    shown["costs"],
                ),
            ),
            Section(
                "cuts-works",
                "Whether it works as well",
                _blocks(said.get("Which cut reads better"), shown["accuracy"], shown["differences"], drawn["accuracy"]),
            ),
            Section(
                "cuts-lost",
                "What is lost, and what is not",
                _blocks(
                    (_CLAIMS,),
                    claims,
                    *_blocks(said.get("What rearranging the pixels does")),
                    *_blocks(said.get("What moving the digit does")),
                    shown["shifted"],
                    drawn["shifted"],
                    *_blocks(said.get("What the positions learn")),
                    drawn["positions"],
                    *_blocks(said.get("With fewer digits")),
                    *((shown["sizes"], drawn["sizes"]) if "sizes" in drawn else ()),
                ),
            ),
            Section("cuts-limits", "What this does not say", _blocks(said.get("What it does not say"))),
        ),
        number="(b)",
    )


_CLAIMS = Statement("Each claim about what a cut into rows loses or keeps stands beside an experiment that tests it.")


def _blocks(statements: tuple[Statement, ...] | None, *others: Block) -> tuple[Block, ...]:
    return (*((Paragraph(statements),) if statements else ()), *others)


def _answer(comparison: Comparison) -> Statement:
    first, second = (get_tokenizer(name, comparison.model.image_size) for name in comparison.names[:2])
    return Statement(
        "Instead of {count} tokens of {height} × {width} pixels the model gets {others} of {rows} × {columns}. The "
        "transformer itself need not know.",
        {
            "count": first.num_tokens,
            "height": first.patch_size[0],
            "width": first.patch_size[1],
            "others": second.num_tokens,
            "rows": second.patch_size[0],
            "columns": second.patch_size[1],
        },
    )


def _change(comparison: Comparison) -> tuple[Statement, ...]:
    first, second = comparison.entries[:2]
    d = comparison.model.d_model
    return (
        Statement(
            "The embedding goes from {d} × {before} to {d} × {after}, and the positions from {few} to {many}, beside "
            "the class token's. Queries, keys, values, the MLP and the classification head act on tokens of width {d}, "
            "however many there are, and keep their shapes; the matrix of attention weights grows, but holds no "
            "learned numbers.",
            {
                "d": d,
                "before": first.cost.inputs,
                "after": second.cost.inputs,
                "few": first.cost.tokens,
                "many": second.cost.tokens,
            },
        ),
    )


def _figures(comparison: Comparison, desk: ReportContext) -> Iterator[tuple[str, Block]]:
    behind = Statement(
        "{runs} of each, seeds {first} to {last}.",
        {
            "runs": pluralize(comparison.seeds, "run"),
            "first": comparison.recipe.seed,
            "last": comparison.recipe.seed + comparison.seeds - 1,
        },
    )
    arrays: dict[str, dict[str, Any]] = {
        "accuracy": {entry.name: entry.right for entry in comparison.entries},
        "shifted": {entry.name: entry.moved for entry in comparison.entries},
        "positions": {entry.name: entry.similarity for entry in comparison.entries},
        "sizes": {"right": comparison.by_size},
    }
    for name, figure in figures(comparison).items():
        yield (
            name,
            desk.figure(
                figure,
                f"cuts-{name}",
                Statement(_TITLES[name]),
                shown=(Statement(_SHOWN[name]),),
                behind=behind,
                arrays=arrays[name],
            ),
        )

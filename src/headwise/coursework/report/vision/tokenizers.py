"""Rows instead of patches: which shapes change, whether it works as well, what is lost and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from headwise.coursework.report.context import ReportContext
from headwise.coursework.report.vision.claims import claims_table
from headwise.coursework.report.vision.long_study import recorded_section
from headwise.document import Block, Paragraph, Section, Table
from headwise.experiments.statistics import ALPHA, min_attainable_p
from headwise.experiments.tokenizers import EXPERIMENT, TokenizersResult
from headwise.models.vit import ViTConfig, vit_params
from headwise.nn.params import Params
from headwise.text import Statement, pluralize
from headwise.tokenizers import get_tokenizer

_LABELS = {
    "embedding.token.weight": "embedding, matrix",
    "embedding.token.bias": "embedding, bias",
    "embedding.class_token": "class token",
    "embedding.positions": "positions, with the class token's",
}
_TITLES = {
    "accuracy": "Every run, the means, and the differences within seeds",
    "shifted": "What shifting all digits does to the accuracy",
    "positions": "Cosines between the learned position embeddings, mean over seeds",
    "sizes": "Accuracy against the number of training digits",
}
_SHOWN = {
    "accuracy": "Left, a dot is a run, a diamond the mean over seeds with Student's interval; right, mean differences "
    "to the tokenizer after the minus sign, within seeds, with the same interval.",
    "shifted": "Change in points when all test digits are shifted right, or down, by this number of pixels; mean "
    "over seeds. The grey band is the range of shifts in training.",
    "positions": "Row n, column m: the similarity of the embeddings of positions n and m, from opposite to equal.",
    "sizes": "Share of digits classified correctly after training on this number, for about as many steps each; mean "
    "over seeds.",
}


def headline(result: TokenizersResult) -> Statement:
    """Whether rows, the second tokenizer, do as well as the first."""
    pair = next(pair for pair in result.pairs if pair.name == result.names[1])
    verdict = {
        "better": "With {name} instead of {base}, the same transformer is more accurate",
        "worse": "With {name} instead of {base}, the same transformer is less accurate",
        "no difference shown": "Between {name} and {base}, no difference in accuracy is shown",
    }[pair.verdict]
    if min_attainable_p(result.seeds) > ALPHA:
        verdict = "Whether {name} or {base} are more accurate cannot be shown with so few seeds"
    return Statement(
        verdict + " ({points:+.2f} points over {seeds}, p = {p:.2g} in the exact paired test).",
        {
            "name": pair.name,
            "base": pair.base,
            "points": 100 * result.difference(pair).mean,
            "seeds": pluralize(result.seeds, "seed"),
            "p": pair.p_seeds,
        },
    )


def tokenizers_section(result: TokenizersResult, context: ReportContext) -> Section:
    """The answer in three parts, and its limits."""
    statements = EXPERIMENT.findings(result)
    tables = {table.name: replace(table, name=f"cuts-{table.name}") for table in EXPERIMENT.tables(result)}
    figures = dict(_figures(result, context))
    first, second = (context.budget.tokenizers.model_with(name) for name in result.names[:2])
    context.progress.stage("locality of the tokenizers", 1)
    claims = claims_table(result, context.digits)
    context.progress.advance()
    change = (Paragraph(_change(result)), shapes_table(first, second), tables["costs"])
    accuracy = _blocks(statements.get("Accuracy"), tables["accuracy"], tables["differences"], figures["accuracy"])
    lost = _blocks(
        (_CLAIMS,),
        claims,
        *_blocks(statements.get("Shuffled pixels")),
        *_blocks(statements.get("Shifted digits"), tables["shifted"], figures["shifted"]),
        *_blocks(statements.get("Position embeddings"), figures["positions"]),
        *_blocks(statements.get("Smaller training sets")),
        *((tables["sizes"], figures["sizes"]) if "sizes" in figures else ()),
    )
    return Section(
        "cuts",
        "Rows instead of patches",
        (Paragraph(_answer(result), *statements["What was compared"]),),
        (
            Section("cuts-change", "What must change", change),
            Section("cuts-works", "Whether it works as well", accuracy),
            Section("cuts-lost", "What is lost, and what is not", lost),
            recorded_section(),
            Section("cuts-limits", "What this does not show", _blocks(statements.get("Limits"))),
        ),
        number="(b)",
    )


_CLAIMS = Statement("Each claim about what rows lose or keep is listed with an experiment that tests it.")


def _blocks(statements: tuple[Statement, ...] | None, *others: Block) -> tuple[Block, ...]:
    return (*((Paragraph(*statements),) if statements else ()), *others)


def _answer(result: TokenizersResult) -> Statement:
    first, second = (get_tokenizer(name, result.model.image_size) for name in result.names[:2])
    return Statement(
        "Instead of {count} tokens of {height} × {width} pixels the model gets {others} of {rows} × {columns}. The "
        "rest of the transformer stays the same.",
        {
            **dict(zip(("count", "height", "width"), (first.num_tokens, *first.patch_size), strict=True)),
            **dict(zip(("others", "rows", "columns"), (second.num_tokens, *second.patch_size), strict=True)),
        },
    )


def _change(result: TokenizersResult) -> Statement:
    before, after = (entry.cost for entry in result.entries[:2])
    values = {"before": before.inputs, "after": after.inputs, "few": before.tokens, "many": after.tokens}
    return Statement(
        "The embedding goes from {d} × {before} to {d} × {after}, and the positions from {few} to {many}, in "
        "addition to the class token's. Queries, keys, values, the MLP and the classification head act on tokens "
        "of width {d} and keep their shapes for any number of tokens; the matrix of attention weights grows, but "
        "has no trained parameters.",
        {"d": result.model.d_model, **values},
    )


def _figures(result: TokenizersResult, context: ReportContext) -> Iterator[tuple[str, Block]]:
    first = result.recipe.seed
    basis = Statement(
        "{runs} of each, seeds {first} to {last}.",
        {"runs": pluralize(result.seeds, "run"), "first": first, "last": first + result.seeds - 1},
    )
    arrays: dict[str, dict[str, Any]] = {
        "accuracy": {entry.name: entry.n_correct for entry in result.entries},
        "shifted": {entry.name: entry.n_correct_shifted for entry in result.entries},
        "positions": {entry.name: entry.similarity for entry in result.entries},
        "sizes": {"n_correct": result.n_correct_by_size},
    }
    for name, figure in EXPERIMENT.figures(result).items():
        title, shown = Statement(_TITLES[name]), (Statement(_SHOWN[name]),)
        yield name, context.figure(figure, f"cuts-{name}", title, shown=shown, basis=basis, arrays=arrays[name])


def shapes_table(first: ViTConfig, second: ViTConfig) -> Table:
    """Every parameter of the two models, with one row for the same parameter of all blocks, and the activations."""
    shapes = [_shapes(model) for model in (first, second)]
    sizes = [(m.image_tokenizer.num_tokens, m.image_tokenizer.token_dim) for m in (first, second)]
    rows = [("tokens, and values in each", *(_times(*size) for size in sizes))]
    rows += [(_label(name, first.n_layers), *(by_name[name] for by_name in shapes)) for name in shapes[0]]
    rows += [
        ("attention weights of a head", *(_times(1 + n, 1 + n) for n, _ in sizes)),
        ("parameters in total", *(f"{sum(array.size for array in _params(m).values()):,}" for m in (first, second))),
    ]
    return Table(
        Statement("Shapes, and whether they change."),
        ("", first.tokenizer, second.tokenizer, "changes"),
        tuple((*row, "yes" if row[1] != row[2] else "no") for row in rows),
        "shapes",
    )


def _shapes(model: ViTConfig) -> dict[str, str]:
    """By name; the first block stands for all, which have the same shapes."""
    return {name: _times(*array.shape) for name, array in _params(model).items() if not _in_later_block(name)}


def _in_later_block(name: str) -> bool:
    first, second = name.split(".")[:2]
    return first == "blocks" and second != "0"


def _label(name: str, depth: int) -> str:
    if name.startswith("blocks.0."):
        return f"{depth} blocks, each: " + name.removeprefix("blocks.0.").replace(".", " ").replace("_", " ")
    return _LABELS.get(name, name.replace(".", " ").replace("_", " "))


def _params(model: ViTConfig) -> Params:
    return vit_params(model, np.random.default_rng(0))


def _times(*sizes: int) -> str:
    return " × ".join(map(str, sizes))

"""What must change in the model when the image is cut otherwise, and what stays: a table of shapes."""

from __future__ import annotations

import numpy as np

from headwise.document import Table
from headwise.models.vit import ViTConfig, vit_params
from headwise.text import Statement

__all__ = ["shapes_table"]

_WORDS = {
    "embedding.token.weight": "embedding, matrix",
    "embedding.token.bias": "embedding, bias",
    "embedding.class_token": "class token",
    "embedding.positions": "positions, with the class token's",
}


def shapes_table(first: ViTConfig, second: ViTConfig) -> Table:
    """Every array of the two models, those of all blocks in one row each, and what passes through."""
    ours, theirs = (_shapes(model) for model in (first, second))
    rows = [
        (
            "tokens, and numbers in each",
            *(_times(m.image_tokenizer.num_tokens, m.image_tokenizer.token_dim) for m in (first, second)),
        )
    ]
    rows += [(_named(name, first.n_layers), ours[name], theirs[name]) for name in ours]
    rows += [
        ("attention weights of a head", *(_times(*2 * (1 + m.image_tokenizer.num_tokens,)) for m in (first, second))),
        ("weights in all", *(f"{_total(m):,}" for m in (first, second))),
    ]
    return Table(
        Statement("Shapes, and whether they change."),
        ("", first.tokenizer, second.tokenizer, "changes"),
        tuple((*row, "yes" if row[1] != row[2] else "no") for row in rows),
        "shapes",
    )


def _shapes(model: ViTConfig) -> dict[str, str]:
    """By name; blocks are alike, so the first stands for all."""
    params = vit_params(model, np.random.default_rng(0))
    return {name: _times(*array.shape) for name, array in params.items() if not _of_a_later_block(name)}


def _of_a_later_block(name: str) -> bool:
    first, second = name.split(".")[:2]
    return first == "blocks" and second != "0"


def _named(name: str, depth: int) -> str:
    if name.startswith("blocks.0."):
        return f"{depth} blocks, each: " + name.removeprefix("blocks.0.").replace(".", " ").replace("_", " ")
    return _WORDS.get(name, name.replace(".", " ").replace("_", " "))


def _total(model: ViTConfig) -> int:
    return sum(array.size for array in vit_params(model, np.random.default_rng(0)).values())


def _times(*sizes: int) -> str:
    return " × ".join(map(str, sizes))

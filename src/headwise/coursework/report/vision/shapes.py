"""A table of the shapes that depend on the tokenizer, and of those that do not."""

from __future__ import annotations

import numpy as np

from headwise.document import Table
from headwise.models.vit import ViTConfig, vit_params
from headwise.nn.params import Params
from headwise.text import Statement

_LABELS = {
    "embedding.token.weight": "embedding, matrix",
    "embedding.token.bias": "embedding, bias",
    "embedding.class_token": "class token",
    "embedding.positions": "positions, with the class token's",
}


def shapes_table(first: ViTConfig, second: ViTConfig) -> Table:
    """Every parameter of the two models, with one row for the same parameter of all blocks, and the activations."""
    shapes = [_shapes(model) for model in (first, second)]
    rows = [
        (
            "tokens, and values in each",
            *(_times(m.image_tokenizer.num_tokens, m.image_tokenizer.token_dim) for m in (first, second)),
        )
    ]
    rows += [(_label(name, first.n_layers), *(by_name[name] for by_name in shapes)) for name in shapes[0]]
    rows += [
        ("attention weights of a head", *(_times(*2 * (1 + m.image_tokenizer.num_tokens,)) for m in (first, second))),
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

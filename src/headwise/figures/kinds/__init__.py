"""The kinds of figure: each module measures, draws and describes one of them, and `FIGURES` lists them.

To add a kind, write a module with these three functions and add an entry to `FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from headwise.figures.caption import Caption
from headwise.figures.kinds import (
    deletion,
    dependence,
    depth,
    head_matrices,
    lines,
    maps,
    positions,
    roles,
    rollout,
    token,
)
from headwise.figures.measurements import Facts
from headwise.figures.record import AttentionRecord
from headwise.shapes import Array

__all__ = ["FIGURES", "FigureKind"]


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure.

    Attributes
    ----------
    measure : callable
        Record, and the token if `per_token` -> the facts that the caption may state.
    draw : callable
        Record, and the token if `per_token` -> the Matplotlib figure.
    describe : callable
        Record, facts -> the caption.
    stem : str
        Name of its files, without an ending.
    ranking : callable, optional
        Record -> (N,), the map by which the figure ranks the image's tokens and whose faithfulness can be tested.
    is_available : callable
        Record -> whether it has the arrays that the figure needs.
    needs_test : bool
        Whether the figure shows the result of a faithfulness test.
    per_token : bool
        Whether the figure is of one token, which must be named.
    has_view : bool
        Whether it has a panel for each head, so that `measure` and `draw` take a `View`.
    """

    measure: Callable[..., Facts]
    draw: Callable[..., Figure]
    describe: Callable[[AttentionRecord, Facts], Caption]
    stem: str
    ranking: Callable[[AttentionRecord], Array] | None = None
    is_available: Callable[[AttentionRecord], bool] = lambda record: True
    needs_test: bool = False
    per_token: bool = False
    has_view: bool = False


def _kind(module: Any, stem: str, **options: Any) -> FigureKind:
    """The kind that a module measures, draws and describes; `options` are other fields of `FigureKind`."""
    return FigureKind(module.measure, module.draw, module.describe, stem, **options)


def _has_positions(record: AttentionRecord) -> bool:
    return record.positions.size > 0 and record.num_tokens > 1 and record.kind == "image"


def _is_self_attention(record: AttentionRecord) -> bool:
    return record.is_self_attention


FIGURES = {
    "maps": _kind(maps, "attention", ranking=lambda record: record.last_layer_map, has_view=True),
    "dependence": _kind(
        dependence,
        "attention-dependence",
        ranking=dependence.ranking,
        is_available=lambda record: record.dependence is not None,
    ),
    "token": _kind(token, "attention-token-{token}", per_token=True, has_view=True),
    "matrices": _kind(head_matrices, "attention-matrices", has_view=True),
    "lines": _kind(lines, "attention-lines", is_available=lines.is_available, has_view=True),
    "roles": _kind(roles, "attention-roles"),
    "rollout": _kind(rollout, "attention-rollout", ranking=rollout.last_rollout_map, is_available=_is_self_attention),
    "depth": _kind(depth, "attention-depth", is_available=_is_self_attention),
    "positions": _kind(positions, "attention-positions", is_available=_has_positions),
    "deletion": _kind(deletion, "attention-deletion", ranking=lambda record: record.last_layer_map, needs_test=True),
}

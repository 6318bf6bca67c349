"""Attention without a matrix product: values times weights by broadcasting, and a sum over the keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from headwise.recorder.axes import Axes
from headwise.recorder.torch_values import ValueProduct, Weights


@dataclass(frozen=True)
class Weighted:
    """Values times weights, elementwise, before the sum over the keys."""

    weights: Weights  # with axes of the result's shape
    values: Tensor  # the other factor, which broadcasts to that shape

    @property
    def has_one_key(self) -> bool:
        """Whether the softmax was over a single key, so that nothing remains to be summed."""
        return bool(self.weights.logits.shape[self.weights.axis] == 1)

    def with_key_axis(self) -> Weighted:
        """The same with an axis of length one at the end, for the single key."""
        weights = replace(self.weights, axes=self.weights.axes.unsqueeze(len(self.weights.axes.shape)))
        return Weighted(weights, self.values.unsqueeze(-1))

    def summed(self, axis: int, result: Tensor) -> ValueProduct | None:
        """The product that the sum over an axis makes; None if the weights do not vary along it.

        Axes along which only the weights vary are queries, those along which only the values do are features, and all
        others are items.
        """
        axes, sizes = self.weights.axes, self.weights.axes.shape
        value_sizes = (1,) * (len(sizes) - self.values.ndim) + tuple(self.values.shape)
        varies = [any(stride for _, stride in factors) for factors in axes.axes]
        if not varies[axis] and not self.has_one_key:
            return None
        others = [place for place in range(len(sizes)) if place != axis]
        features = [p for p in others if not varies[p] and value_sizes[p] > 1]
        queries = [p for p in others if varies[p] and value_sizes[p] == 1]
        items = [p for p in others if p not in features and p not in queries]
        operand = _selected(axes, features).permute(_ranks([*items, *queries, axis]))
        merged = operand.view((_count(sizes, items), _count(sizes, queries), sizes[axis]))
        if merged is None:
            return None
        full = [value_sizes[p] if p in queries else sizes[p] for p in range(len(sizes))]
        values = self.values.reshape(value_sizes).expand(full).permute([*items, *queries, axis, *features])
        output = result.reshape([sizes[p] for p in others]).permute(
            [others.index(p) for p in (*items, *queries, *features)]
        )
        p, n, m, e = *merged.shape, _count(sizes, features)
        return ValueProduct(merged, values.reshape(p, m, e), output.reshape(p, n, e), (), (p, n, e))


def _selected(axes: Axes, places: Sequence[int]) -> Axes:
    """The first element of some axes, which disappear."""
    for place in sorted(places, reverse=True):
        axes = axes.select(place, 0)
    return axes


def _ranks(places: Sequence[int]) -> list[int]:
    """Each place by its rank among all of them."""
    return [sorted(places).index(place) for place in places]


def _count(sizes: Sequence[int], places: Sequence[int]) -> int:
    count = 1
    for place in places:
        count *= sizes[place]
    return count

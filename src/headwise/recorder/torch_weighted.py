"""Attention by other operations than a softmax and a matrix product.

Values times weights by broadcasting and a sum over the keys; and weights that no call of a softmax made: logits, and
sinks, with which a softmax gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headwise.recorder.axes import Axes
from headwise.recorder.torch_values import Product, Softmax, ValueProduct, Weights

_SUM_TOLERANCE = {8: 1e-11, 4: 2e-5, 2: 2e-2}  # of the sum of a row, by the bytes of the type


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
    return math.prod(sizes[place] for place in places)


@dataclass(frozen=True)
class Unnormalised:
    """A product of exponentials of scores with values that is still to be divided by the exponentials' sum."""

    softmax: Softmax
    exponentials: Tensor  # (P, N, M)
    scores: Product  # what the exponentials were made from, in their shape
    shape: tuple[int, ...]  # of the exponentials before their leading axes were merged
    product: ValueProduct
    axes: Axes  # where each element lies in the product (P, N, e)

    def divided(self, divisor: Tensor, result: Tensor) -> tuple[Weights, ValueProduct] | None:
        """The weights and their product once it was divided by sums of rows; None if it was by something else."""
        p, n, e = self.product.output.shape
        if self.axes != Axes.contiguous((p, n, e)).view(tuple(result.shape)):
            return None
        total = divisor.expand(result.shape)[..., :1].reshape(p, n, 1)
        weights = weights_of_operand(self.softmax, self.exponentials / total, self.scores, self.shape)
        if weights is None:
            return None
        return weights, replace(self.product, output=result.reshape(p, n, e), factor=self.product.factor * total)


def logits_of_weights(p: Tensor, axis: int) -> tuple[Tensor, Tensor | None] | None:
    """Logits and sinks whose softmax over an axis is p; None if there are none.

    There are if no weight is negative and none of the sums over the axis is more than one. What a sum lacks of one is
    the weight of a sink.
    """
    if not p.is_floating_point() or not p.numel() or not bool((p >= 0).all()):
        return None
    total = p.sum(axis, keepdim=True, dtype=torch.float64 if p.dtype == torch.float64 else torch.float32)
    tolerance = _SUM_TOLERANCE[p.dtype.itemsize]
    if not bool((total <= 1 + tolerance).all()):
        return None
    logits = (p if p.dtype.itemsize > 2 else p.float()).log()
    lacking = (total < 1 - tolerance) & (total > 0)
    if not bool(lacking.any()):
        return logits, None
    return logits, torch.where(lacking, 1 - total, torch.finfo(total.dtype).tiny).log().to(logits.dtype)


def weights_of_operand(
    softmax: Softmax, operand: Tensor, scores: Product | None, shape: tuple[int, ...] | None = None
) -> Weights | None:
    """The weights that an operand (P, N, M) consists of; None if its rows are no softmax's.

    `scores` is what it was made from, in its shape; `shape` its shape before its leading axes were merged.
    """
    merged = tuple(operand.shape)
    if shape is None or shape[-2:] != merged[1:] or operand.numel() != torch.Size(shape).numel():
        shape = merged
    logits = logits_of_weights(operand.reshape(shape), len(shape) - 1)
    axes = Axes.contiguous(shape).view(merged)
    if logits is None or axes is None:
        return None
    product = None if scores is None else scores.shaped(lambda axes: axes.view(shape))
    return Weights(softmax, logits[0], len(shape) - 1, product, axes, sinks=logits[1])


def changed_weights(weights: Weights, operand: Tensor) -> Weights:
    """Weights after a change, `operand`, that leaves them a softmax of other logits; as they are if it does not."""
    if operand.numel() != weights.logits.numel() or any("dropout" in change for change in weights.changes):
        return weights
    index = torch.from_numpy(weights.axes.indices())
    p = torch.zeros(weights.logits.numel(), dtype=operand.dtype, device=operand.device)
    p[index.reshape(-1).to(operand.device)] = operand.reshape(-1)
    logits = logits_of_weights(p.reshape(weights.logits.shape), weights.axis)
    if logits is None:
        return weights
    return replace(weights, logits=logits[0], sinks=logits[1], explained=True)

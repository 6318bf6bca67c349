"""Weights that no call of a softmax made: logits, and sinks, with which a softmax gives the same numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headwise.recorder.axes import Axes
from headwise.recorder.torch_values import Product, Softmax, ValueProduct, Weights

_SUM_TOLERANCE = {8: 1e-11, 4: 2e-5, 2: 2e-2}  # of the sum of a row, by the bytes of the type


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
    index = torch.full((1,) * len(weights.axes.axes), weights.axes.offset)
    for axis in range(len(weights.axes.axes)):
        place = [-1 if axis == other else 1 for other in range(len(weights.axes.axes))]
        index = index + torch.from_numpy(weights.axes.offsets(axis)).reshape(place)
    p = torch.zeros(weights.logits.numel(), dtype=operand.dtype, device=operand.device)
    p[index.reshape(-1).to(operand.device)] = operand.reshape(-1)
    logits = logits_of_weights(p.reshape(weights.logits.shape), weights.axis)
    if logits is None:
        return weights
    return replace(weights, logits=logits[0], sinks=logits[1], explained=True)

"""Attention written out by hand in torch, as arrays: heads, queries and keys from the axes of its tensors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor, finfo

from headwise.recorder.axes import Axes
from headwise.recorder.logits import Rule, rule_of_logits
from headwise.recorder.torch_tensors import as_array
from headwise.recorder.torch_values import Product, ValueProduct, Weights
from headwise.shapes import Array, IntArray


class _Scores(NamedTuple):
    """Queries, keys, and what is done to their products."""

    q: Array  # (B, H, N, d)
    k: Array  # (B, H, M, d)
    scale: float
    softcap: float | None
    queries: Tensor  # the tensors that they were read from
    keys: Tensor

    def scores(self) -> Array:
        """(B, H, N, M)"""
        s: Array = self.q @ self.k.mT * self.scale
        return s if self.softcap is None else self.softcap * np.tanh(s / self.softcap)


class Explicit(NamedTuple):
    """One attention written out by hand."""

    v: Array  # (B, H, M, e)
    output: Array  # (B, H, N, e)
    scores: _Scores | None
    rule: Rule
    note: str
    rows: IntArray  # (B, H, N), rows of the product (P N, e)


class _Layout(NamedTuple):
    """The axes of a softmax's argument by role."""

    refined: tuple[int, ...]  # its shape, with the axis of items and heads divided
    order: tuple[int, ...]  # items, heads, queries, keys
    shape: tuple[int, int, int, int]  # (B, H, N, M)

    def arrange(self, array: Array) -> Array:
        """An array of the argument's shape as (B, H, N, M)."""
        return array.reshape(self.refined).transpose(self.order).reshape(self.shape)

    def linear(self, axes: Axes, axis: int) -> IntArray:
        """(B, H, N): linear index of each row's first element in the origin of `axes`, of the argument's shape."""
        refined = [1 if place == self.order[-1] else size for place, size in enumerate(self.refined)]
        return axes.indices(without=[axis]).reshape(refined).transpose(self.order).reshape(self.shape[:3])


def assemble(weights: Weights, multiplied: ValueProduct, heads: int | None) -> Explicit | str:
    """The arrays of one attention whose weights are multiplied with values, or why it is none.

    `heads` is how many the module has, if it says so.
    """
    shape, axis, axes = tuple(weights.logits.shape), weights.axis, multiplied.axes
    stride = math.prod(shape[axis + 1 :])
    first = axes.offset // stride % shape[axis]
    steps, remainders = np.divmod(axes.offsets(2), stride)
    columns = first + steps
    if remainders.any() or (columns >= shape[axis]).any():
        return "it is multiplied over another axis than it normalises"
    layout = _layout(shape, axis, axes, heads)
    rows = _find(layout.linear(Axes.contiguous(shape), axis), axes, axes.offset - first * stride)
    if rows is None or (rows // axes.shape[1] != rows[:, :, :1] // axes.shape[1]).any():
        return "only a part of it is multiplied with values"
    o = as_array(multiplied.output).reshape(-1, multiplied.output.shape[-1])[rows]
    v = as_array(multiplied.values)[rows[:, :, 0] // axes.shape[1]]
    v, columns = v[:, :, np.argsort(columns)], np.sort(columns)
    scores = None if weights.product is None else _queries_and_keys(weights.product, layout, axis, columns)
    note = f"after its softmax the weights were changed by {', '.join(weights.changes)}" if weights.changes else ""
    if weights.explained:
        note += "; these are the changed ones"
    changed = scores is None or weights.product is None or weights.product.other or weights.explained
    rule = _rule(weights, layout, columns, scores) if changed or len(columns) < shape[axis] else Rule()
    return Explicit(v, o, scores, rule, note, rows)


def _layout(shape: tuple[int, ...], axis: int, operand: Axes, heads: int | None) -> _Layout:
    """Which axes are items, heads and queries: the queries are the rows of the product with the values."""
    refined, rows, axis = _divided_axes(shape, axis, operand)
    others = [place for place in range(len(refined)) if place != axis]
    if not rows:
        rows = [place for place in others if refined[place] == 1 and operand.shape[1] == 1][-1:]
    if operand.shape[0] == 1:
        rows = rows[-1:]
    batch = [place for place in others if place not in rows]
    exact = [place for place in batch if refined[place] == heads]
    head = exact[-1] if exact else batch[-1] if len(batch) > 1 else None
    if not exact and heads and heads > 1 and batch and refined[batch[0]] % heads == 0:
        head = batch[0]
        refined[head : head + 1] = [refined[head] // heads, heads]
        batch, rows, (axis,) = ([p + (p > head) for p in places] for places in (batch, rows, [axis]))
        head += 1
        batch.insert(1, head)
    items = [place for place in batch if place != head]
    order = (*items, *([] if head is None else [head]), *rows, axis)
    b, h, n = (
        math.prod(refined[place] for place in places) for places in (items, [] if head is None else [head], rows)
    )
    return _Layout(tuple(refined), order, (b, h, n, refined[axis]))


def _divided_axes(shape: tuple[int, ...], axis: int, operand: Axes) -> tuple[list[int], list[int], int]:
    """The shape with axes that hold items and queries divided; the places of the queries, and of the softmax's axis."""
    sizes: list[int] = []
    rows: list[int] = []
    place = 0
    for p, size in enumerate(shape):
        stride = math.prod(shape[p + 1 :])
        parts = [size]
        if p == axis:
            place = len(sizes)
        else:
            inside = sorted(
                ((s, count, role) for role in (0, 1) for count, s in operand.axes[role] if stride <= s < stride * size),
                reverse=True,
            )
            roles = [role for _, _, role in inside]
            if set(roles) == {0, 1} and math.prod(count for _, count, _ in inside) == size:
                parts = [count for _, count, _ in inside]
            else:
                roles = [1 if 1 in roles else 0]
            rows += [len(sizes) + index for index, role in enumerate(roles) if role == 1]
        sizes += parts
    return sizes, rows, place


def _find(targets: IntArray, operand: Axes, offset: int) -> IntArray | None:
    """Which row of the operand, counted through all items, starts at each wanted element; None if one is missing."""
    starts = (offset + operand.offsets(0)[:, None] + operand.offsets(1)).ravel()
    order = np.argsort(starts, kind="stable")
    place = np.searchsorted(starts[order], targets.ravel())
    if (place >= len(starts)).any():
        return None
    row = order[place]
    return row.reshape(targets.shape) if (starts[row] == targets.ravel()).all() else None


def _queries_and_keys(product: Product, layout: _Layout, axis: int, columns: IntArray) -> _Scores | None:
    """The factors of the product as queries and keys of the softmax's rows and columns; None if they are not."""
    axes, (before, count) = product.axes, (product.columns or (0, 0, product.axes.shape[axis]))[1:]
    if (columns < before).any() or (columns >= before + count).any():
        return None
    start, steps = layout.linear(axes, axis), axes.offsets(axis)[columns - before]
    n, m = product.a.shape[1], product.b.shape[2]
    p, i, j = start // (n * m), start // m % n, start % m
    swapped = bool(steps.max(initial=0) >= m)
    moving, (along,) = (i, [steps // m]) if swapped else (j, [steps])
    if (swapped and (steps % m).any()) or (p != p[:, :, :1]).any() or (moving != moving[:, :, :1]).any():
        return None
    keys = moving[:, :, :1] + along  # (B, H, M)
    a, b = as_array(product.a), as_array(product.b).mT
    item = p[:, :, :1]
    q, k = (b[p, j], a[item, keys]) if swapped else (a[p, i], b[item, keys])
    for factor, where in product.factors:
        per_item = _per_item(factor, where, n * m, len(a))
        if per_item is None:
            return None
        q = q * per_item[p][..., None]
    scale = product.scale if product.cap is None else product.scale * product.cap
    tensors = (product.b, product.a) if swapped else (product.a, product.b)
    return _Scores(q.astype(a.dtype, copy=False), k, scale, product.cap, *tensors)


def _per_item(factor: Tensor, axes: Axes, size: int, items: int) -> Array | None:
    """A factor per head, (..., 1, 1), for each of the P products of `size` elements."""
    values = as_array(factor.expand((*axes.shape[:-2], 1, 1)))[..., 0, 0]
    if any(axes.offsets(axis).max() >= size for axis in (-1, -2)):
        return None
    factors = np.ones(items, values.dtype)
    factors[axes.indices(without=[values.ndim, values.ndim + 1])[..., 0, 0] // size] = values
    return factors


def _rule(weights: Weights, layout: _Layout, columns: IntArray, scaled: _Scores | None) -> Rule:
    """Mask, bias and sinks from the logits themselves."""
    s = layout.arrange(as_array(weights.logits))
    others = np.setdiff1d(np.arange(s.shape[-1]), columns)
    sinks = np.logaddexp.reduce(s[..., others], axis=-1) if len(others) else None
    if weights.sinks is not None:
        sinks = layout.arrange(as_array(weights.sinks.expand(weights.logits.shape)))[..., 0]
    s = s[..., columns]
    scores = np.zeros((), s.dtype) if scaled is None else scaled.scores()
    tensors = (weights.logits,) if scaled is None else (weights.logits, scaled.queries)
    eps = max(finfo(tensor.dtype).eps for tensor in tensors)
    return rule_of_logits(s, np.broadcast_to(scores, s.shape), eps, sinks)

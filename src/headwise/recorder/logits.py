"""Masks, biases and sinks recovered from the logits that a model gave to its softmax."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headwise.recorder.key_mask import KeyMask
from headwise.shapes import Array, BoolArray

_ROWS_AT_ONCE = 2**22
_ABSORBS = 1e4
_UNDERFLOW = {4: 104.0, 8: 746.0}  # exp(−x) is zero, by the bytes of the type


class Rule(NamedTuple):
    """What is added to the scaled products before the softmax: a mask, a bias, sinks."""

    mask: KeyMask | None = None
    bias: Array | None = None
    sinks: Array | None = None


def rule_of_bias(bias: Array, shape: tuple[int, int, int, int]) -> Rule:
    """Mask and bias from an additive mask that broadcasts to (B, H, N, M).

    A value counts as hiding its key if it is −inf, or so low that the weight is zero whatever the logit; where a row
    hides every key only −inf does, because the softmax of a row of equal finite numbers is uniform.
    """
    bias = bias.reshape((1,) * (4 - bias.ndim) + bias.shape)
    if not bias.any():
        return Rule()
    top = bias.max(axis=-1, keepdims=True, initial=-np.inf)
    hidden = np.isneginf(bias) | ((bias < -1e30) & (top > -1e30))
    visible = np.broadcast_to(~hidden, (*hidden.shape[:2], shape[2], shape[3]))
    added_bias = np.where(hidden, 0, bias)
    mask = KeyMask.from_array(visible) if hidden.any() else None
    return Rule(mask, _reduced_bias(added_bias, hidden, np.zeros_like(bias)) if added_bias.any() else None)


def rule_of_logits(logits: Array, scores: Array, eps: float, sinks: Array | None = None) -> Rule:
    """Mask, bias and sinks that take scores, the scaled (and capped) products (B, H, N, M), to the softmax's logits.

    `eps` is the precision of the model's arithmetic; `sinks` (B, H, N) are logits of the sink, one for each row.
    """
    top = logits.max(axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        rest = logits - scores
        limit = _UNDERFLOW[logits.dtype.itemsize]
        hidden = np.isneginf(logits) | ((rest < -limit) & (logits < top - limit))
    finite = np.isfinite(logits)
    size = max(1.0, float(np.abs(scores).max(initial=0)))
    usual = finite & ~hidden & (np.abs(logits) <= _ABSORBS * size)
    # a bias of -100 for some keys is rounded more than the others
    tolerance = 16 * eps * np.maximum(size, np.abs(logits, where=usual, out=np.zeros_like(logits)))
    mask = KeyMask.from_array(_reduced_mask(~hidden)) if hidden.any() else None
    least = np.where(hidden, np.inf, rest).min(axis=-1, keepdims=True, initial=np.inf)
    most = np.where(hidden, -np.inf, rest).max(axis=-1, keepdims=True, initial=-np.inf)
    same = most - least <= tolerance.max(axis=-1, keepdims=True, initial=0)
    if same.all():  # for every key of a row: it only matters against a sink
        row = np.where(np.isfinite(most), most, 0)
        absorbed = np.abs(row) > _ABSORBS * size  # so large that the logits are equal: the weights are uniform
        rule = Rule(mask, np.where(absorbed, row, 0) if absorbed.any() else None)
        sinks = None if sinks is None else sinks - np.where(absorbed, 0, row)[..., 0]
    else:
        rule = Rule(mask, _reduced_bias(rest, hidden, tolerance))
    return rule if sinks is None else _with_sinks(rule, sinks, tolerance.max(initial=0))


def join_groups(k: Array, v: Array) -> tuple[Array, Array]:
    """Keys and values (B, G, M, ·) without the copies that were made for the query heads of a group.

    Where only one of them has such copies, the other gets them, so that both have the same number of heads.
    """
    heads = math.lcm(k.shape[1], v.shape[1])
    if k.shape[1] != v.shape[1]:
        k, v = (np.repeat(array, heads // array.shape[1], axis=1) for array in (k, v))
    for size in range(heads, 1, -1):
        if heads % size == 0 and all(_repeats(array, size) for array in (k, v)):
            return k[:, ::size], v[:, ::size]
    return k, v


def _repeats(array: Array, size: int) -> bool:
    """Whether each run of `size` heads holds the same numbers."""
    b, heads, *rest = array.shape
    grouped = array.reshape(b, heads // size, size, *rest)
    probe = grouped[..., :1, :]
    return bool((probe == probe[:, :, :1]).all()) and bool((grouped == grouped[:, :, :1]).all())


def _reduced_mask(visible: BoolArray) -> BoolArray:
    """Without the axes of items and heads along which nothing changes."""
    for axis in (0, 1):
        first = visible.take([0], axis=axis)
        if (visible == first).all():
            visible = np.asarray(first)
    return visible


def _reduced_bias(bias: Array, hidden: BoolArray, tolerance: Array) -> Array:
    """Without the axes of items, heads and queries along which nothing changes; zero where keys are hidden."""
    for axis in (0, 1, 2):
        most = np.where(hidden, -np.inf, bias).max(axis=axis, keepdims=True)
        with np.errstate(invalid="ignore"):
            same = hidden | (most - bias <= tolerance)
        if bias.shape[axis] > 1 and same.all():
            hidden = np.asarray(hidden.all(axis=axis, keepdims=True))
            bias, tolerance = np.where(hidden, 0, most), tolerance.max(axis=axis, keepdims=True)
    return np.where(hidden, 0, bias)


def _with_sinks(rule: Rule, sinks: Array, tolerance: float) -> Rule:
    """The rule with one sink per head; where it differs by row, the difference is put on the row's keys."""
    head = sinks[:, :, :1]
    if (np.abs(sinks - head) > tolerance).any():
        shift = (head - sinks)[..., None]
        return rule._replace(sinks=head[..., 0], bias=shift if rule.bias is None else rule.bias + shift)
    per_head = head[..., 0]
    same = (np.abs(per_head - per_head[:1]) <= tolerance).all()
    return rule._replace(sinks=per_head[:1] if same else per_head)

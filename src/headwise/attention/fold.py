"""The items of a batch as further heads of one item, so that many small products are one stack of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attention.inputs import AttentionInputs
from headwise.attention.masks import AttentionMask


def fold_batch(inputs: AttentionInputs) -> AttentionInputs | None:
    """The same problem with arrays (B·H, N, d), (B·G, M, d) and (B·G, M, e), where B is the number of items.

    None where that would take copies of a mask or a bias, or where causal masks or windows differ among the items.
    """
    *lead, heads, n, m = inputs.shape
    if not lead:
        return inputs
    items, mask = math.prod(lead), inputs.mask
    offset = mask.offset.ravel()
    moves = (mask.left is not None or mask.right is not None) and bool((offset != offset[:1]).any())
    bias, allowed = inputs.bias, _allowed(mask)
    folded = [None if array is None else _heads_of_one(array, (*lead, heads)) for array in (bias, allowed)]
    if moves or any(new is None and old is not None for new, old in zip(folded, (bias, allowed), strict=True)):
        return None
    start = np.array(offset[0] if items else 0, np.intp)
    q, k, v = (a.reshape(items * a.shape[-3], *a.shape[-2:]) for a in (inputs.q, inputs.k, inputs.v))
    same = AttentionMask((items * heads, n, m), folded[1], None, start, mask.left, mask.right)
    return replace(inputs, q=q, k=k, v=v, bias=folded[0], mask=same)


def _allowed(mask: AttentionMask) -> npt.NDArray[np.bool_] | None:
    """The mask's array, combined with the lengths; repeated for all heads if it is one row of keys."""
    allowed = mask.array
    if mask.lengths is not None:
        valid = np.arange(mask.shape[-1]) < mask.lengths[..., None, None, None]
        allowed = valid if allowed is None else allowed & valid
    if allowed is not None and allowed.shape[-2] == 1:
        allowed = np.broadcast_to(allowed, (*mask.shape[:-2], *allowed.shape[-2:]))
    return allowed


def _heads_of_one(array: npt.NDArray[Any], heads: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """(..., H, n, m) -> (B·H, n, m), or (1, n, m) of an array that is the same for all; None for any other."""
    if array.shape[:-2] != heads and math.prod(array.shape[:-2]) != 1:
        return None
    return array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:])

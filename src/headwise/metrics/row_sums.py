"""Attention weights are distributions: the check that their rows sum to one."""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array

ROW_SUM_TOLERANCE = 0.005  # how far a row's sum may be from one; weights rounded to bfloat16 are within it


def check_attention_weights(weights: Array, *, verified: bool = False) -> None:
    """Raise DataError unless every row sums to one; the message says by how much it does not, and the likely cause.

    Parameters
    ----------
    weights : ndarray of shape (L, H, T, T)
    verified : bool
        Whether the weights reproduce their model's output: rows may then sum to less than one, such as those of
        heads with a learned sink.

    Raises
    ------
    DataError
        If a weight is negative or not finite, or a row's sum is farther than `ROW_SUM_TOLERANCE` from one.

    Examples
    --------
    >>> import numpy as np
    >>> check_attention_weights(np.array([[[[0.5, 0.75], [0.5, 0.25]]]]))
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: weights: expected rows that sum to one; sums range from 0.750 to 1.250, and the farthest
    is layer 0, head 0, row 0. The columns sum to one: transposed (keys, queries)? Swap the last two axes.
    """
    if not np.isfinite(weights).all():
        raise DataError(f"weights: expected numbers; {int((~np.isfinite(weights)).sum())} of them are NaN or infinite.")
    least, greatest = float(weights.min()), float(weights.max())
    if greatest > 1e6:
        raise DataError(f"weights: expected none above 1; the greatest is {greatest:.3g}. Logits, before the softmax?")
    if least < 0:
        raise DataError(
            f"weights: expected none below 0; the least is {least:.3g}. Logits, before the softmax? Apply it over the "
            "last axis."
        )
    sums = weights.sum(axis=-1, dtype=np.float64)
    error = np.abs(sums - 1)
    if error.max() <= ROW_SUM_TOLERANCE or (verified and sums.max() <= 1 + ROW_SUM_TOLERANCE):
        return
    layer, head, row = np.unravel_index(int(error.argmax()), error.shape)
    raise DataError(
        f"weights: expected rows that sum to one; sums range from {sums.min():.3f} to {sums.max():.3f}, and the "
        f"farthest is layer {layer}, head {head}, row {row}. {_likely_cause(weights, sums)}"
    )


def _likely_cause(weights: Array, sums: Array) -> str:
    """The most likely cause, from the most specific sign to the least."""
    tokens = weights.shape[-1]
    zeros = float((weights == 0).mean())
    if _all_one(weights.sum(axis=-2, dtype=np.float64)):
        return "The columns sum to one: transposed (keys, queries)? Swap the last two axes."
    if _all_one(sums.sum(axis=-1)):
        return "Each matrix sums to one: a softmax over the whole matrix? Take it over the last axis."
    if _all_one(weights.sum(axis=1, dtype=np.float64)):
        return "Weights sum to one over the heads: a softmax over the wrong axis? Take it over the last."
    if _all_one(weights.sum(axis=0, dtype=np.float64)):
        return "Weights sum to one over the layers: a softmax over the wrong axis? Take it over the last."
    nearest = round(sums.mean())
    if np.ptp(sums) <= ROW_SUM_TOLERANCE and abs(sums.mean() - nearest) <= ROW_SUM_TOLERANCE and nearest > 1:
        return f"Summed over {nearest} heads? Pass each head, or their mean."
    if zeros > 1 / tokens**2 and (sums > 1 + ROW_SUM_TOLERANCE).any() and (sums < 1 - ROW_SUM_TOLERANCE).any():
        return f"{zeros:.0%} of the weights are exactly 0: after dropout? Take them in evaluation mode."
    if (sums <= ROW_SUM_TOLERANCE).any() and _all_one(sums[sums > ROW_SUM_TOLERANCE]):
        empty = int((sums <= ROW_SUM_TOLERANCE).sum())
        return f"{empty} rows are all 0: padding, or queries that may attend to nothing? Remove them."
    if (sums <= 1 + ROW_SUM_TOLERANCE).all():
        return "Tokens removed, such as the class token's column? Then pass --dropped, and the caption will state it."
    return "Logits, or weights that were scaled? Pass the softmax over the last axis."


def _all_one(sums: Array) -> bool:
    return bool((np.abs(sums - 1) <= ROW_SUM_TOLERANCE).all())

"""Attention weights whose rows do not sum to one, and why that may be."""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array

__all__ = ["ROW_SUM_TOLERANCE", "check_attention_weights"]

ROW_SUM_TOLERANCE = 0.005  # how far a row may be from one: weights that were rounded to bfloat16 are within it


def check_attention_weights(weights: Array) -> None:
    """Refuse attention weights that are none, saying by how much their rows miss one and the likely cause.

    Parameters
    ----------
    weights : ndarray of shape (L, H, T, T)

    Raises
    ------
    DataError
        If a weight is negative, not finite, or a row's sum is farther than `ROW_SUM_TOLERANCE` from one.

    Examples
    --------
    >>> import numpy as np
    >>> check_attention_weights(np.array([[[[0.5, 0.75], [0.5, 0.25]]]]))
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: weights: expected rows that sum to one; they sum to between 0.750 and 1.250, and the
    farthest is layer 0, head 0, row 0. But the columns sum to one: transposed (keys, queries)? Swap the last two axes.
    """
    if not np.isfinite(weights).all():
        raise DataError(f"weights: expected numbers; {int((~np.isfinite(weights)).sum())} of them are NaN or infinite.")
    least = float(weights.min())
    if least < 0:
        raise DataError(
            f"weights: expected none below 0; the least is {least:.3g}. Logits, before the softmax? Apply it over the "
            "last axis."
        )
    sums = weights.sum(axis=-1, dtype=np.float64)
    away = np.abs(sums - 1)
    if away.max() <= ROW_SUM_TOLERANCE:
        return
    layer, head, row = np.unravel_index(int(away.argmax()), away.shape)
    raise DataError(
        f"weights: expected rows that sum to one; they sum to between {sums.min():.3f} and {sums.max():.3f}, and the "
        f"farthest is layer {layer}, head {head}, row {row}. {_cause(weights, sums)}"
    )


def _cause(weights: Array, sums: Array) -> str:
    """The likeliest, from the surest sign to the weakest."""
    tokens = weights.shape[-1]
    zeros = float((weights == 0).mean())
    if _all_one(weights.sum(axis=-2, dtype=np.float64)):
        return "But the columns sum to one: transposed (keys, queries)? Swap the last two axes."
    if _all_one(sums.sum(axis=-1)):
        return "But each matrix sums to one: a softmax over the whole matrix? Take it over the last axis."
    if _all_one(weights.sum(axis=1, dtype=np.float64)):
        return "But they sum to one over the heads: a softmax over the wrong axis? Take it over the last."
    if _all_one(weights.sum(axis=0, dtype=np.float64)):
        return "But they sum to one over the layers: a softmax over the wrong axis? Take it over the last."
    if (
        np.ptp(sums) <= ROW_SUM_TOLERANCE
        and abs(sums.mean() - round(sums.mean())) <= ROW_SUM_TOLERANCE
        and round(sums.mean()) > 1
    ):
        return f"Summed over {round(sums.mean())} heads? Give each head, or their mean."
    if zeros > 1 / tokens**2 and (sums > 1 + ROW_SUM_TOLERANCE).any() and (sums < 1 - ROW_SUM_TOLERANCE).any():
        return f"{zeros:.0%} of the weights are exactly 0: after dropout? Take them in evaluation mode."
    if (sums <= ROW_SUM_TOLERANCE).any() and _all_one(sums[sums > ROW_SUM_TOLERANCE]):
        empty = int((sums <= ROW_SUM_TOLERANCE).sum())
        return f"{empty} rows are all 0: padding, or queries that may attend to nothing? Leave them out."
    if (sums <= 1 + ROW_SUM_TOLERANCE).all():
        return "Tokens cut off, such as the class token's column? Then say so (--dropped), and the caption will too."
    return "Logits, or weights that were scaled? Give the softmax over the last axis."


def _all_one(sums: Array) -> bool:
    return bool((np.abs(sums - 1) <= ROW_SUM_TOLERANCE).all())

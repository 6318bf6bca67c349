"""Attention over parts of the keys, combined into attention over all: the seam for files, processes and machines."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from headwise.attention.inputs import as_stored_arrays
from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, bind


def merge(parts: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> tuple[Array, Array]:
    r"""Combine attention over disjoint sets of keys into attention over their union.

    .. math::
        \mathrm{lse} = \log \sum_i e^{\mathrm{lse}_i}, \qquad o = \sum_i e^{\mathrm{lse}_i - \mathrm{lse}}\, o_i

    The parts may be merged in any grouping: the result is the same to rounding. They are taken one at a time, so that a
    generator never holds more than one.

    Parameters
    ----------
    parts : iterable of (o, lse)
        o of shape (..., H, N, e) and lse of shape (..., H, N), as ``attention(..., return_lse=True)`` gives them for
        the same queries and a part of the keys. Every part has the same shape.

    Returns
    -------
    o : ndarray of shape (..., H, N, e)
        In the widest type of the parts.
    lse : ndarray of shape (..., H, N)
        −inf where a query may attend to nothing in any part; o is zero there.

    Raises
    ------
    ShapeError
        If there is no part, or the shapes differ.
    DataError
        If a part is not a pair, or a log-sum-exp is NaN or +inf, which no attention gives.

    Notes
    -----
    The running maximum and sum are those of M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax",
    arXiv:1805.02867.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise import attention
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 2, 6, 8))  # two heads, six tokens, width eight
    >>> parts = [attention(q, k[:, i], v[:, i], return_lse=True) for i in (slice(0, 4), slice(4, 6))]
    >>> o, lse = merge(parts)
    >>> np.allclose(o, attention(q, k, v))
    True
    """
    merged: tuple[Array, Array] | None = None
    if not isinstance(parts, Iterable):
        raise DataError(f"parts: expected pairs (o, lse); got {type(parts).__name__}.")
    for number, part in enumerate(parts):
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise DataError(f"parts[{number}]: expected a pair (o, lse); got {type(part).__name__}.")
        o, lse = as_stored_arrays(**{f"parts[{number}].o": part[0], f"parts[{number}].lse": part[1]})
        if merged is not None:
            expected = " ".join(map(str, merged[0].shape))
            bind(expected, **{f"parts[{number}].o": o})
        bind(" ".join(map(str, o.shape[:-1])), **{f"parts[{number}].lse": lse})
        if not (lse < np.inf).all():
            raise DataError(
                f"parts[{number}].lse: expected numbers, or −inf for nothing to attend to; got NaN or +inf."
            )
        merged = (o, lse) if merged is None else _merge(merged, (o, lse))
    if merged is None:
        raise ShapeError("parts: expected at least one (o, lse); got none.")
    return merged


def _merge(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    dtype = np.result_type(*a, *b)
    computing = np.float32 if dtype.itemsize == 2 else dtype
    (o_a, lse_a), (o_b, lse_b) = (tuple(x.astype(computing, copy=False) for x in part) for part in (a, b))
    top = np.maximum(lse_a, lse_b)
    shift = np.where(np.isneginf(top), 0, top)  # a query without any key: exp(−inf − 0) is 0, not NaN
    weight_a, weight_b = np.exp(lse_a - shift), np.exp(lse_b - shift)
    total = weight_a + weight_b
    share_a, share_b = (weight / np.where(total == 0, 1, total) for weight in (weight_a, weight_b))
    o = share_a[..., None] * o_a + share_b[..., None] * o_b
    with np.errstate(divide="ignore"):
        return o.astype(dtype, copy=False), (shift + np.log(total)).astype(dtype, copy=False)

"""Self-attention as a book prints it: two functions, nothing added (no positions, no residual, no mask).

Letters: N tokens, D model width, d width of a query or key, e width of a value, H heads.
Source: Vaswani et al., "Attention Is All You Need" (2017), equations 1 and the unnumbered one of section 3.2.2.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, as_float_arrays, bind
from headwise.validation import as_number


class AttentionResult(NamedTuple):
    """What attention returns: the output, and the weights it was made with."""

    output: Array
    weights: Array


@np.errstate(over="ignore", invalid="ignore")  # `_finite` raises an error instead
def self_attention(
    X: npt.ArrayLike,
    Wq: npt.ArrayLike,
    Wk: npt.ArrayLike,
    Wv: npt.ArrayLike,
    *,
    bq: npt.ArrayLike | None = None,
    bk: npt.ArrayLike | None = None,
    bv: npt.ArrayLike | None = None,
    scale: float | None = None,
    tokens: Literal["rows", "columns"] = "rows",
) -> AttentionResult:
    r"""Scaled dot-product self-attention with one head.

    .. math:: Q = X W_q^\top + b_q \quad K = X W_k^\top + b_k \quad V = X W_v^\top + b_v

    .. math:: P = \mathrm{softmax}(Q K^\top / \sqrt{d}) \qquad O = P V

    Parameters
    ----------
    X : array_like of shape (..., N, D)
        The tokens, one a row; of shape (..., D, N) with ``tokens="columns"``.
    Wq, Wk : array_like of shape (d, D)
        Query and key matrices; a row is an output feature.
    Wv : array_like of shape (e, D)
        Value matrix.
    bq, bk : array_like of shape (d,), optional
        Query and key biases.
    bv : array_like of shape (e,), optional
        Value bias.
    scale : float, optional
        Factor of the logits; 1/√d by default.
    tokens : {"rows", "columns"}
        Whether a token is a row or a column of `X`, and of the output.

    Returns
    -------
    output : ndarray of shape (..., N, e)
        One row a token; (..., e, N) with ``tokens="columns"``.
    weights : ndarray of shape (..., N, N)
        ``weights[n, m]`` is how much output n takes from input m, in either orientation; rows sum to one.

    Raises
    ------
    ShapeError
        If the shapes do not fit one another.
    DataError
        If an argument holds integers, NaN or infinities, or a product overflows.

    Examples
    --------
    Two tokens that are nearly orthogonal, and matrices that change nothing:

    >>> import numpy as np
    >>> output, weights = self_attention(np.eye(2), np.eye(2), np.eye(2), np.eye(2))
    >>> weights.round(3)
    array([[0.67, 0.33],
           [0.33, 0.67]])
    """
    names = ("X", "Wq", "Wk", "Wv", "bq", "bk", "bv")
    arguments = dict(zip(names, (X, Wq, Wk, Wv, bq, bk, bv), strict=True))
    a, dtype = _checked(arguments, tokens)

    x = _as_rows(a["X"], tokens)
    q = x @ a["Wq"].T + a.get("bq", 0)
    k = x @ a["Wk"].T + a.get("bk", 0)
    v = x @ a["Wv"].T + a.get("bv", 0)

    logits = _finite(q @ k.mT * _scale(scale, q.shape[-1]))
    weights = softmax(logits)
    output = weights @ v

    return AttentionResult(_as_rows(_finite(output.astype(dtype)), tokens), weights.astype(dtype))


@np.errstate(over="ignore", invalid="ignore")
def multi_head_attention(
    X: npt.ArrayLike,
    Wq: npt.ArrayLike,
    Wk: npt.ArrayLike,
    Wv: npt.ArrayLike,
    Wo: npt.ArrayLike | None = None,
    *,
    heads: int,
    bq: npt.ArrayLike | None = None,
    bk: npt.ArrayLike | None = None,
    bv: npt.ArrayLike | None = None,
    bo: npt.ArrayLike | None = None,
    scale: float | None = None,
    tokens: Literal["rows", "columns"] = "rows",
) -> AttentionResult:
    r"""Multi-head self-attention: H heads, each on its own rows of the matrices, then concatenated and projected.

    .. math:: O = [\,\mathrm{head}_0, \ldots, \mathrm{head}_{H-1}]\, W_o^\top + b_o

    where head h is `self_attention` with rows h·d … (h+1)·d − 1 of `Wq` and `Wk` (and likewise of `Wv` and the
    biases), d = D/H.

    Parameters
    ----------
    X : array_like of shape (..., N, D)
        The tokens, one a row; of shape (..., D, N) with ``tokens="columns"``.
    Wq, Wk : array_like of shape (H·d, D)
        Query and key matrices; a row is an output feature.
    Wv : array_like of shape (H·e, D)
        Value matrix.
    Wo : array_like of shape (D', H·e), optional
        Final transformation; the identity by default.
    heads : int
        The number of heads H; it divides the rows of the three matrices.
    bq, bk, bv, bo : array_like, optional
        Biases, as long as their matrix has rows.
    scale : float, optional
        Factor of the logits; 1/√d by default, d being the width of *one head*.
    tokens : {"rows", "columns"}
        Whether a token is a row or a column of `X`, and of the output.

    Returns
    -------
    output : ndarray of shape (..., N, D')
        One row a token; (..., D', N) with ``tokens="columns"``. D' is H·e without `Wo`.
    weights : ndarray of shape (..., H, N, N)
        ``weights[h, n, m]`` is how much output n of head h takes from input m; rows sum to one.

    Raises
    ------
    ShapeError
        If the shapes do not fit one another, or `heads` does not divide the rows of a matrix.
    DataError
        If an argument holds integers, NaN or infinities, or a product overflows.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(5, 6))
    >>> Wq, Wk, Wv = rng.normal(size=(3, 6, 6))
    >>> output, weights = multi_head_attention(X, Wq, Wk, Wv, heads=3)
    >>> output.shape, weights.shape
    ((5, 6), (3, 5, 5))
    """
    names = ("X", "Wq", "Wk", "Wv", "bq", "bk", "bv", "Wo", "bo")
    arguments = dict(zip(names, (X, Wq, Wk, Wv, bq, bk, bv, Wo, bo), strict=True))
    a, dtype = _checked(arguments, tokens, heads)

    x = _as_rows(a["X"], tokens)
    share: dict[str, Any] = {name: np.split(array, heads) for name, array in a.items() if name not in ("X", "Wo", "bo")}
    results = [
        self_attention(x, **{name: parts[h] for name, parts in share.items()}, scale=scale) for h in range(heads)
    ]

    output = np.concatenate([head.output for head in results], axis=-1)
    if "Wo" in a:
        output = output @ a["Wo"].T
    output = output + a.get("bo", 0)
    weights = np.stack([head.weights for head in results], axis=-3)

    return AttentionResult(_as_rows(_finite(output.astype(dtype)), tokens), weights.astype(dtype))


def softmax(logits: Array) -> Array:
    """Softmax over the last axis, shifted by the maximum so that nothing overflows."""
    shifted: Array = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    total: Array = shifted.sum(axis=-1, keepdims=True)
    return np.divide(shifted, total)


def _scale(scale: float | None, d: int) -> float:
    return 1.0 / np.sqrt(d).item() if scale is None else as_number("scale", scale)


def _finite(array: Array) -> Array:
    """The array itself; raises DataError if it holds numbers beyond its type."""
    if not np.isfinite(array).all():
        raise DataError(f"X: its products with the matrices overflow {array.dtype}; scale them down.")
    return array


def _as_rows(x: Array, tokens: str) -> Array:
    """Turn columns into rows, and rows back into columns."""
    return x if tokens == "rows" else x.mT


def _checked(
    arguments: dict[str, npt.ArrayLike | None], tokens: str, heads: int = 1
) -> tuple[dict[str, Array], np.dtype[Any]]:
    """Check types, shapes and values before anything is computed.

    Returns the arguments in float64, since these functions are what others are checked against, and the type to
    return: that of the arguments.
    """
    if not isinstance(tokens, str) or tokens not in ("rows", "columns"):
        raise DataError(f'tokens: expected "rows" or "columns"; got {tokens!r}.')
    for name in ("X", "Wq", "Wk", "Wv"):
        if arguments[name] is None:
            raise DataError(f"{name}: expected an array of floats; got None.")
    arguments = {name: value for name, value in arguments.items() if value is not None}
    a = dict(zip(arguments, as_float_arrays(**arguments), strict=True))

    sizes = bind("... N D" if tokens == "rows" else "... D N", X=a["X"])
    sizes.bind("d D", Wq=a["Wq"], Wk=a["Wk"]).bind("e D", Wv=a["Wv"])
    for pattern, name in (("d", "bq"), ("d", "bk"), ("e", "bv"), ("o e", "Wo"), ("o" if "Wo" in a else "e", "bo")):
        if name in a:
            sizes.bind(pattern, **{name: a[name]})
    for name in ("Wq", "Wv"):
        _check_heads(heads, a[name].shape[0], name)
    for name, array in a.items():
        if not np.isfinite(array).all():
            raise DataError(f"{name}: expected finite numbers; it holds NaN or infinity.")
    return {name: array.astype(np.float64) for name, array in a.items()}, a["X"].dtype


def _check_heads(heads: int, rows: int, name: str) -> None:
    if isinstance(heads, bool) or not isinstance(heads, int | np.integer) or heads < 1 or rows % heads:
        divisors = ", ".join(str(h) for h in range(1, rows + 1) if rows % h == 0)
        raise ShapeError(f"heads: expected a divisor of the {rows} rows of {name} ({divisors}); got {heads!r}.")

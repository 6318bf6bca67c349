"""One attention call of a model: its queries, keys, values and rule, from which weights are computed on demand.

If the weights do not reproduce the output, a mistake of the checker's catalogue may explain why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headwise.attention import attention
from headwise.checker.catalogue import CATALOGUE, Mistake
from headwise.checker.reference.definition import build, evaluate
from headwise.errors import DataError, ShapeError
from headwise.recorder.key_mask import KeyMask
from headwise.representation import brief_repr
from headwise.shapes import Array, IntArray

_LARGEST = 2**20  # logits of one item for which every mistake of the catalogue is tried
# largest difference between p·v and the kernel's output, relative to the largest output, by the kernel's precision
TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2, "int8": 3e-2}

_LOGITS_AT_ONCE = 2**22


class Rounding(NamedTuple):
    """Weights as a quantised model multiplies them with the values: integers (B, H, N, M) times a step."""

    integers: npt.NDArray[np.integer[Any]]
    step: float

    def rows(self, p: Array, rows: IntArray) -> Array:
        """The rounded weights of some rows; NaN where p is more than one step away from them."""
        step = p.dtype.type(self.step)
        rounded = self.integers[:, :, rows].astype(p.dtype) * step
        return np.asarray(np.where(np.abs(rounded - p) <= step, rounded, np.nan))


class _Recomputed(NamedTuple):
    output: Array  # (B, H, N, e)
    lse: Array  # (B, H, N)


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """One attention call as the model made it.

    Letters: B batch, H heads, G key heads, N queries, M keys, d head width, e value width. H is a multiple of G, and
    query head h uses key head h // (H/G).

    Attributes
    ----------
    name : str
        Name of the module that made the call; the same for every call of one module.
    kind : {"self", "cross"}
        Whether queries and keys come from the same tokens.
    q : ndarray of shape (B, H, N, d)
        Queries as they enter the product, after rotary positions and norms.
    k, v : ndarray of shape (B, G, M, d), (B, G, M, e)
        Keys and values.
    output : ndarray of shape (B, H, N, e)
        What the model's own kernel returned.
    scale : float
        Factor of the logits.
    softcap : float, optional
        c in logits ← c · tanh(logits / c).
    bias : ndarray, optional
        Added to the logits; broadcasts to (B, H, N, M).
    mask : KeyMask, optional
        Which keys each query may attend to; all of them by default.
    sinks : ndarray of shape (B or 1, H), optional
        One logit per head that takes part in the softmax and has no value.
    precision : {"float32", "float64", "float16", "bfloat16", "int8"}
        Of the model's kernel, which sets the tolerance of `proven`.
    index : int
        Place of the call among all attention calls of the model.
    call : int
        Place of the call among those of its module.
    rounding : Rounding, optional
        How a quantised model rounds its weights before the product. `weights` are those of the softmax; `error`
        compares with the rounded ones, which may be one step away from them at most.
    note : str
        What else there is to know about the call, such as a change of the weights after the softmax.

    Examples
    --------
    >>> import numpy as np
    >>> q, k, v = np.random.default_rng(0).normal(size=(3, 1, 2, 5, 4))
    >>> layer = AttentionLayer("encoder", "self", q, k, v, output=attention(q, k, v), scale=0.5)
    >>> layer.weights(rows=[4]).shape, layer.proven
    ((1, 2, 1, 5), True)
    """

    name: str
    kind: str
    q: Array
    k: Array
    v: Array
    output: Array
    scale: float
    softcap: float | None = None
    bias: Array | None = None
    mask: KeyMask | None = None
    sinks: Array | None = None
    precision: str = "float32"
    index: int = 0
    call: int = 0
    note: str = ""
    rounding: Rounding | None = None

    __repr__ = brief_repr

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, H, N, M), the shape of the weights."""
        b, h, n, _ = self.q.shape
        return b, h, n, self.k.shape[2]

    def weights(self, rows: int | slice | Sequence[int] | IntArray | None = None) -> Array:
        """Attention weights p of some queries, or of all.

        Parameters
        ----------
        rows : int, slice or sequence of int, optional
            Which queries, counted from 0; negative numbers count from the end. All by default.

        Returns
        -------
        ndarray of shape (B, H, N, M)
            N is the number of chosen rows. A row sums to one; to less where the head has a sink; to zero where its
            query may attend to nothing.

        Raises
        ------
        ShapeError
            If there is no such row.
        """
        indices = self._chosen(rows)
        parts = [self._part(part, return_weights=True)[1] for part in self._blocks(indices)]
        return np.concatenate(parts, axis=2) if parts else np.zeros((*self.shape[:2], 0, self.shape[3]), self.q.dtype)

    @property
    def lse(self) -> Array:
        """Log-sum-exp of the logits, sink included, (B, H, N); −inf where a query may attend to nothing."""
        return self._recomputed.lse

    @cached_property
    def error(self) -> float:
        """Largest difference between p·v and the output of the model's kernel, relative to its largest output.

        Rows whose query may attend to nothing are left out: kernels return zero or NaN for them. Infinite where the
        kernel's output is not finite elsewhere, or shapes differ.
        """
        ours, theirs = self._recomputed.output, self.output
        if ours.shape != theirs.shape:
            return float("inf")
        some = ~np.isneginf(self._recomputed.lse)
        if not some.any():
            return 0.0
        ours, theirs = ours[some], theirs[some]
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return float("inf")
        largest = float(np.abs(theirs).max(initial=0))
        difference = float(np.abs(ours - theirs).max(initial=0))
        return difference / largest if largest else difference

    @property
    def proven(self) -> bool:
        """Whether the weights reproduce the output of the model's kernel to its precision."""
        return self.error <= TOLERANCE[self.precision]

    @cached_property
    def message(self) -> str:
        """What is wrong with a layer that is not proven, and which mistake explains it; empty for one that is."""
        if self.proven:
            return ""
        b, h, n, m = self.shape
        rule = {"scale": self.scale, "softcap": self.softcap, "bias": self.bias if self.bias is None else self.bias[:1]}
        tolerance = min(10 * TOLERANCE[self.precision], self.error / 10)  # else what changes little would explain it
        mistake = find_mistake(self.q, self.k, self.v, self.output, self.mask, tolerance, **rule)
        reason = f"{mistake.code}: {mistake.title}" if mistake else "No mistake of the catalogue explains it by itself."
        return (
            f"{self.name}: weights times values miss the output of the model's own kernel by {self.error:.1e} of its "
            f"largest value ({b} x {h} x {n} x {m}). {f'Note: {self.note}. ' if self.note else ''}{reason}"
        )

    @cached_property
    def _recomputed(self) -> _Recomputed:
        """Output and log-sum-exp from q, k, v and the rule, a block of rows at a time."""
        b, h, n, _ = self.shape
        output, lse = np.zeros((b, h, n, self.v.shape[-1]), self.q.dtype), np.zeros((b, h, n), self.q.dtype)
        for part in self._blocks(np.arange(n)):
            o, p, s = self._part(part, return_weights=self.rounding is not None)
            if self.rounding is not None:
                o = self.rounding.rows(p, part) @ np.repeat(self.v, h // self.v.shape[1], axis=1)
            output[:, :, part], lse[:, :, part] = o, s
        return _Recomputed(output, lse)

    def _part(self, rows: IntArray, return_weights: bool = False) -> tuple[Array, Array, Array]:
        """Output (B, H, rows, e), weights (B, H, rows, M) where they are needed, log-sum-exp (B, H, rows)."""
        bias = self.bias if self.bias is None or self.bias.shape[-2] == 1 else self.bias[..., rows, :]
        result = attention(
            self.q[:, :, rows],
            self.k,
            self.v[..., :0] if return_weights else self.v,
            mask=None if self.mask is None else self.mask.rows(rows),
            bias=bias,
            scale=self.scale,
            softcap=self.softcap,
            sinks=self.sinks,
            return_weights=return_weights,
            return_lse=True,
        )
        return result if return_weights else (result[0], result[0][..., :0], result[1])

    def _blocks(self, rows: IntArray) -> Iterator[IntArray]:
        """The rows in blocks of a few million logits, so that no array is as large as all weights."""
        b, h, _, m = self.shape
        size = max(1, _LOGITS_AT_ONCE // max(1, b * h * m))
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _chosen(self, rows: int | slice | Sequence[int] | IntArray | None) -> IntArray:
        n = self.shape[2]
        if rows is None:
            return np.arange(n)
        if isinstance(rows, slice):
            return np.arange(n)[rows]
        indices = np.atleast_1d(np.asarray(rows))
        if indices.size == 0:
            return np.zeros(0, np.int64)
        if indices.dtype.kind not in "iu" or indices.ndim != 1:
            raise DataError(f"rows: expected whole numbers, such as rows=[0, 5]; got {rows!r}.")
        if indices.min() < -n or indices.max() >= n:
            raise ShapeError(f"rows: expected queries from 0 to {n - 1} of {self.name}; got {rows!r}.")
        return np.where(indices < 0, indices + n, indices)


def find_mistake(
    q: Array, k: Array, v: Array, output: Array, mask: KeyMask | None, tolerance: float, **rule: Any
) -> Mistake | None:
    """The first mistake of the catalogue with which attention gives the output (B, H, N, e); None if none does.

    q is (B, H, N, d), k (B, G, M, d), v (B, G, M, e); the tolerance is relative to the largest output, and `rule` has
    scale, softcap and bias as the reference takes them.
    """
    if not q.size or q[0, ..., 0].size * k.shape[2] > _LARGEST or output.shape[:3] != q.shape[:3]:
        return None
    case = {"q": q[:1], "k": k[:1], "v": v[:1], **{name: value for name, value in rule.items() if value is not None}}
    largest = float(np.abs(output[:1]).max(initial=0)) or 1.0
    for arguments in _masked(mask, *q.shape[2:3], *k.shape[2:3]):
        for mistake in CATALOGUE.values():
            for change in mistake.changes:
                outcome = evaluate({**case, **arguments}, build([change]))
                if outcome is None or outcome.output.shape != output[:1].shape:
                    continue
                if np.abs(outcome.output - output[:1]).max(initial=0) <= tolerance * largest:
                    return mistake
    return None


def _masked(mask: KeyMask | None, n: int, m: int) -> Iterator[dict[str, Any]]:
    """The mask as arguments of the reference: as causal, if that is what it is, and as an array."""
    if mask is None:
        yield {}
        return
    rows = mask.rows(np.arange(n))[:1]
    for align in ("start", "end"):
        causal = KeyMask.from_rule((1, 1, n, m), causal=True, align="start" if align == "start" else "end")
        if causal is not None and np.array_equal(np.broadcast_to(causal.rows(np.arange(n)), rows.shape), rows):
            yield {"causal": True, "align": align}
    yield {"mask": rows}

"""Attention and its gradients by their formulas in extended precision, with what rounding may change in an engine.

It shares nothing with the package: no tiles, no BLAS, and numbers beyond the range of float64 where the processor has
them. A result of an engine is right if it is within `Result.error` of `Result.value`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Wide = np.longdouble
HAS_EXTENDED_RANGE = np.finfo(Wide).maxexp > np.finfo(np.float64).maxexp


@dataclass
class Result:
    """An array, a bound of the error of computing it, and the size of the terms of which it is the sum."""

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray

    def summed_to(self, shape):
        """The sum over the axes along which an array of this shape was broadcast."""
        return Result(*(_sum_to(array, shape) for array in (self.value, self.error, self.size)))

    def assert_close(self, array, name):
        """Compare a result of an engine, where neither it nor the terms of its sum leave the range of its type."""
        info = np.finfo(array.dtype)
        representable = self.size + self.error < Wide(info.max) / 256
        rounding = abs(self.value) * Wide(info.eps) + Wide(info.smallest_subnormal)
        with np.errstate(invalid="ignore"):
            difference = np.where(array == self.value, 0, abs(array.astype(Wide) - self.value))
        wrong = representable & ~(difference <= self.error + rounding)
        if wrong.any():
            where = tuple(map(int, np.argwhere(wrong)[0]))
            raise AssertionError(
                f"{name}{where}: {array[where]} instead of {self.value[where]}, allowed ±{self.error[where]}"
            )


@dataclass
class Expected:
    """What an engine may return."""

    raises: bool  # an error is the only right result
    may_raise: bool  # numbers in between may leave the range of the type, depending on the order of operations
    results: dict[str, Result]


def visible_pairs(shape, *, mask=None, bias=None, causal=False, window=None, align="start", lengths=None, **_):
    """Which keys each query may attend to, (..., H, N, M)."""
    *lead, _, n, m = shape
    valid = np.broadcast_to(m if lengths is None else lengths, lead)[..., None, None, None]
    key, aligned = np.arange(m), np.arange(n)[:, None] + (0 if align == "start" else valid - n)
    pairs = np.broadcast_to(key < valid, shape)
    left, right = window or (None, None)
    for hidden in (
        causal and key > aligned,
        left is not None and key < aligned - min(left, n + m),
        right is not None and key > aligned + min(right, n + m),
        bias is not None and np.isneginf(bias),
        mask is not None and ~mask,
    ):
        pairs = pairs & ~np.asarray(hidden)
    return pairs


def extended_attention(q, k, v, do, **options):
    """`Expected` of attention and of its gradients for arrays of one type."""
    with np.errstate(all="ignore"):
        return _Attention(q, k, v, **options).expected(do)


class _Attention:
    def __init__(self, q, k, v, **options):
        heads, m = q.shape[-3], k.shape[-2]
        self.repeat = heads // k.shape[-3]
        computing = np.float32 if q.dtype.itemsize == 2 else q.dtype
        info = np.finfo(computing)
        self.eps, self.tiny, self.max = Wide(info.eps), Wide(info.tiny), Wide(info.max)
        pairs = visible_pairs((*q.shape[:-1], m), **options)
        seen = pairs.any(axis=-2).reshape(*pairs.shape[:-3], k.shape[-3], self.repeat, m).any(axis=-2)
        self.pairs, self.nonfinite = pairs, False
        self.q = self._zero_hidden(q, pairs.any(axis=-1))
        self.k, self.v = (self._zero_hidden(a, seen).repeat(self.repeat, axis=-3) for a in (k, v))
        scale = options.get("scale")
        self.scale = Wide(1) / np.sqrt(Wide(q.shape[-1])) if scale is None else Wide(scale)
        self.cap = options.get("softcap")
        self.bias, self.sinks = (self._wide(options.get(name)) for name in ("bias", "sinks"))
        self.bias_shape, self.sinks_shape = (np.shape(options.get(name)) for name in ("bias", "sinks"))

    def _zero_hidden(self, array, matters):
        bad = ~np.isfinite(array.astype(Wide)).all(axis=-1)
        self.nonfinite = self.nonfinite or bool((bad & matters).any())
        return np.where(bad[..., None], 0, array.astype(Wide))

    def _wide(self, array):
        return None if array is None else np.clip(np.asarray(array, Wide), -self.max, self.max)

    def expected(self, do):
        """The forward pass, then the backward pass, with the bounds of each step next to it."""
        pairs, eps, tiny = self.pairs, self.eps, self.tiny
        d, m = self.q.shape[-1], pairs.shape[-1]
        products = abs(self.q) @ abs(self.k).mT
        raw, size = self.scale * (self.q @ self.k.mT), abs(self.scale) * products
        lost = tiny * (d + 1) * (1 + abs(self.k).max(initial=0) + abs(self.q).max(initial=0)) * max(1, abs(self.scale))
        raw_error = (d + 8) * eps * size + lost  # a factor may lose its digits below the smallest normal number
        tanh = None if self.cap is None else np.tanh(raw / self.cap)
        capped = raw if tanh is None else self.cap * tanh
        s = capped if self.bias is None else capped + self.bias
        terms = size if self.bias is None else size + abs(self.bias)
        visible_terms = np.where(pairs, np.maximum(terms, products), 0).max(initial=0)
        overflow = self.cap is None and bool((pairs & (abs(s) > 64 * self.max)).any())
        s = np.where(pairs, s, -np.inf)
        top = s.max(axis=-1, keepdims=True, initial=-np.inf)
        everything = top if self.sinks is None else np.maximum(top, self.sinks[..., None, None])
        shift = np.where(np.isneginf(everything), 0, everything)
        weights = np.exp(s - shift)
        added = 0 if self.sinks is None else np.exp(self.sinks[..., None, None] - shift)
        total = weights.sum(axis=-1, keepdims=True) + added
        p = weights / np.where(total == 0, 1, total)
        p_sink = added / np.where(total == 0, 1, total)
        s_error = np.where(pairs, raw_error + 8 * eps * (abs(capped) + abs(np.where(pairs, s, 0))), 0)
        row_error = s_error.max(axis=-1, keepdims=True, initial=0) + 8 * eps * abs(shift)
        relative = np.where(row_error < 0.25, np.expm1(2 * row_error) + (m + 16) * eps, np.inf)
        # an engine's sums of exponentials may be e⁴⁰ times as large, and infinite where a sink has all the weight
        lost = tiny * (8 if self.sinks is None else 2.0**60)
        p_error, sink_error = (
            np.where(np.isinf(relative), 1, np.nan_to_num(array * relative) + lost) for array in (p, p_sink)
        )
        p_error = np.where(pairs, p_error, 0)
        o = _product(p, p_error, self.v, eps, tiny)
        lse = (shift + np.log(total))[..., 0]
        lse_error = (2 * row_error + 8 * eps * (abs(shift) + 1))[..., 0] + (m + 16) * eps
        lse_error = np.where(np.isneginf(lse), 0, lse_error + 8 * eps * abs(np.where(np.isneginf(lse), 0, lse)))
        results = {"o": o, "p": Result(p, p_error, p), "lse": Result(lse, lse_error, np.where(lse_error, abs(lse), 0))}
        attends = total > 0
        do = np.where(attends, do.astype(Wide), 0)
        if np.isfinite(do).all():
            results |= self._gradients(do, p, p_error, p_sink, sink_error, o, tanh, raw_error)
        may_raise = bool(visible_terms > self.max / 256) or overflow
        return Expected(self.nonfinite or overflow, self.nonfinite or may_raise, results)

    def _gradients(self, do, p, p_error, p_sink, sink_error, o, tanh, raw_error):
        eps, tiny = self.eps, self.tiny
        n, e = do.shape[-2:]
        largest = [abs(array).max(initial=1) for array in (do, self.v, self.q, self.k)]
        if largest[0] * largest[1] * max(1, abs(self.scale) * max(largest[2:])) > self.max / Wide(2) ** 200:
            tiny = tiny * Wide(2) ** 300  # products that overflow are computed of smaller numbers, which may vanish
        results = {"dv": self._per_group(_product(p.mT, p_error.mT, do, eps, tiny))}
        dp, dp_size = do @ self.v.mT, abs(do) @ abs(self.v).mT
        mean, mean_size = ((a * b).sum(axis=-1, keepdims=True) for a, b in ((do, o.value), (abs(do), o.size)))
        mean_error = (abs(do) * o.error).sum(axis=-1, keepdims=True) + (e + 8) * eps * mean_size
        ds, ds_size = p * (dp - mean), p * (dp_size + mean_size)
        ds_error = p_error * (dp_size + mean_size) + p * ((e + 8) * eps * dp_size + mean_error) + 8 * eps * ds_size
        ds_error = np.where(self.pairs, ds_error + 8 * tiny, 0)
        if self.bias is not None:
            shape = self.bias_shape
            total = Result(ds, ds_error + ds.size * eps * ds_size, ds_size).summed_to(shape)
            results["dbias"] = total
        if self.sinks is not None:
            error = p_sink * mean_error + sink_error * mean_size + (n + 8) * eps * p_sink * mean_size + tiny
            sums = Result(-p_sink * mean, error, p_sink * mean_size)
            sums = Result(*(a[..., 0].sum(axis=-1) for a in (sums.value, sums.error, sums.size)))
            results["dsinks"] = sums.summed_to(self.sinks_shape)
        if tanh is not None:  # the slope of the softcap
            slope = 1 - tanh**2
            slope_error = np.minimum(1, 2 * raw_error / self.cap + 16 * eps)
            ds_error = ds_error * slope + ds_size * slope_error
            ds, ds_size = ds * slope, ds_size
        results["dq"] = _product(self.scale * ds, abs(self.scale) * ds_error, self.k, eps, tiny, ds_size * self.scale)
        results["dk"] = self._per_group(
            _product(self.scale * ds.mT, abs(self.scale) * ds_error.mT, self.q, eps, tiny, ds_size.mT * self.scale)
        )
        return results

    def _per_group(self, result):
        """The sum over the heads that share a key head."""

        def add(array):
            *lead, heads, m, width = array.shape
            return array.reshape(*lead, heads // self.repeat, self.repeat, m, width).sum(axis=-3)

        return Result(add(result.value), add(result.error + self.repeat * self.eps * result.size), add(result.size))


def _product(a, a_error, b, eps, tiny, a_size=None):
    """a @ b, where `a` has errors and `b` none."""
    size = abs(a if a_size is None else a_size) @ abs(b)
    terms = a.shape[-1] + 16
    lost = tiny * terms * (1 + abs(b).max(initial=0))
    return Result(a @ b, a_error @ abs(b) + terms * eps * size + lost, size)


def _sum_to(array, shape):
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    kept = tuple(axis for axis, size in enumerate(shape) if size != array.shape[axis])
    return array.sum(axis=kept, keepdims=True)

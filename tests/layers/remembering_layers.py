"""Causal layers that keep keys and values in every call, and forget them when they are told to."""

import numpy as np
import torch

from layers.cached_layers import Projected


def rotated(x, first):
    half = x.shape[-1] // 2
    places = torch.arange(first, first + x.shape[-2], dtype=x.dtype)
    angles = places[:, None] * 1e4 ** (-torch.arange(half, dtype=x.dtype) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


class Remembering(Projected):
    rotary, hides = False, 0

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        self.cache = None

    def reset(self):
        self.cache = None

    def forward(self, x):
        q, k, v = self.projected(x)
        first = 0 if self.cache is None else self.cache[0].shape[2]
        q, k = self.turned(q, k, first)
        if self.cache is not None:
            k, v = torch.cat([self.cache[0], k], 2), torch.cat([self.cache[1], v], 2)
        self.cache = self.kept(k, v)
        return self.attended(q, k, v, self.hides * first)

    def turned(self, q, k, first):
        return (rotated(q, first), rotated(k, first)) if self.rotary else (q, k)

    def kept(self, k, v):
        return k, v


class RememberingRotary(Remembering):
    rotary = True


class RememberingRotaryFromFirst(RememberingRotary):
    def turned(self, q, k, first):
        return rotated(q, 0), rotated(k, 0)


class RememberingUnaligned(Remembering):
    """A new token sees the first keys alone."""

    hides = 1


class RememberingSwapped(Remembering):
    def kept(self, k, v):
        return v, k


class InEvaluation(Remembering):
    def reset_cache(self):
        self.cache = None

    def forward(self, x):
        return self.attended(*self.projected(x)) if self.training else super().forward(x)


class OnDemand(Remembering):
    """An attribute turns the cache on."""

    hides = 0

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        self.use_cache = False

    def forward(self, x):
        return super().forward(x) if self.use_cache else self.attended(*self.projected(x))


class OnDemandUnaligned(OnDemand):
    hides = 1


class OfArrays:
    """NumPy arrays, kept in every call."""

    aligned = True

    def __init__(self, d_model=6):
        self.Wq, self.Wk, self.Wv = np.random.default_rng(0).normal(size=(3, d_model, d_model))
        self.clear_cache()

    def clear_cache(self):
        self.k_cache = self.v_cache = None

    def forward(self, x):
        """Causal; x (B, N, D)."""
        q, k, v = x @ self.Wq, x @ self.Wk, x @ self.Wv
        if self.k_cache is not None:
            k, v = np.concatenate([self.k_cache, k], 1), np.concatenate([self.v_cache, v], 1)
        self.k_cache, self.v_cache = k, v
        s = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
        n, m = s.shape[1:]
        s = np.where(np.tri(n, m, m - n if self.aligned else 0, dtype=bool), s, -np.inf)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v


class OfArraysUnaligned(OfArrays):
    aligned = False

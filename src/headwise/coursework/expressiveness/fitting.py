"""Each family of functions fitted to the other by gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.attention import attention_backward, attention_forward
from headwise.attention.functional import AttentionCache
from headwise.coursework.expressiveness.constructions import Setting
from headwise.nn.params import Params, flatten, unflatten
from headwise.shapes import Array
from headwise.train.adamw import AdamW, adamw_step


@dataclass(frozen=True)
class Fit:
    """One family fitted to functions that another number of heads computes."""

    # heads of the family that was fitted, and of the functions it was fitted to
    heads: int
    of: int
    # (targets, starts): mean squared error on fresh inputs after the last step, over the variance of the outputs
    losses: Array

    @property
    def best(self) -> Array:
        """(targets,): of all starts."""
        return np.asarray(self.losses.min(axis=1))


def fit(heads: int, of: int, setting: Setting, *, targets: int, starts: int, steps: int, inputs: int, seed: int) -> Fit:
    """Fit a family by gradient descent to functions of another number of heads.

    All targets and starts are fitted side by side, as a leading axis of one problem.

    `heads`, `of`: heads of the family, and of the functions.
    `targets`, `starts`, `steps`, `inputs`, `seed`: as in `expressiveness`.
    """
    rng = np.random.default_rng([seed, of, inputs])
    x, fresh = rng.normal(size=(2, inputs, setting.tokens, setting.width))
    truth = random_functions(targets, setting.width, rng)
    (targets_of_fit, _), (expected, _) = (functions_forward(batch, truth, of) for batch in (x, fresh))

    params = random_functions(targets * starts, setting.width, np.random.default_rng([seed, heads, 7]))
    vector = flatten(params)
    memory, decays = AdamW.zeros(vector), np.zeros_like(vector)
    goal = np.repeat(targets_of_fit, starts, axis=0)
    for step in range(steps):
        now = unflatten(vector, params)
        o, cache = functions_forward(x, now, heads)
        gradient = flatten(functions_backward(2 * (o - goal) / o[0].size, cache))
        rate = 0.03 * 0.5 * (1 + np.cos(np.pi * step / steps))
        adamw_step(vector, gradient, memory, learning_rate=rate, weight_decay=0.0, decay_mask=decays)
    outputs, _ = functions_forward(fresh, unflatten(vector, params), heads)
    error = ((outputs - np.repeat(expected, starts, axis=0)) ** 2).mean(axis=(1, 2, 3))
    scale = np.repeat(expected.var(axis=(1, 2, 3)), starts)
    return Fit(heads, of, (error / scale).reshape(targets, starts))


class _Cache(NamedTuple):
    x: Array
    attention: AttentionCache
    shape: tuple[int, ...]  # (count, B, H, N, d)


def random_functions(count: int, width: int, rng: np.random.Generator) -> Params:
    """Random functions: Wq, Wk, Wv of shape (count, D, D)."""
    return {name: rng.normal(size=(count, width, width)) / np.sqrt(2) for name in ("Wq", "Wk", "Wv")}


def functions_forward(x: Array, params: Params, heads: int) -> tuple[Array, _Cache]:
    """Outputs (count, B, N, D) of every function on every input (B, N, D)."""
    count, (b, n, width) = len(params["Wq"]), x.shape
    split = {}
    for name, weight in params.items():
        projected = np.einsum("bni,coi->cbno", x, weight, optimize=True)
        split[name] = projected.reshape(count, b, n, heads, width // heads).swapaxes(2, 3)
    o, cache = attention_forward(*(split[name] for name in ("Wq", "Wk", "Wv")))
    return o.swapaxes(2, 3).reshape(count, b, n, width), _Cache(x, cache, o.shape)


def functions_backward(do: Array, cache: _Cache) -> Params:
    """Gradients of the functions for `do`, shaped like the outputs."""
    count, b, heads, n, d = cache.shape
    grads = attention_backward(do.reshape(count, b, n, heads, d).swapaxes(2, 3), cache.attention)
    return {
        name: np.einsum("cbno,bni->coi", g.swapaxes(2, 3).reshape(count, b, n, heads * d), cache.x, optimize=True)
        for name, g in zip(("Wq", "Wk", "Wv"), grads, strict=True)
    }

"""What every engine offers, and what its forward pass keeps for its backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headwise.attention.inputs import AttentionInputs
from headwise.shapes import Array


@dataclass(slots=True, eq=False)  # not frozen, which takes seven times as long to make
class ForwardCache:
    """Softmax statistics of each query: p = exp((logits / unit − shift) · unit) / total."""

    inputs: AttentionInputs
    o: Array  # (..., H, N, e)
    # (..., H, N, 1): the row's maximum, or another number near it, in multiples of `unit`; 0 where a query may attend
    # to nothing
    shift: Array
    total: Array  # (..., H, N, 1): sum of the exponentials; 0 where a query may attend to nothing
    finite: bool  # whether every number of the output is finite
    unit: float = 1.0  # an engine may keep its logits divided by this factor
    # (..., H, N, M): the weights, and the tanh of the softcap, where the engine keeps them
    p: Array | None = None
    tanh: Array | None = None
    log_sum_exp: Array | None = None  # (..., H, N), where it includes sinks

    def lse(self) -> Array:
        """Log-sum-exp of the logits (..., H, N)."""
        if self.log_sum_exp is not None:
            return self.log_sum_exp
        with np.errstate(divide="ignore"):
            return np.asarray(self.shift * self.shift.dtype.type(self.unit) + np.log(self.total))[..., 0]


@dataclass(slots=True, eq=False)
class Gradients:
    """Gradients of an engine's inputs, each of the shape of its array; and whether all their numbers are finite."""

    dq: Array
    dk: Array
    dv: Array
    dbias: Array | None
    finite: bool


class Engine(Protocol):
    """A module that computes attention and its gradients for checked inputs."""

    def forward(self, inputs: AttentionInputs, weights: bool = False) -> tuple[Array | None, ForwardCache]:
        """Return the weights (..., H, N, M) if requested, and a cache with the output."""

    def backward(self, cache: ForwardCache, do: Array) -> Gradients:
        """Return the gradients, with dbias if there is a bias."""

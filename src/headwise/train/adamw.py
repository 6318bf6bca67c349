"""AdamW: Adam with decoupled weight decay, over one vector that holds all parameters.

Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101 (2019), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.nn.params import flatten
from headwise.shapes import Array

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass
class AdamW:
    """State of the optimizer: running means of the gradient and of its square, and the number of steps."""

    mean: Array
    square: Array
    steps: int = 0

    @classmethod
    def zeros(cls, vector: Array) -> AdamW:
        """The state before the first step."""
        return cls(np.zeros_like(vector), np.zeros_like(vector))


def adamw_step(
    vector: Array, gradient: Array, state: AdamW, *, learning_rate: float, weight_decay: float, decay_mask: Array
) -> None:
    r"""One step, in place.

    .. math:: m = β_1 m + (1-β_1) g \quad v = β_2 v + (1-β_2) g^2 \quad
              θ = (1 - ηλ) θ - η \hat m / (\sqrt{\hat v} + ε)

    Parameters
    ----------
    vector : ndarray of shape (P,)
        The parameters; changed.
    gradient : ndarray of shape (P,)
    state : AdamW
        Changed.
    learning_rate, weight_decay : float
        η and λ.
    decay_mask : ndarray of shape (P,)
        One where λ applies, zero elsewhere.
    """
    state.steps += 1
    constants = (_BETA_1, _BETA_2, _EPSILON, learning_rate, learning_rate * weight_decay, float(state.steps))
    backend(vector).adamw(vector, gradient, state.mean, state.square, decay_mask, constants)


def weight_decay_mask(params: Mapping[str, Array]) -> Array:
    """One for the entries of weight matrices, zero for biases, gains, positions and the class token."""
    return flatten({name: np.full_like(array, name.endswith("weight")) for name, array in params.items()})


def clip_norm(gradient: Array, limit: float) -> float:
    """Scale a gradient down to norm `limit` if it is larger, in place; return its norm before."""
    norm = float(np.sqrt(np.dot(gradient, gradient)))
    if norm > limit:
        gradient *= gradient.dtype.type(limit / norm)
    return norm

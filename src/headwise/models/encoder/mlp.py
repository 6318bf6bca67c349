"""The MLP of loaded models: W₂ f(W₁ x), or gated: W₂ (f(G x) ∘ W₁ x).

Source: Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202 (2020).
"""

from __future__ import annotations

from typing import NamedTuple

from headwise.nn.activation_functions import ActivationCache, activation_backward, activation_forward
from headwise.nn.linear import LinearCache, linear_backward_parallel, linear_forward
from headwise.nn.params import Params, join_params, subtree
from headwise.shapes import Array


class GatedMlpCache(NamedTuple):
    """Caches of the steps; of an MLP with a gate also its projection, the active gate and the values it multiplies."""

    hidden: LinearCache
    activation: ActivationCache
    output: LinearCache
    gate: tuple[LinearCache, Array, Array] | None


def gated_mlp_forward(x: Array, params: Params, activation: str) -> tuple[Array, GatedMlpCache]:
    """Apply ``hidden``, the activation and ``output`` to each token of x (..., D); with a gate if there is ``gate``."""
    hidden, hidden_cache = linear_forward(x, subtree(params, "hidden"))
    gate = None
    if gate_params := subtree(params, "gate"):
        projected, gate_cache = linear_forward(x, gate_params)
        active, activation_cache = activation_forward(projected, activation)
        gate = (gate_cache, active, hidden)
        active = active * hidden
    else:
        active, activation_cache = activation_forward(hidden, activation)
    y, output_cache = linear_forward(active, subtree(params, "output"))
    return y, GatedMlpCache(hidden_cache, activation_cache, output_cache, gate)


def gated_mlp_backward(dy: Array, cache: GatedMlpCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to the parameters."""
    dactive, output_grads = linear_backward_parallel(dy, cache.output)
    if cache.gate is None:
        dx, hidden_grads = linear_backward_parallel(activation_backward(dactive, cache.activation), cache.hidden)
        return dx, join_params(output=output_grads, hidden=hidden_grads)
    gate_cache, active, hidden = cache.gate
    dx, hidden_grads = linear_backward_parallel(dactive * active, cache.hidden)
    dgate, gate_grads = linear_backward_parallel(activation_backward(dactive * hidden, cache.activation), gate_cache)
    return dx + dgate, join_params(output=output_grads, hidden=hidden_grads, gate=gate_grads)

r"""Layer-wise relevance propagation, as the gradient of a network whose nonlinear parts are frozen at this input.

With every normalisation and activation replaced by the factor that it applies to this input, gradient times input is
relevance: it is conserved from layer to layer, except for what biases contribute. Products of two activations share
their relevance equally.

Source: Achtibat et al., "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers", arXiv 2402.05602
(2024): the ε-rule with ε = 0 for linear layers, the identity rule for normalisation (proposition 3.4) and activations,
the uniform rule for products (proposition 3.3), and the Taylor expansion of the softmax (proposition 3.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headwise.attribution.differentiable import Differentiable, Pass
from headwise.models.encoder.attention import SublayerCache
from headwise.models.encoder.heads import HeadCache
from headwise.models.encoder.mlp import GatedMlpCache
from headwise.nn import ActivationCache, LayerNormCache, LinearCache, RmsNormCache, freeze_activation
from headwise.shapes import Array

_SHARES = {"query": 0.25, "key": 0.25, "value": 0.5}  # of p v, weights and values get half; of q k, each half of that


def attn_lrp(function: Differentiable, target: int, run: Pass | None = None) -> Array:
    """Relevance (T,) of each token for the target's score; one forward and one backward pass.

    Parameters
    ----------
    function : Differentiable
    target : int
    run : Pass, optional
        The forward pass of ``function.x``, if there was one already.

    Returns
    -------
    ndarray of shape (T,)
        Of pixels or values relative to their mean, or of the words' embeddings. With the relevance of positions and
        biases they sum to the score.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.attribution.differentiable import differentiable
    >>> from headwise.models.adapters import ViT
    >>> from headwise.models.vit import ViTConfig, vit_params
    >>> config = ViTConfig("14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    >>> function = differentiable(ViT(config, vit_params(config, np.random.default_rng(0))), np.ones((28, 28), "f4"))
    >>> attn_lrp(function, target=3).shape
    (5,)
    """
    run = function.forward(function.x[None]) if run is None else run
    gradient = function.backward(target, run, freeze(run.cache)).input[0]
    return function.by_token(gradient * (function.x - function.baseline))


def freeze(cache: Any) -> Any:
    """A network's cache with which the backward pass propagates relevance instead of gradients."""
    if isinstance(cache, LayerNormCache | RmsNormCache):
        return cache._replace(normalized=np.zeros_like(cache.normalized))  # the divisor is a constant
    if isinstance(cache, ActivationCache):
        return freeze_activation(cache)
    if isinstance(cache, SublayerCache):
        shared = {name: _scaled(projection, _SHARES[name]) for name, projection in cache.projections.items()}
        return cache._replace(projections=shared, norms=freeze(cache.norms))
    if isinstance(cache, GatedMlpCache) and cache.gate is not None:
        gate, active, values = cache.gate
        return GatedMlpCache(cache.hidden, freeze(cache.activation), cache.output, (gate, active / 2, values / 2))
    if isinstance(cache, HeadCache):
        steps = {name: freeze(getattr(cache, name)) for name in ("activation", "norm")}
        return cache._replace(**steps, capped=_freeze_softcap(cache))
    if isinstance(cache, dict):
        return {name: freeze(part) for name, part in cache.items()}
    if isinstance(cache, tuple):
        parts = [freeze(part) for part in cache]
        return type(cache)(*parts) if hasattr(cache, "_fields") else tuple(parts)
    return cache


def _scaled(projection: LinearCache, factor: float) -> LinearCache:
    """A projection whose backward pass multiplies the gradient of its input by a factor."""
    return projection._replace(weight=projection.weight * projection.weight.dtype.type(factor))


def _freeze_softcap(cache: HeadCache) -> Array | None:
    """The value with which the slope 1 − (y/c)² of the softcap is the ratio y/x at this input."""
    if cache.capped is None or cache.head.softcap is None:
        return cache.capped
    y = cache.capped / cache.head.softcap
    x = np.arctanh(y)
    ratio = np.divide(y, x, out=np.ones_like(x), where=x != 0)
    return np.asarray(cache.head.softcap * np.sqrt(1 - ratio))

"""Set transformers: an encoder of the members, pooling into one vector, and a decoder.

The result does not depend on the order of the members. Source: Lee et al., "Set Transformer", ICML 2019,
arXiv 1810.00825; the encoders and poolings without attention are its baselines, section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from headwise import nn
from headwise.errors import DataError
from headwise.nn.params import collect
from headwise.shapes import Array, BoolArray, IntArray, bind
from headwise.validation import check_choice, check_sizes

ENCODERS = ("rFF", "SAB", "ISAB")
POOLINGS = ("mean", "sum", "max", "PMA")


@dataclass(frozen=True)
class SetTransformerConfig:
    """Configuration of a set transformer.

    Attributes
    ----------
    n_inputs, n_outputs : int
        Variables of each member, and values predicted for each set.
    encoder : {"SAB", "ISAB", "rFF"}
        Self-attention, attention through induced points, or a feed-forward network per member.
    pooling : {"PMA", "mean", "sum", "max"}
        Attention from one learned seed, or a statistic of each feature.
    d_model, n_layers, n_heads : int
        D, L (for the encoder rFF: pairs of linear layers), and H.
    n_inducing_points : int
        Used by the encoder ISAB.
    layer_norm : bool
        Layer normalisation in the attention blocks.
    """

    n_inputs: int
    n_outputs: int = 1
    encoder: str = "SAB"
    pooling: str = "PMA"
    d_model: int = 64
    n_layers: int = 2
    n_heads: int = 4
    n_inducing_points: int = 16
    layer_norm: bool = False

    def __post_init__(self) -> None:
        check_choice("encoder", self.encoder, ENCODERS)
        check_choice("pooling", self.pooling, POOLINGS)
        names = ("n_inputs", "n_outputs", "n_layers", "n_inducing_points")
        check_sizes(self.d_model, self.n_heads, **{name: getattr(self, name) for name in names})


class SetCache(NamedTuple):
    """Caches in the order of the forward pass: the encoder's blocks or layers, the pooling, the decoder's layers."""

    encoder: tuple[Any, ...]
    pooling: Any
    decoder: tuple[Any, ...]
    config: SetTransformerConfig


class _Pooled(NamedTuple):
    """Which members are valid (B, N, 1), and for the maximum its index (B, 1, D)."""

    valid: BoolArray
    largest: IntArray | None


def set_params(config: SetTransformerConfig, rng: np.random.Generator) -> nn.Params:
    """Random parameters in float32.

    Examples
    --------
    >>> sum(array.size for array in set_params(SetTransformerConfig(n_inputs=1), np.random.default_rng(0)).values())
    37953
    """
    params: nn.Params = {}
    width = config.n_inputs
    for i in range(2 * config.n_layers if config.encoder == "rFF" else config.n_layers):
        if config.encoder == "rFF":
            block = nn.linear_params(width, config.d_model, rng)
        elif config.encoder == "SAB":
            block = nn.sab_params(width, config.d_model, rng, norm=config.layer_norm)
        else:
            block = nn.isab_params(width, config.d_model, config.n_inducing_points, rng, norm=config.layer_norm)
        params |= nn.with_prefix(f"encoder.{i}", block)
        width = config.d_model
    if config.pooling == "PMA":
        params |= nn.with_prefix("pooling", nn.pma_params(config.d_model, 1, rng, norm=config.layer_norm))
    else:  # attention pooling ends with a linear layer; the other poolings get one here
        params |= nn.with_prefix("decoder.0", nn.linear_params(config.d_model, config.d_model, rng))
    return params | nn.with_prefix("decoder.1", nn.linear_params(config.d_model, config.n_outputs, rng))


def set_forward(
    sets: Array,
    params: nn.Params,
    config: SetTransformerConfig,
    *,
    lengths: IntArray | None = None,
    return_weights: bool = False,
) -> tuple[Array, SetCache]:
    """Outputs (B, outputs) for sets (B, N, V), in the type of the parameters.

    With `lengths` (B,) the members beyond a set's length are padding, which has no effect if it is finite. The cache
    has the attention weights if they are requested.
    """
    _check(sets, config, lengths)
    x, caches = sets, []
    cache: Any
    kwargs: dict[str, Any] = {"heads": config.n_heads, "lengths": lengths, "return_weights": return_weights}
    for i in range(2 * config.n_layers if config.encoder == "rFF" else config.n_layers):
        block = nn.subtree(params, f"encoder.{i}")
        if config.encoder == "rFF":
            x, cache = _dense(x, block, relu=i < 2 * config.n_layers - 1)
        else:
            x, cache = (nn.sab_forward if config.encoder == "SAB" else nn.isab_forward)(x, block, **kwargs)
        caches.append(cache)
    pooling: Any
    if config.pooling == "PMA":
        pooled, pooling = nn.pma_forward(x, nn.subtree(params, "pooling"), **kwargs)
        x, decoder = pooled[:, 0], []
    else:
        pooled, pooling = _pool(x, lengths, config.pooling)
        x, first = _dense(pooled, nn.subtree(params, "decoder.0"), relu=True)
        decoder = [first]
    y, last = _dense(x, nn.subtree(params, "decoder.1"), relu=False)
    return y, SetCache(tuple(caches), pooling, (*decoder, last), config)


def set_backward(dy: Array, cache: SetCache) -> nn.Params:
    """Gradients with respect to every parameter."""
    model = cache.config
    dx, grads = _dense_backward(dy, cache.decoder[-1])
    grads = nn.with_prefix("decoder.1", grads)
    if model.pooling == "PMA":
        dx = collect(grads, "pooling", nn.pma_backward(dx[:, None], cache.pooling))
    else:
        dx = collect(grads, "decoder.0", _dense_backward(dx, cache.decoder[0]))
        dx = _pool_backward(dx, cache.pooling, model.pooling)
    backward: Any = {"rFF": _dense_backward, "SAB": nn.sab_backward, "ISAB": nn.isab_backward}[model.encoder]
    for i in reversed(range(len(cache.encoder))):
        dx = collect(grads, f"encoder.{i}", backward(dx, cache.encoder[i]))
    return grads


def set_weights(cache: SetCache) -> tuple[Array, Array]:
    """Attention weights that SAB and PMA kept: (B, L, H, N, N) of the members, and (B, H, N) of the seed."""
    return np.stack([block.weights for block in cache.encoder], axis=1), cache.pooling.weights[:, :, 0]


def _check(sets: Array, config: SetTransformerConfig, lengths: IntArray | None) -> None:
    bind(f"B N {config.n_inputs}", sets=sets)
    b, n, _ = sets.shape
    shortest = n if lengths is None or not b else int(np.min(lengths))
    if shortest < 1 or (lengths is not None and b and int(np.max(lengths)) > n):
        received = f"lengths {shortest} to {int(np.max(lengths))}" if lengths is not None else "no members"
        raise DataError(f"sets: expected 1 to {n} members in each; got {received}. Remove empty sets.")


def _dense(
    x: Array, params: nn.Params, *, relu: bool
) -> tuple[Array, tuple[nn.LinearCache, nn.ActivationCache | None]]:
    """A linear layer, followed by ReLU if `relu`."""
    y, linear = nn.linear_forward(x, params)
    activation = None
    if relu:
        y, activation = nn.activation_forward(y, "relu")
    return y, (linear, activation)


def _dense_backward(dy: Array, cache: tuple[nn.LinearCache, nn.ActivationCache | None]) -> tuple[Array, nn.Params]:
    linear, activation = cache
    return nn.linear_backward(dy if activation is None else nn.activation_backward(dy, activation), linear)


def _pool(x: Array, lengths: IntArray | None, pooling: str) -> tuple[Array, _Pooled]:
    """Pool (B, N, D) over the valid members into (B, D)."""
    b, n, _ = x.shape
    valid = np.arange(n)[None, :, None] < (np.full(b, n) if lengths is None else lengths)[:, None, None]
    if pooling == "max":
        largest = np.where(valid, x, -np.inf).argmax(axis=1, keepdims=True)
        return np.take_along_axis(x, largest, axis=1)[:, 0], _Pooled(valid, largest)
    total = np.where(valid, x, 0).sum(axis=1)
    if pooling == "mean":
        total = total / valid.sum(axis=1).astype(x.dtype)
    return total, _Pooled(valid, None)


def _pool_backward(dy: Array, cache: _Pooled, pooling: str) -> Array:
    valid, largest = cache
    dx = np.zeros((*valid.shape[:2], dy.shape[-1]), dy.dtype)
    if largest is not None:
        np.put_along_axis(dx, largest, dy[:, None], axis=1)
        return dx
    if pooling == "mean":
        dy = dy / valid.sum(axis=1).astype(dy.dtype)
    dx += dy[:, None] * valid
    return dx

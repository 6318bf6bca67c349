"""Layer normalisation, root-mean-square normalisation, or a fixed affine map, by option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward
from headwise.nn.params import Params
from headwise.nn.rms_norm import RmsNormCache, rms_norm_backward, rms_norm_forward
from headwise.shapes import Array


@dataclass(frozen=True)
class Norm:
    """A normalisation."""

    epsilon: float = 1e-5  # added to the variance or mean square
    rms: bool = False  # root-mean-square instead of layer normalisation
    offset: float = 0.0  # added to the gain; Gemma stores g − 1
    affine: bool = False  # y = g x + b instead: batch normalisation with its running averages


class AffineCache(NamedTuple):
    """The input (..., D) and the gain (D,)."""

    x: Array
    gain: Array


class NormCache(NamedTuple):
    """The cache of the normalisation, and the shape of its input."""

    saved: LayerNormCache | RmsNormCache | AffineCache
    shape: tuple[int, ...]


def norm_forward(x: Array, params: Params, norm: Norm) -> tuple[Array, NormCache]:
    """Normalise x (..., D) with ``gain``, and ``bias`` unless it is by the root mean square."""
    saved: LayerNormCache | RmsNormCache | AffineCache
    y: Array
    if norm.affine:
        y, saved = x * params["gain"] + params["bias"], AffineCache(x, params["gain"])
    elif norm.rms:
        y, saved = rms_norm_forward(x, params, norm.epsilon, norm.offset)
    else:
        y, saved = layer_norm_forward(x, params, norm.epsilon)
    return y, NormCache(saved, x.shape)


def norm_backward(dy: Array, cache: NormCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to the parameters."""
    if isinstance(cache.saved, AffineCache):
        x, gain = cache.saved
        product: Array = dy * x
        axes = tuple(range(dy.ndim - 1))
        return dy * gain, {"gain": product.sum(axis=axes), "bias": dy.sum(axis=axes)}
    if isinstance(cache.saved, RmsNormCache):
        return rms_norm_backward(dy, cache.saved)
    return layer_norm_backward(dy, cache.saved)

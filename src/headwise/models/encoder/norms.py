"""Layer or root-mean-square normalisation, by option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward
from headwise.nn.params import Params
from headwise.nn.rms_norm import RmsNormCache, rms_norm_backward, rms_norm_forward
from headwise.shapes import Array

__all__ = ["Norm", "NormCache", "norm_backward", "norm_forward"]


@dataclass(frozen=True)
class Norm:
    """A normalisation.

    Attributes
    ----------
    epsilon : float
        Added to the variance or mean square.
    rms : bool
        Root-mean-square instead of layer normalisation.
    offset : float
        Added to the gain; Gemma stores g − 1.
    """

    epsilon: float = 1e-5
    rms: bool = False
    offset: float = 0.0


class NormCache(NamedTuple):
    """The cache of the normalisation, and the shape of its input."""

    saved: LayerNormCache | RmsNormCache
    shape: tuple[int, ...]


def norm_forward(x: Array, params: Params, norm: Norm) -> tuple[Array, NormCache]:
    """Normalise x (..., D) with ``gain``, and ``bias`` for layer normalisation."""
    saved: LayerNormCache | RmsNormCache
    if norm.rms:
        y, saved = rms_norm_forward(x, params, norm.epsilon, norm.offset)
    else:
        y, saved = layer_norm_forward(x, params, norm.epsilon)
    return y, NormCache(saved, x.shape)


def norm_backward(dy: Array, cache: NormCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to the parameters."""
    if isinstance(cache.saved, RmsNormCache):
        return rms_norm_backward(dy, cache.saved)
    return layer_norm_backward(dy, cache.saved)

"""Embedding of a log-mel spectrogram: two convolutions over time and fixed positions, as in Whisper.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", arXiv 2212.04356 (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from headwise.errors import ShapeError
from headwise.nn.activation_functions import ActivationCache, activation_backward, activation_forward
from headwise.nn.linear import LinearCache, linear_backward_parallel, linear_forward
from headwise.nn.params import Params, subtree, with_prefix
from headwise.shapes import Array

_TAPS, _STRIDES = 3, (1, 2)


@dataclass(frozen=True)
class AudioEmbedding:
    """How a spectrogram becomes tokens."""

    channels: int  # mel bins
    frames: int  # length of the spectrogram; the second convolution halves it


class AudioEmbeddingCache(NamedTuple):
    """Caches of the two convolutions and their activations, and how many positions the table has."""

    projections: tuple[LinearCache, ...]
    activations: tuple[ActivationCache, ...]
    lengths: tuple[int, ...]
    table: int


def audio_embedding_forward(
    input_features: Array, params: Params, options: AudioEmbedding
) -> tuple[Array, AudioEmbeddingCache]:
    """Embed spectrograms (B, C, T) as tokens (B, T / 2, D).

    Params are ``convolution_1`` (D, C · 3), ``convolution_2`` (D, D · 3), each with a bias, and ``position`` (T / 2,
    D).
    """
    expected = (options.channels, options.frames)
    if input_features.ndim != 3 or input_features.shape[1:] != expected:
        raise ShapeError(f"input_features: expected (B, C={expected[0]}, T={expected[1]}); got {input_features.shape}.")
    x = input_features.swapaxes(1, 2)  # (B, T, C)
    projections, activations, lengths = [], [], []
    for i, stride in enumerate(_STRIDES):
        lengths.append(x.shape[1])
        y, projection = linear_forward(_windows(x, stride), subtree(params, f"convolution_{i + 1}"))
        x, activation = activation_forward(y, "gelu")
        projections.append(projection)
        activations.append(activation)
    y = x + params["position"][: x.shape[1]]
    return y, AudioEmbeddingCache(tuple(projections), tuple(activations), tuple(lengths), len(params["position"]))


def audio_embedding_backward(dy: Array, cache: AudioEmbeddingCache) -> tuple[Array, Params]:
    """Gradients with respect to the spectrogram (B, C, T), and to the parameters."""
    dposition = np.zeros((cache.table, dy.shape[-1]), dy.dtype)
    dposition[: dy.shape[1]] = dy.sum(axis=0)
    grads: Params = {"position": dposition}
    dx = dy
    for i in reversed(range(len(_STRIDES))):
        dwindows, conv_grads = linear_backward_parallel(
            activation_backward(dx, cache.activations[i]), cache.projections[i]
        )
        grads |= with_prefix(f"convolution_{i + 1}", conv_grads)
        dx = _windows_backward(dwindows, cache.lengths[i], _STRIDES[i])
    return dx.swapaxes(1, 2), grads


def _windows(x: Array, stride: int) -> Array:
    """(B, T, C) -> (B, T′, C · 3): each frame with its neighbours, zeros beyond the ends."""
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, _TAPS, axis=1)[:, ::stride]
    return windows.reshape(*windows.shape[:2], -1)


def _windows_backward(dwindows: Array, length: int, stride: int) -> Array:
    b, steps, width = dwindows.shape
    taps = dwindows.reshape(b, steps, width // _TAPS, _TAPS)
    dpadded = np.zeros((b, length + 2, width // _TAPS), dwindows.dtype)
    for tap in range(_TAPS):
        dpadded[:, tap : tap + stride * steps : stride][:, :steps] += taps[..., tap]
    return dpadded[:, 1:-1]

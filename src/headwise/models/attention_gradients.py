"""Gradients of a vision transformer's logits with respect to its attention weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models.vit import ViTCache, ViTConfig, vit_forward
from headwise.nn.encoder import encoder_attention_gradients
from headwise.nn.losses import softmax
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray, bind

__all__ = ["AttentionWithGradients", "attention_and_gradients", "attention_gradients"]


class AttentionWithGradients(NamedTuple):
    """Probabilities, attention weights, and gradients of one class's logit with respect to the weights.

    Attributes
    ----------
    probabilities : ndarray of shape (B, n_classes)
    weights : ndarray of shape (B, L, H, 1 + N, 1 + N)
    gradients : ndarray of shape (B, L, H, 1 + N, 1 + N)
        Of the target's logit, before the softmax over classes, as if each weight could change by itself.
    target : ndarray of int of shape (B,)
        The class of each image.
    """

    probabilities: Array
    weights: Array
    gradients: Array
    target: IntArray


def attention_and_gradients(
    images: Array, params: Params, config: ViTConfig, target: IntArray | None = None
) -> AttentionWithGradients:
    """Probabilities, attention weights and their gradients, for a batch of images.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
    params : dict
    config : ViTConfig
    target : ndarray of int of shape (B,), optional
        The class whose logit is differentiated; by default the predicted class of each image.

    Returns
    -------
    AttentionWithGradients

    Raises
    ------
    ShapeError
        If the images have another size than the model's, or there is not one target per image.
    DataError
        If a target is not a class.
    """
    logits, cache = vit_forward(images, params, config, return_weights=True)
    target = logits.argmax(axis=1) if target is None else np.asarray(target)
    bind(f"{len(images)}", target=target)
    if target.size and not 0 <= target.min() <= target.max() < config.n_classes:
        raise DataError(
            f"target: expected classes from 0 to {config.n_classes - 1}; got {target.min()} … {target.max()}."
        )
    dlogits = np.zeros_like(logits)
    dlogits[np.arange(len(images)), target] = 1
    gradients = attention_gradients(dlogits, cache)
    return AttentionWithGradients(softmax(logits), cache.encoder.attention_weights, gradients, target)


def attention_gradients(dlogits: Array, cache: ViTCache) -> Array:
    """Gradients (B, L, H, 1 + N, 1 + N) with respect to every attention weight, for dlogits (B, n_classes).

    The forward pass must have been run with ``return_weights=True``.
    """
    return encoder_attention_gradients(dlogits, cache.encoder)

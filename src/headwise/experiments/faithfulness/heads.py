"""Which heads matter: by the gradient of the loss, and by what is read without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.metrics.gradients import head_importance
from headwise.models.attention_gradients import attention_gradients
from headwise.models.vit import ViTConfig, vit_forward
from headwise.nn.losses import softmax
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray
from headwise.train.digits import evaluate

__all__ = ["Heads", "study_heads", "without_head"]

_TOGETHER = 100  # digits whose attention weights are in memory at once


@dataclass(frozen=True)
class Heads:
    """What each head matters.

    Attributes
    ----------
    importance : ndarray of shape (L, H)
        The mean over digits of |∂ loss / ∂ gate|: `headwise.metrics.gradients.head_importance`.
    right : int
        Digits that the model reads correctly.
    loss : float
        Its mean cross-entropy in nats.
    right_without : ndarray of int of shape (L, H)
        Digits read correctly when the output of that head alone is zero.
    loss_without : ndarray of shape (L, H)
    """

    importance: Array
    right: int
    loss: float
    right_without: IntArray
    loss_without: Array

    @property
    def best(self) -> tuple[int, int]:
        """Layer and head that matter most by the gradient."""
        layer, head = np.unravel_index(self.importance.argmax(), self.importance.shape)
        return int(layer), int(head)


def study_heads(
    digits: LabelledImages, params: Params, model: ViTConfig, on_head: Callable[[], None] = lambda: None
) -> Heads:
    """Importance and ablation of every head, on the same digits; `on_head` is called after each ablation.

    Examples
    --------
    >>> from headwise.data.mnist import bundled_digits
    >>> from headwise.train.checkpoint import shipped_vit
    >>> few = LabelledImages(*(part[:11] for part in bundled_digits().test))
    >>> study_heads(few, shipped_vit().params, shipped_vit().model).importance.shape
    (4, 4)
    """
    shape = model.n_layers, model.n_heads
    importance = np.zeros(shape)
    for start in range(0, len(digits.labels), _TOGETHER):
        labels = digits.labels[start : start + _TOGETHER]
        logits, cache = vit_forward(digits.images[start : start + _TOGETHER], params, model, return_weights=True)
        dlogits = softmax(logits)
        dlogits[np.arange(len(labels)), labels] -= 1  # of each digit's own cross-entropy
        weights = cache.encoder.attention_weights
        importance += len(labels) * head_importance(weights, attention_gradients(dlogits, cache))
    whole = evaluate(digits, params, model)
    right, loss = np.zeros(shape, np.int64), np.zeros(shape)
    for at in np.ndindex(shape):
        judged = evaluate(digits, without_head(params, model, *at), model)
        right[at], loss[at] = judged.n_correct, judged.loss
        on_head()
    return Heads(importance / len(digits.labels), whole.n_correct, whole.loss, right, loss)


def without_head(params: Params, model: ViTConfig, layer: int, head: int) -> Params:
    """The weights of a model in which one head's output is zero: nobody reads its columns of the output projection."""
    name, width = f"blocks.{layer}.attention.output.weight", model.d_model // model.n_heads
    read = params[name].copy()
    read[:, head * width : (head + 1) * width] = 0
    return params | {name: read}

"""The importance of heads: by the gradient of the loss, and by the accuracy without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.experiments.store import Outcome
from headwise.metrics.gradients import head_importance
from headwise.models.attention_gradients import attention_gradients
from headwise.models.vit import ViTConfig, vit_forward
from headwise.nn.losses import softmax
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray
from headwise.train.digits import evaluate

__all__ = ["HeadImportance", "measure_heads", "without_head"]

_BATCH = 100  # digits whose attention weights are in memory at the same time


@dataclass(frozen=True)
class HeadImportance:
    """What each head contributes.

    Attributes
    ----------
    n_correct : int
        Digits that the model classifies correctly.
    loss : float
        Mean cross-entropy in nats.
    importance : ndarray of shape (L, H)
        Mean over digits of |∂ loss / ∂ gate|: `headwise.metrics.gradients.head_importance`.
    n_correct_without : ndarray of int of shape (L, H)
        Digits classified correctly when the output of this head alone is zero.
    loss_without : ndarray of shape (L, H)
    """

    n_correct: int
    loss: float
    importance: Array
    n_correct_without: IntArray
    loss_without: Array

    @property
    def best(self) -> tuple[int, int]:
        """Layer and index of the most important head by the gradient."""
        layer, head = np.unravel_index(self.importance.argmax(), self.importance.shape)
        return int(layer), int(head)


def measure_heads(digits: LabelledImages, params: Params, model: ViTConfig) -> Outcome:
    """Importance and ablation of every head on the same digits: the fields of `HeadImportance`.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> few = LabelledImages(*(part[:11] for part in load_bundled_mnist().test))
    >>> measure_heads(few, pretrained_vit().params, pretrained_vit().config).arrays["importance"].shape
    (4, 4)
    """
    shape = model.n_layers, model.n_heads
    importance = np.zeros(shape)
    for start in range(0, len(digits.labels), _BATCH):
        labels = digits.labels[start : start + _BATCH]
        logits, cache = vit_forward(digits.images[start : start + _BATCH], params, model, return_weights=True)
        dlogits = softmax(logits)
        dlogits[np.arange(len(labels)), labels] -= 1  # of each digit's own cross-entropy
        weights = cache.encoder.attention_weights
        importance += len(labels) * head_importance(weights, attention_gradients(dlogits, cache))
    intact = evaluate(digits, params, model)
    n_correct, loss = np.zeros(shape, np.int64), np.zeros(shape)
    for index in np.ndindex(shape):
        ablated = evaluate(digits, without_head(params, model, *index), model)
        n_correct[index], loss[index] = ablated.n_correct, ablated.loss
    return Outcome(
        {"n_correct": intact.n_correct, "loss": intact.loss},
        {"importance": importance / len(digits.labels), "n_correct_without": n_correct, "loss_without": loss},
    )


def without_head(params: Params, model: ViTConfig, layer: int, head: int) -> Params:
    """Parameters with which the output of one head is zero: its columns of the output projection are cleared."""
    name, width = f"blocks.{layer}.attention.output.weight", model.d_model // model.n_heads
    projection = params[name].copy()
    projection[:, head * width : (head + 1) * width] = 0
    return params | {name: projection}

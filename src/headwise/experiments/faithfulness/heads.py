"""The importance of heads: by the gradient of the loss, and by the accuracy without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headwise.attention.textbook import softmax
from headwise.attribution import ModelRun
from headwise.experiments.store import Outcome
from headwise.metrics.gradients import head_importance
from headwise.models.loaded_model import LoadedModel
from headwise.nn.losses import cross_entropy_forward
from headwise.shapes import Array, IntArray


@dataclass(frozen=True)
class HeadImportance:
    """What each head contributes."""

    n_correct: int  # inputs that the model classifies correctly
    loss: float  # mean cross-entropy in nats
    importance: Array  # (L, H): mean over inputs of |∂ loss / ∂ gate|: `headwise.metrics.gradients.head_importance`
    n_correct_without: IntArray  # (L, H): inputs classified correctly when the output of this head alone is zero
    loss_without: Array  # (L, H)

    @property
    def best(self) -> tuple[int, int]:
        """Layer and index of the most important head by the gradient."""
        layer, head = np.unravel_index(self.importance.argmax(), self.importance.shape)
        return int(layer), int(head)


def measure_heads(model: Any, inputs: Sequence[Any], labels: IntArray) -> Outcome:
    """Importance and ablation of every head on the same inputs with labels (B,): the fields of `HeadImportance`."""
    slopes = []
    for input, label in zip(inputs, labels, strict=True):
        run = ModelRun(model, input)
        dscores = softmax(run.forward.scores)
        dscores[0, label] -= 1  # of the input's own cross-entropy
        slopes.append(head_importance(run.weights[None], run.weights_gradients(dscores)[None]))
    importance = np.mean(slopes, axis=0)
    n_correct, loss = _evaluate(model, inputs, labels)
    n_correct_without, loss_without = np.zeros(importance.shape, np.int64), np.zeros(importance.shape)
    for layer, head in np.ndindex(importance.shape):
        without = without_head(model, layer, head, importance.shape[1])
        n_correct_without[layer, head], loss_without[layer, head] = _evaluate(without, inputs, labels)
    return Outcome(
        {"n_correct": n_correct, "loss": loss},
        {"importance": importance, "n_correct_without": n_correct_without, "loss_without": loss_without},
    )


def without_head(model: Any, layer: int, head: int, heads: int) -> Any:
    """The model with the output of one head zero: its columns of the output projection are cleared.

    Where layers share parameters, it is cleared in all of them.
    """
    group = model.architecture.network.trunk.group(layer) if isinstance(model, LoadedModel) else layer
    names = [f"{part}.{group}.attention.output.weight" for part in ("blocks", "layers")]
    name = next(name for name in names if name in model.params)
    projection = model.params[name].copy()
    width = projection.shape[1] // heads
    projection[:, head * width : (head + 1) * width] = 0
    return with_params(model, {name: projection})


def with_params(model: Any, changed: dict[str, Array]) -> Any:
    """The model with some of its parameters replaced."""
    return replace(model, params={**model.params, **changed})


def _evaluate(model: Any, inputs: Sequence[Any], labels: IntArray) -> tuple[int, float]:
    """How many inputs are classified correctly, and the mean cross-entropy."""
    scores = np.stack([model.predict(input) for input in inputs])
    return int((scores.argmax(axis=1) == labels).sum()), float(cross_entropy_forward(scores, labels)[0])

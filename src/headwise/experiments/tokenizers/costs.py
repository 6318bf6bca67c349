"""The costs of a tokenizer: parameters by part, multiply-adds, and the time of a training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headwise.data.mnist import Digits
from headwise.models.vit import ViTConfig, vit_params
from headwise.parallel.threads import limit_threads, num_threads, single_threaded_blas
from headwise.timing import time_interleaved
from headwise.train import Trainer, TrainingConfig, digits_task
from headwise.train.malloc import keep_heap

_PARTS = {"token": "embedding", "positions": "positions", "class_token": "class token"}


@dataclass(frozen=True)
class Cost:
    """The costs of one tokenizer."""

    # N, and P, the number of values in a token
    tokens: int
    inputs: int
    # by part: the embedding (D × P and its bias), the positions ((1 + N) × D), and what does not depend on the
    # tokenizer
    parameters: dict[str, int]
    multiply_adds: int  # in the matrix products of one image's forward pass

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())


def cost(model: ViTConfig) -> Cost:
    """Count the parameters and multiply-adds of a model."""
    parameters: dict[str, int] = {}
    for name, array in vit_params(model, np.random.default_rng(0)).items():
        first, second = name.split(".")[:2]
        part = _PARTS[second] if first == "embedding" else {"norm": "final norm"}.get(first, first)
        parameters[part] = parameters.get(part, 0) + array.size
    return Cost(model.image_tokenizer.num_tokens, model.image_tokenizer.token_dim, parameters, multiply_adds(model))


def multiply_adds(model: ViTConfig) -> int:
    """Multiply-adds of one image's forward pass.

    In the last block only the class token is computed, as in `headwise.models.vit.vit_forward`.

    Examples
    --------
    >>> multiply_adds(ViTConfig(tokenizer="14x14", d_model=2, n_layers=1, n_heads=1, d_ff=3, n_classes=5))
    1658
    """
    n, d = model.image_tokenizer.num_tokens, model.d_model
    embedding = n * d * model.image_tokenizer.token_dim

    def block(queries: int) -> int:
        keys_and_values, queries_and_output = 2 * (1 + n) * d * d, 2 * queries * d * d
        return keys_and_values + queries_and_output + 2 * queries * (1 + n) * d + 2 * queries * d * model.d_ff

    return embedding + (model.n_layers - 1) * block(1 + n) + (block(1) if model.n_layers else 0) + d * model.n_classes


def step_times(
    models: Sequence[ViTConfig], digits: Digits, recipe: TrainingConfig, *, seconds: float = 0.3
) -> list[float]:
    """Median seconds of one training step of each model, measured alternately for `seconds` seconds each, on all cores.

    Batches are of the recipe's size, without augmentation, which costs the same for every tokenizer.
    """
    unaugmented = replace(recipe, max_shift=0, max_rotation=0)

    def step_of(model: ViTConfig) -> Callable[[], object]:
        trainer = Trainer.create(digits_task(model, digits, unaugmented), unaugmented)
        indices = np.arange(min(recipe.batch_size, len(digits.train.labels)))
        return lambda: trainer.step(indices)

    with limit_threads(num_threads()), single_threaded_blas(), keep_heap():
        medians, _ = time_interleaved({model.tokenizer: step_of(model) for model in models}, seconds=seconds, rest=0)
    return [medians[model.tokenizer] for model in models]

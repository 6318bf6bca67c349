"""Run the faithfulness experiment: heads first, then every digit, then the randomized models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.errors import DataError
from headwise.experiments.faithfulness.heads import HeadImportance, measure_heads
from headwise.experiments.faithfulness.per_image import (
    RANDOM_ORDERS,
    RANKINGS,
    SHAPLEY_ORDERS,
    ImageResult,
    evaluate_image,
)
from headwise.experiments.faithfulness.randomization import randomization_test
from headwise.experiments.faithfulness.result import FaithfulnessResult
from headwise.experiments.protocol import Run, Runner
from headwise.experiments.store import Outcome
from headwise.hashing import fingerprint
from headwise.models.token_ablation import ABLATIONS
from headwise.parallel.threads import single_threaded_blas
from headwise.shapes import Array, bind
from headwise.train.checkpoint import Checkpoint
from headwise.validation import check_counts

__all__ = ["FaithfulnessPlan", "run"]

DRAWS, N_RANDOMIZED = 8, 30  # randomized models, and digits compared in each: the flow is slow


@dataclass(frozen=True)
class FaithfulnessPlan:
    """Which model is examined, on which digits.

    Attributes
    ----------
    checkpoint : Checkpoint
        The model.
    digits : LabelledImages
        `count` of them are chosen at random.
    data : str
        The digits' name.
    held_out : bool
        Whether it is known that the model was not trained on them.
    count, seed : int

    Raises
    ------
    DataError
        If there are fewer digits than `count`, or it is less than two; or the seed is negative.
    ShapeError
        If the digits are not of the model's image size.
    """

    checkpoint: Checkpoint
    digits: LabelledImages
    data: str
    held_out: bool
    count: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(0, seed=self.seed)
        available = len(self.digits.labels)
        if not 2 <= self.count <= available:
            raise DataError(f"digits: expected 2 to {available}, the number available; got {self.count}.")
        height, width = self.checkpoint.config.image_size
        bind(f"B {height} {width}", images=self.digits.images)


def run(plan: FaithfulnessPlan, runner: Runner) -> FaithfulnessResult:
    """Compare every map by the probability of the predicted class without the tokens it ranks highest."""
    model, params, metadata = plan.checkpoint
    # a smaller number of digits is a subset of a larger one
    indices = np.random.default_rng([plan.seed, 0]).permutation(len(plan.digits.labels))[: plan.count]
    digits = LabelledImages(plan.digits.images[indices], plan.digits.labels[indices])
    weights = fingerprint(*(params[name] for name in sorted(params)))
    base: dict[str, Any] = {"model": asdict(model), "weights": weights}
    config = {**base, "digits": fingerprint(*digits)}
    [outcome] = runner.run(
        "leaving heads out", [Run("heads", config, partial(_single_blas, measure_heads, digits, params, model))]
    )
    heads = HeadImportance(**outcome.values, **outcome.arrays)
    config = {**base, "head": heads.best, "seed": plan.seed}
    images = runner.run("leaving tokens out", [_image_run(plan, config, int(i), heads.best) for i in indices])
    few = digits.images[:N_RANDOMIZED]
    draws = runner.run("randomizing weights", [_draw_run(plan, config, few, i, heads.best) for i in range(DRAWS)])
    return FaithfulnessResult(
        model,
        _trained_on(metadata),
        plan.data,
        plan.held_out,
        plan.seed,
        tuple(indices.tolist()),
        tuple(ImageResult(**outcome.values, **outcome.arrays) for outcome in images),
        heads,
        np.stack([outcome.arrays["correlations"] for outcome in draws]),
    )


def _trained_on(metadata: Mapping[str, Any]) -> str:
    """The training data, as far as the checkpoint's metadata names it."""
    if "data" in metadata:
        return str(metadata["data"])
    return f"{metadata['trained_on']:,} digits" if "trained_on" in metadata else "not named in its metadata"


def _image_run(plan: FaithfulnessPlan, config: Mapping[str, Any], index: int, head: tuple[int, int]) -> Run:
    image = plan.digits.images[index]
    orders = [RANDOM_ORDERS, SHAPLEY_ORDERS]
    config = {
        **config,
        "image": fingerprint(image),
        "rankings": RANKINGS,
        "ablations": list(ABLATIONS),
        "orders": orders,
    }
    compute = partial(_image, image, plan.checkpoint, head, [plan.seed, 1, index])
    return Run(f"digit-{index:05}", config, partial(_single_blas, compute))


def _image(image: Array, checkpoint: Checkpoint, head: tuple[int, int], seed: list[int]) -> Outcome:
    return evaluate_image(image, checkpoint.params, checkpoint.config, head, np.random.default_rng(seed))


def _draw_run(
    plan: FaithfulnessPlan, config: Mapping[str, Any], images: Array, draw: int, head: tuple[int, int]
) -> Run:
    config = {**config, "images": fingerprint(images), "draw": draw, "rankings": RANKINGS}
    compute = partial(_draw, images, plan.checkpoint, head, [plan.seed, 2, draw])
    return Run(f"randomized-{draw}", config, partial(_single_blas, compute))


def _draw(images: Array, checkpoint: Checkpoint, head: tuple[int, int], seed: list[int]) -> Outcome:
    rng = np.random.default_rng(seed)
    return Outcome(None, {"correlations": randomization_test(images, checkpoint.params, checkpoint.config, head, rng)})


def _single_blas(compute: Callable[..., Outcome], *args: Any) -> Outcome:
    """Call with one BLAS thread for each worker, so that results do not depend on the number of threads."""
    with single_threaded_blas():
        return compute(*args)

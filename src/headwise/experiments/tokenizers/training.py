"""Train one model of the tokenizer experiment and evaluate it on the held-out digits, shifted ones included."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import DataError
from headwise.experiments.store import Outcome
from headwise.experiments.tokenizers.plan import Job, held_out_images
from headwise.hashing import fingerprint
from headwise.parallel.threads import num_threads
from headwise.shapes import Array, IntArray
from headwise.train.digits import evaluate, train_vit

SHIFTS = (1, 2, 3, 4)  # pixels
DIRECTIONS = {"right": (0, 1), "down": (1, 0)}


@dataclass(frozen=True)
class TrainedTokenizer:
    """The outcome of one training."""

    # held-out digits classified correctly, and all of them
    n_correct: int
    n_test: int
    # mean cross-entropy in nats on these, and in the last epoch of training
    loss: float
    train_loss: float
    parameters: int
    seconds: float  # wall-clock time, on the machine that trained it
    predictions: IntArray  # (n_test,): the predicted class of each held-out digit
    positions: Array  # (N, D): the learned position embeddings, without the class token's
    # (directions, shifts): digits classified correctly when all are shifted by each number of pixels
    n_correct_shifted: IntArray


def train_job(job: Job, load: Callable[[], Digits]) -> Outcome:
    """The fields of `TrainedTokenizer`; but for the time, the same bytes on every machine for any number of threads."""
    digits = load()
    if fingerprint(*digits.train, *digits.validation, *digits.test) != job.digest:
        raise DataError(f"digits: expected {job.data}, with which the experiment began; this machine has others.")
    began = time.perf_counter()
    indices = np.random.default_rng([job.recipe.seed, 4]).permutation(len(digits.train.labels))[: job.size]
    train = LabelledImages(digits.train.images[indices], digits.train.labels[indices])
    empty = LabelledImages(digits.train.images[:0], digits.train.labels[:0])
    result = train_vit(job.model, replace(digits, train=train, validation=empty), job.recipe, threads=num_threads())
    test = held_out_images(digits)
    evaluation = evaluate(test, result.params, job.model)

    def n_correct_shifted(down: int, right: int) -> int:
        shifted = LabelledImages(shift_images(test.images, down, right), test.labels)
        return evaluate(shifted, result.params, job.model).n_correct

    by_direction = [[n_correct_shifted(p * down, p * right) for p in SHIFTS] for down, right in DIRECTIONS.values()]
    values = {
        "n_correct": evaluation.n_correct,
        "n_test": len(test.labels),
        "loss": evaluation.loss,
        "train_loss": result.history[-1].train_loss,
        "parameters": sum(array.size for array in result.params.values()),
        "seconds": round(time.perf_counter() - began, 3),
    }
    arrays = {
        "predictions": evaluation.probabilities.argmax(axis=1).astype(np.uint8),
        "positions": result.params["embedding.positions"][1:],
        "n_correct_shifted": np.array(by_direction),
    }
    return Outcome(values, arrays)


def shift_images(images: Array, down: int, right: int) -> Array:
    """(B, Y, X) images shifted by whole pixels, with background where nothing was before.

    Examples
    --------
    >>> shift_images(np.arange(6.0).reshape(1, 2, 3), 0, 1)
    array([[[0., 0., 1.],
            [0., 3., 4.]]])
    """
    height, width = images.shape[1:]
    result = np.zeros_like(images)
    result[:, down:, right:] = images[:, : height - down, : width - right]
    return result

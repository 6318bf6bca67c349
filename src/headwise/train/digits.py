"""Training a vision transformer on digits that are shifted and rotated a little, and evaluating it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headwise.data.mnist import Digits, LabelledImages
from headwise.models.trainable import ImageModel, Inputs
from headwise.models.vit import ViTConfig
from headwise.nn import Params, cross_entropy_forward
from headwise.parallel.threads import parallel_map, split
from headwise.shapes import Array
from headwise.train.config import TrainingConfig
from headwise.train.loop import Epoch, TrainingResult, train
from headwise.train.supervised import Examples, Supervised, predict_batched

_AUGMENTED_TOGETHER = 32  # images that share a generator


class Evaluation(NamedTuple):
    """Mean cross-entropy in nats, number of correct predictions, and probabilities (B, C) of some images."""

    loss: float
    n_correct: int
    probabilities: Array

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return self.n_correct / len(self.probabilities)


def digits_task(config: ViTConfig, data: Digits, recipe: TrainingConfig) -> Supervised:
    """A vision transformer that learns to classify digits, with the augmentation of the recipe."""

    def augment(inputs: Inputs, step: int) -> Inputs:
        def augment_part(numbered: tuple[int, slice]) -> Array:
            rng = np.random.default_rng([recipe.seed, 3, step, numbered[0]])
            images = inputs[0][numbered[1]]
            return shift_and_rotate(images, shift=recipe.max_shift, rotate=recipe.max_rotation, rng=rng)

        parts = list(enumerate(split(len(inputs[0]), _AUGMENTED_TOGETHER)))
        return (np.concatenate(parallel_map(augment_part, parts)),)

    return Supervised(
        ImageModel(config),
        Examples((data.train.images,), data.train.labels),
        Examples((data.validation.images,), data.validation.labels) if len(data.validation.labels) else None,
        recipe.seed,
        augment if recipe.max_shift or recipe.max_rotation else None,
    )


def train_vit(
    config: ViTConfig,
    data: Digits,
    recipe: TrainingConfig,
    *,
    state: Path | None = None,
    threads: int = 2,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainingResult:
    """Train a vision transformer on digits; the keyword arguments are those of `headwise.train.loop.train`."""
    task = digits_task(config, data, recipe)
    return train(task, recipe, state=state, threads=threads, on_step=on_step, on_epoch=on_epoch)


def evaluate(data: LabelledImages, params: Params, config: ViTConfig) -> Evaluation:
    """Evaluate a vision transformer on labelled images."""
    logits = predict_batched(ImageModel(config), (data.images,), params)
    loss, cache = cross_entropy_forward(logits, data.labels)
    return Evaluation(loss, int((logits.argmax(axis=1) == data.labels).sum()), cache.probabilities)


def shift_and_rotate(images: Array, *, shift: float, rotate: float, rng: np.random.Generator) -> Array:
    """Rotate each image about its centre and shift it, by random amounts, with bilinear interpolation.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
        With background 0, which also fills what moves in from outside.
    shift : float
        Largest shift along each axis, in pixels.
    rotate : float
        Largest rotation, in degrees.
    rng : Generator

    Returns
    -------
    ndarray of shape (B, Y, X)
    """
    from scipy import ndimage

    centre = (np.array(images.shape[1:]) - 1) / 2
    shifts = rng.uniform(-shift, shift, (len(images), 2))
    angles = np.deg2rad(rng.uniform(-rotate, rotate, len(images)))
    result = np.empty_like(images)
    for image, by, angle, out in zip(images, shifts, angles, result, strict=True):
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        ndimage.affine_transform(image, turn, centre - turn @ (centre + by), order=1, output=out)
    return result

"""Rules that choose example images from a data set."""

from __future__ import annotations

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.errors import DataError
from headwise.shapes import Array, IntArray


def cycle_classes(data: LabelledImages, count: int) -> IntArray:
    """Indices of the first `count` images of `data`, cycling through the classes: 0, 1, 2 … 9, 0, 1 …

    Raises
    ------
    DataError
        If there are fewer images.

    Examples
    --------
    >>> import numpy as np
    >>> cycle_classes(LabelledImages(np.zeros((4, 28, 28)), np.array([7, 7, 3, 3])), 3)
    array([2, 0, 3])
    """
    if not 1 <= count <= len(data.labels):
        raise DataError(f"digits: expected 1 to {len(data.labels)}; got {count}.")
    counts: dict[int, int] = {}
    cycle = []  # how many images of its class come before each image
    for label in data.labels.tolist():
        cycle.append(counts.get(label, 0))
        counts[label] = cycle[-1] + 1
    order: IntArray = np.lexsort((data.labels, np.array(cycle)))
    return order[:count]


def pick_contrasting_examples(probabilities: Array, data: LabelledImages) -> dict[str, int]:
    """Choose the most confident correct prediction, the least confident correct one, and the most confident mistake.

    Parameters
    ----------
    probabilities : ndarray of shape (B, C)
        A model's predictions for `data`.
    data : LabelledImages

    Returns
    -------
    dict
        Index in `data` by reason; without a mistake if the model makes none.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == data.labels
    examples = {}
    if correct.any():
        examples["surest"] = int(np.where(correct, confidence, -1).argmax())
        examples["least sure, yet right"] = int(np.where(correct, confidence, 2).argmin())
    if not correct.all():
        examples["surest mistake"] = int(np.where(correct, -1, confidence).argmax())
    return examples

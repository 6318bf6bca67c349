"""A table of learned numbers, one for each distance, is added to the logits. Right; and without the scale.

Source: https://github.com/microsoft/Swin-Transformer
"""

import numpy as np

EXPECT = {
    "with_distances": {"conventions": ["position"]},
    "with_places": {"conventions": ["position"], "variant": True},
    "with_distances_unscaled": {"mistakes": ["scale-missing"], "conventions": ["position"], "variant": True},
}
TABLE = np.random.default_rng(0).normal(size=129)
PLACES = np.random.default_rng(1).normal(size=(64, 64))


def _attend(scores, v):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ v


def _distances(q, k):
    return TABLE[np.arange(k.shape[-2]) - np.arange(q.shape[-2])[:, None] + 64]


def with_distances(q, k, v):
    return _attend(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + _distances(q, k), v)


def with_places(q, k, v):
    return _attend(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + PLACES[: q.shape[-2], : k.shape[-2]], v)


def with_distances_unscaled(q, k, v):
    return _attend(q @ np.swapaxes(k, -1, -2) + _distances(q, k), v)

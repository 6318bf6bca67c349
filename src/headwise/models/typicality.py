"""How typical an image is of the digits that a shipped model was made for, by the features of its class token.

The distance is that of Mahalanobis from the mean of the nearest class, with one covariance matrix for all classes
(Lee et al., "A simple unified framework for detecting out-of-distribution samples", arXiv 1807.03888). A thousandth of
the mean variance is added to each.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np

from headwise.hashing import fingerprint
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray

_RIDGE = 1e-3


@dataclass(frozen=True)
class FeatureStatistics:
    """Means (C, D) and whitening matrix (D, D) of features, and sorted distances (Q,) of features that made neither."""

    means: Array
    whitening: Array
    distances: Array

    @classmethod
    def fit(cls, features: Array, labels: IntArray, held_out: Array) -> FeatureStatistics:
        """Fit to the features (B, D) of labelled items, and measure the distances of others (Q, D).

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> statistics = FeatureStatistics.fit(rng.normal(size=(500, 3)), np.zeros(500, int), rng.normal(size=(99, 3)))
        >>> statistics.share_as_far(np.zeros(3)), statistics.share_as_far(np.full(3, 9.0))
        (1.0, 0.0)
        """
        means = np.stack([features[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
        centred = (features - means[labels]).astype(np.float64)
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        whitening = vectors.T / np.sqrt(values + _RIDGE * values.mean())[:, None]
        unsorted = cls(means, whitening, np.zeros(0))
        return cls(means, whitening, np.sort([unsorted.distance(row) for row in held_out]))

    def distance(self, features: Array) -> float:
        """Distance of an item's features (D,) from the mean of the nearest class."""
        return float(np.linalg.norm((features - self.means) @ self.whitening.T, axis=1).min())

    def share_as_far(self, features: Array) -> float:
        """Share of the held-out items that are at least as far from the mean of their nearest class."""
        return float((self.distances >= self.distance(features)).mean())


def shipped_statistics(params: Params) -> FeatureStatistics | None:
    """The statistics of a shipped model on MNIST, by its parameters; None for any other model."""
    digest = params_digest(params)
    with as_file(files("headwise.models") / "weights" / "typicality.npz") as path, np.load(path) as arrays:
        if f"{digest}.means" not in arrays:
            return None
        return FeatureStatistics(*(arrays[f"{digest}.{name}"] for name in ("means", "whitening", "distances")))


def params_digest(params: Params) -> str:
    """Digest of a model's parameters."""
    return fingerprint(*(params[name] for name in sorted(params)))

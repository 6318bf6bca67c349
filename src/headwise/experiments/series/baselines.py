"""Baselines from aeon: one nearest neighbour under dynamic time warping (DTW), and ROCKET with a ridge classifier.

Source: Dau et al., "The UCR Time Series Archive", arXiv 1810.07758 (2019), for DTW;
Dempster, Petitjean & Webb, "ROCKET", arXiv 1910.13051 (2020).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headwise.data.series import LabelledSeries, SeriesData, standardize
from headwise.errors import require_extra
from headwise.shapes import Array, IntArray

ROCKET_KERNELS = 10_000  # the default of ROCKET


@dataclass(frozen=True)
class Baseline:
    """A method to compare with."""

    label: str
    random: bool  # whether the result depends on the seed
    classify: Callable[[SeriesData, int], IntArray]  # data and a seed in; predicted classes (B,) of the test series out


def _dtw(data: SeriesData, seed: int) -> IntArray:
    """The class of the nearest training series, with all variables warped together."""
    with _aeon():
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        model = KNeighborsTimeSeriesClassifier(distance="dtw", n_neighbors=1)
        model.fit(_unpadded(data.train), data.train.labels)
        return np.asarray(model.predict(_unpadded(data.test)))


def _rocket(data: SeriesData, seed: int) -> IntArray:
    """Random convolutions and a ridge classifier; shorter series are padded with zeros, the mean."""
    with _aeon():
        from aeon.classification.convolution_based import RocketClassifier

        scaled = standardize(data)
        model = RocketClassifier(n_kernels=ROCKET_KERNELS, random_state=seed)
        model.fit(_padded(scaled.train, data.steps), data.train.labels)
        return np.asarray(model.predict(_padded(scaled.test, data.steps)))


BASELINES = {
    "dtw": Baseline("1-NN, DTW", False, _dtw),
    "dtw-standardized": Baseline("1-NN, DTW, standardized", False, lambda data, seed: _dtw(standardize(data), seed)),
    "rocket": Baseline("ROCKET and ridge", True, _rocket),
}


def _unpadded(series: LabelledSeries) -> list[Array]:
    """Each series as (V, n) at its own length, as aeon expects them."""
    return [np.array(x[:n].T, np.float64) for x, n in zip(series.x, series.lengths, strict=True)]


def _padded(series: LabelledSeries, steps: int) -> Array:
    """(B, V, N), padded with zeros to the longest."""
    x = np.zeros((len(series.x), series.x.shape[2], steps))
    x[:, :, : series.x.shape[1]] = series.x.swapaxes(1, 2)
    return x


@contextmanager
def _aeon() -> Iterator[None]:
    """Hide the warnings of aeon's compiler; raise MissingExtraError without aeon."""
    with require_extra("the baselines for series", "aeon", "series"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

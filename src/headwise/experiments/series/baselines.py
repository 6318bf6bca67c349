"""What the series transformer is measured against: nearest neighbours under DTW, and ROCKET with ridge, from aeon.

Source: Dau et al., "The UCR Time Series Archive", arXiv 1810.07758 (2019), for one nearest neighbour under dynamic time
warping; Dempster, Petitjean & Webb, "ROCKET", arXiv 1910.13051 (2020).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headwise.data.series import LabelledSeries, SeriesData, standardize
from headwise.errors import MissingExtraError
from headwise.shapes import Array, IntArray

__all__ = ["BASELINES", "Baseline"]

_KERNELS = 10_000  # ROCKET's own default


@dataclass(frozen=True)
class Baseline:
    """A method of others.

    Attributes
    ----------
    name : str
        For a reader.
    random : bool
        Whether a seed changes what it gives.
    classify : callable
        The set and a seed in; the classes (B,) of the test series out.
    """

    name: str
    random: bool
    classify: Callable[[SeriesData, int], IntArray]


def _dtw(data: SeriesData, seed: int) -> IntArray:
    """The class of the nearest training series, all variables warped together."""
    with _aeon():
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        model = KNeighborsTimeSeriesClassifier(distance="dtw", n_neighbors=1)
        model.fit(_whole(data.train), data.train.labels)
        return np.asarray(model.predict(_whole(data.test)))


def _dtw_standardised(data: SeriesData, seed: int) -> IntArray:
    return _dtw(standardize(data), seed)


def _rocket(data: SeriesData, seed: int) -> IntArray:
    """Random convolutions, then a ridge classifier; shorter series end in zeros, which is the mean."""
    with _aeon():
        from aeon.classification.convolution_based import RocketClassifier

        scaled = standardize(data)
        model = RocketClassifier(n_kernels=_KERNELS, random_state=seed)
        model.fit(_padded(scaled.train, data.steps), data.train.labels)
        return np.asarray(model.predict(_padded(scaled.test, data.steps)))


BASELINES = {
    "dtw": Baseline("1-NN, DTW", False, _dtw),
    "dtw-standardised": Baseline("1-NN, DTW, standardised", False, _dtw_standardised),
    "rocket": Baseline("ROCKET and ridge", True, _rocket),
}


def _whole(series: LabelledSeries) -> list[Array]:
    """Each series (V, n) at its own length, as aeon has them."""
    return [np.array(x[:n].T, np.float64) for x, n in zip(series.x, series.lengths, strict=True)]


def _padded(series: LabelledSeries, steps: int) -> Array:
    """(B, V, N), all as long as the longest."""
    x = np.zeros((len(series.x), series.x.shape[2], steps))
    x[:, :, : series.x.shape[1]] = series.x.swapaxes(1, 2)
    return x


@contextmanager
def _aeon() -> Iterator[None]:
    """What its compiler says about its own code is not for our reader."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError:
        raise MissingExtraError("the baselines for series", "aeon", "series") from None

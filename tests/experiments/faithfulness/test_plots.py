"""The figures of the faithfulness experiment show the numbers they are drawn from."""

import numpy as np
import pytest

from headwise.attribution import MAPS
from headwise.experiments.faithfulness.plots import draw_curves, draw_gains, draw_randomization
from headwise.experiments.faithfulness.scope import MEASURES, Scope
from headwise.figures import save_figure

SCOPE = Scope(tuple(MAPS), "ink", ("removed", "black", "mean", "imputed"))
RANKINGS, CRITERIA, ABLATIONS = SCOPE.rankings, SCOPE.criteria, SCOPE.ablations


def bounds(rng, *shape):
    return np.sort(rng.normal(size=(3, *shape)), axis=0)[[1, 0, 2]]  # mean, low, high


def test_gains(rng):
    gains = bounds(rng, len(RANKINGS), len(CRITERIA))
    figure = draw_gains(SCOPE, gains)
    for j, (axes, measure) in enumerate(zip(figure.axes, MEASURES, strict=False)):
        assert axes.get_title() == measure
        markers = [line for line in axes.lines if len(line.get_xdata()) == len(RANKINGS)]
        assert len(markers) == len(ABLATIONS)
        for i, line in enumerate(markers):
            values = gains[:, :, i * len(MEASURES) + j]
            np.testing.assert_array_equal(line.get_xdata(), values[0])
            np.testing.assert_array_equal(np.rint(line.get_ydata()), range(len(RANKINGS)))
            ends = np.array([segment[:, 0] for segment in axes.collections[i].get_segments()])
            np.testing.assert_array_equal(ends, values[1:].T)
    np.testing.assert_array_equal(figure.axes[4].lines[0].get_xdata(), gains[0, :, -1])
    assert [text.get_text() for text in figure.axes[5].get_legend().get_texts()] == list(ABLATIONS)


def test_curves(rng):
    curves = rng.random((len(RANKINGS) + 1, 4, 2, 12))
    figure = draw_curves(SCOPE, curves)
    for row in (0, 1):
        for column in range(4):
            for line, values in zip(figure.axes[4 * row + column].lines, curves[:, column, row], strict=True):
                np.testing.assert_array_equal(line.get_ydata(), values)


@pytest.mark.exhaustive
def test_randomization_starts_with_the_trained_model(rng, tmp_path):
    correlations = bounds(rng, 5, len(MAPS))
    stages = ("trained", "a", "b", "c", "d", "e")
    [axes] = draw_randomization(stages, list(MAPS), correlations).axes
    for line, values in zip(axes.lines, correlations[0].T, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), [1, *values])
    one, two = (save_figure(draw_randomization(stages, list(MAPS), correlations), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]

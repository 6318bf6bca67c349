"""The audit's figures show the numbers that they were given."""

import numpy as np

from headwise.experiments.faithfulness.plots import draw_curves, draw_gains, draw_sanity
from headwise.figures import save_figure

KINDS = ("one", "two", "three", "ink", "uniform", "worth")
MISSING = ("removed", "black", "mean", "imputed")


def bounds(rng, *shape):
    return np.sort(rng.normal(size=(3, *shape)), axis=0)[[1, 0, 2]]  # mean, low, high


def test_gains(rng):
    gains = {measure: bounds(rng, len(KINDS), 4) for measure in ("deletion", "insertion", "comp", "suff")}
    ranks = bounds(rng, len(KINDS))
    figure = draw_gains(KINDS, MISSING, gains, ranks)
    for axes, found in zip(figure.axes, gains.values(), strict=False):
        marks = [line for line in axes.lines if len(line.get_xdata()) == len(KINDS)]
        for way, line in enumerate(marks):
            np.testing.assert_array_equal(line.get_xdata(), found[0, :, way])
            np.testing.assert_array_equal(np.rint(line.get_ydata()), range(len(KINDS)))
            spans = np.array([segment[:, 0] for segment in axes.collections[way].get_segments()])
            np.testing.assert_array_equal(spans, found[1:, :, way].T)
        assert len(marks) == len(MISSING)
    np.testing.assert_array_equal(figure.axes[4].lines[0].get_xdata(), ranks[0])
    assert [text.get_text() for text in figure.axes[5].get_legend().get_texts()] == list(MISSING)


def test_curves(rng):
    curves = rng.random((7, 4, 2, 12))
    figure = draw_curves((*KINDS, "random"), MISSING, curves)
    for row in (0, 1):
        for column in range(4):
            for line, values in zip(figure.axes[4 * row + column].lines, curves[:, column, row], strict=True):
                np.testing.assert_array_equal(line.get_ydata(), values)


def test_sanity_begins_with_the_model_itself(rng, tmp_path):
    found = bounds(rng, 5, 3)
    stages = ("trained", "a", "b", "c", "d", "e")
    [axes] = draw_sanity(KINDS[:3], stages, found).axes
    for line, values in zip(axes.lines, found[0].T, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), [1, *values])
    one, two = (save_figure(draw_sanity(KINDS[:3], stages, found), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]

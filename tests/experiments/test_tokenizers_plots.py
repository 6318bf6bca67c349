"""The figures of the comparison show the numbers that they were given."""

import numpy as np
import pytest

from headwise.experiments.tokenizers.plots import draw_accuracies, draw_shifts, draw_similarities, draw_sizes
from headwise.figures import save_figure

NAMES = ("7x7", "rows", "scrambled-7x7")


def points(axes):
    return {(round(float(x), 6), round(float(y), 6)) for line in axes.lines for x, y in line.get_xydata()}


def test_accuracies(rng):
    accuracy = rng.random((3, 5))
    means = [(0.5, 0.4, 0.6), (0.7, None, None), (0.3, 0.1, 0.5)]
    figure = draw_accuracies(NAMES, accuracy, means, {("rows", "7x7"): (0.2, -0.1, 0.5)})
    left, right = figure.axes
    shown = {x for x, _ in points(left)}
    assert {round(float(value), 6) for value in accuracy.flat} <= shown
    assert {0.4, 0.5, 0.6, 0.7, 0.1} <= shown
    assert {-0.1, 0.2, 0.5} <= {x for x, _ in points(right)}
    assert [label.get_text() for label in right.get_yticklabels()] == ["rows − 7x7"]


def test_no_interval_of_an_accuracy_is_beyond_what_can_be(rng):
    left, right = draw_accuracies(NAMES[:1], rng.random((1, 2)), [(0.9, 0.7, 1.1)], {("a", "b"): (0.1, -1, 1.2)}).axes
    assert max(x for x, _ in points(left)) == 1
    assert max(x for x, _ in points(right)) == 1.2


def test_shifts(rng):
    changes = {"right": rng.random((3, 4)), "down": rng.random((3, 4))}
    figure = draw_shifts(NAMES, changes, (1, 2, 3, 4), 2.0)
    for axes, change in zip(figure.axes, changes.values(), strict=True):
        for line, values in zip(axes.lines, change, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), range(5))
            np.testing.assert_array_equal(line.get_ydata(), [0, *values])
            assert not line.get_clip_on()  # the last mark is on the edge


def test_similarities_share_one_scale(rng, tmp_path):
    matrices = [rng.uniform(-1, 1, (n, n)) for n in (16, 28, 16)]
    figure = draw_similarities(NAMES, matrices)
    drawn = [axes.images[0] for axes in figure.axes if axes.images]
    for image, matrix in zip(drawn, matrices, strict=True):
        np.testing.assert_array_equal(image.get_array(), matrix)
        assert image.get_clim() == (-1, 1)
    first = [path.read_bytes() for path in save_figure(figure, tmp_path / "a")]
    again = [path.read_bytes() for path in save_figure(draw_similarities(NAMES, matrices), tmp_path / "b")]
    assert first == again


@pytest.mark.parametrize("tokenisations", [2, 11])
def test_sizes(tokenisations, rng):
    names = [str(i) for i in range(tokenisations)]
    accuracy = rng.random((tokenisations, 3, 5))
    [axes] = draw_sizes(names, (100, 1000, 4000), accuracy).axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in names}
    for name, found in zip(names, accuracy, strict=True):
        np.testing.assert_allclose(lines[name].get_ydata(), found.mean(axis=1))

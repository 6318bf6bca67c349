"""The figures of the tokenizer experiment show the numbers they are drawn from."""

import numpy as np
import pytest

from headwise.experiments.plots import draw_accuracies
from headwise.experiments.statistics import Interval, t_interval
from headwise.experiments.tokenizers.plots import draw_shifts, draw_similarities, draw_sizes
from headwise.figures import save_figure

NAMES = ("7x7", "rows", "scrambled-7x7")


def points(axes):
    return {(round(float(x), 6), round(float(y), 6)) for line in axes.lines for x, y in line.get_xydata()}


def test_accuracies(rng):
    accuracies = {"7x7": rng.random(5), "rows": rng.random(1)}
    left, right = draw_accuracies(accuracies, {"rows − 7x7": Interval(0.2, -0.1, 0.5)}).axes
    shown = {x for x, _ in points(left)}
    for values in accuracies.values():
        assert {round(float(value), 6) for value in (*values, *filter(None, t_interval(values).within(0, 1)))} <= shown
    assert {-0.1, 0.2, 0.5} <= {x for x, _ in points(right)}
    assert [label.get_text() for label in right.get_yticklabels()] == ["rows − 7x7"]


def test_no_interval_of_an_accuracy_exceeds_the_possible_range():
    left, right = draw_accuracies({"a": np.array([0.8, 1.0])}, {"a − b": Interval(0.1, -1, 1.2)}).axes
    assert max(x for x, _ in points(left)) == 1
    assert max(x for x, _ in points(right)) == 1.2


def test_shifts(rng):
    changes = rng.random((3, 2, 4))
    figure = draw_shifts(NAMES, changes, 2.0)
    for axes, change in zip(figure.axes, changes.swapaxes(0, 1), strict=True):
        for line, values in zip(axes.lines, change, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), range(5))
            np.testing.assert_array_equal(line.get_ydata(), [0, *values])
            assert not line.get_clip_on()  # the last mark is on the edge


@pytest.mark.exhaustive
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


@pytest.mark.parametrize("count", [2, 11])
def test_sizes(count, rng):
    names = [str(i) for i in range(count)]
    accuracy = rng.random((count, 3, 5))
    [axes] = draw_sizes(names, (100, 1000, 4000), accuracy).axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in names}
    for name, found in zip(names, accuracy, strict=True):
        np.testing.assert_allclose(lines[name].get_ydata(), found.mean(axis=1))

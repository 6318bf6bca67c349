"""The figures of accuracies and losses."""

import numpy as np
import pytest

from headwise.experiments.plots import draw_accuracies, draw_losses


def test_accuracies_and_losses():
    values = {"ours": np.array([0.7, 0.9, 0.8]), "theirs": np.array([0.6])}
    axes = draw_accuracies(values, highlight=["ours"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "theirs"]
    lines = [tuple(np.ravel(line.get_xdata())) for line in axes.lines]
    assert lines[0] == (0.7, 0.9, 0.8)
    assert lines[1] == pytest.approx((0.8 - 4.3027 * 0.1 / 3**0.5, 1), abs=1e-4)
    assert lines[2:] == [(pytest.approx(0.8),), (0.6,), (0.6,)]
    assert axes.lines[2].get_color() != axes.lines[4].get_color()
    panels = draw_losses({"plain": [[3.0, 2.0], [3.5, 1.0]], "pre-trained": [[1.0, 0.5]]}, [[9.0, 8.0, 7.0]]).axes
    assert [len(panel.lines) for panel in panels] == [1, 3]
    assert len(draw_losses({"plain": [[3.0, 2.0]]}, []).axes) == 1

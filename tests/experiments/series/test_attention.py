"""The attention figure of a series with its caption, and the figures of accuracies and losses."""

import re

import numpy as np
import pytest

from headwise.errors import ShapeError
from headwise.experiments.plots import draw_accuracies, draw_losses
from headwise.experiments.series import SeriesRecord, caption_series, draw_series
from headwise.text import as_text

L, H, N, V = 2, 3, 5, 7


def make_record(rng, label=1, variables=V):
    weights = rng.dirichlet(np.ones(N) / 3, size=(L, H, N))
    return SeriesRecord(rng.normal(size=(N, variables)), weights, np.array([0.3, 0.7]), ("slow", "fast"), label, 11)


def test_every_panel_shows_its_own_weights_on_one_scale(rng):
    one = make_record(rng)
    figure = draw_series(one)
    maps = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_array().shape == (N, N)]
    assert len(maps) == L * H
    for shown, weights in zip(maps, one.weights.reshape(-1, N, N), strict=True):
        np.testing.assert_array_equal(shown.get_array(), weights)
        assert shown.get_clim() == (0, one.weights.max())
    series = next(axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_array().shape == (V, N))
    np.testing.assert_array_equal(series.get_array(), one.x.T)


def test_the_caption_says_what_was_measured(rng):
    one = make_record(rng)
    text = caption_series(one).text(full=True)
    effective, distance, own = np.zeros((L, H)), np.zeros(L), np.zeros((L, H))
    received = np.zeros(N)
    for layer, head, n in np.ndindex(L, H, N):
        p = one.weights[layer, head, n]
        effective[layer, head] += 2 ** -sum(w * np.log2(w) for w in p if w > 0) / N
        distance[layer] += sum(w * abs(n - m) for m, w in enumerate(p)) / (H * N)
        own[layer, head] += p[n] / N
        received += p / (L * H * N)
    layer, head = np.argwhere(effective == effective.min())[0]
    assert (
        f"most concentrated head is layer {layer}, head {head}, whose queries attend to {effective.min():.1f}" in text
    )
    assert f"{distance[0]:.1f} steps in the first layer and {distance[1]:.1f} in the last" in text
    layer, head = np.argwhere(own == own.max())[0]
    assert f"largest self-attention is layer {layer}, head {head}: {own.max():.0%} on average" in text
    assert f"step {received.argmax()} receives the most, {received.max():.1%}" in text
    assert "The model predicts fast (probability 70.0%), which is correct." in text


def test_another_series_another_caption(rng):
    assert "which is wrong: it is slow" in caption_series(make_record(rng, label=0)).text(full=True)
    assert "of one variable, standardized" in caption_series(make_record(rng, variables=1)).text(full=True)
    even = SeriesRecord(np.zeros((N, V)), np.full((L, H, N, N), 1 / N), np.array([0.3, 0.7]), ("a", "b"), 1, 11)
    assert "Every head is nearly uniform" in caption_series(even).text(full=True)
    assert "with depth it stays about the same" in caption_series(even).text(full=True)
    alone = SeriesRecord(np.zeros((N, V)), np.tile(np.eye(N), (L, H, 1, 1)), np.array([0.3, 0.7]), ("a", "b"), 1, 11)
    assert "No head is nearly uniform" in caption_series(alone).text(full=True)
    assert caption_series(even).alt().startswith("Attention to the steps of a series of class b. Above:")


def test_weights_of_another_length_are_refused(rng):
    with pytest.raises(ShapeError, match="weights"):
        SeriesRecord(np.zeros((N + 1, V)), np.ones((L, H, N, N)), np.ones(2), ("a", "b"), 0, 11)


def test_accuracies_and_losses(rng):
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


def test_the_caption_has_no_number_of_its_own(rng):
    for statements in caption_series(make_record(rng)).parts.values():
        for statement in statements:
            assert not re.search(r"\d", re.sub(r"\{[^}]*\}|<[^>]*>", "", statement.template))
            assert as_text(statement)

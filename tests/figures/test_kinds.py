"""What the figures draw: the arrays of the record, on one scale, for tokens of any shape."""

from dataclasses import replace

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.figures import AttentionRecord, CaptionedFigure
from headwise.metrics.rollout import rollout
from helpers.factories import SCORE, H, L, make_record


def images(record, kind, token=0):
    """The image and the scale of every panel that has an image."""
    figure = CaptionedFigure(record, kind, token).draw()
    return [(axes.images[0].get_array(), axes.images[0].norm) for axes in figure.axes if axes.images]


@pytest.mark.parametrize("tokens", ["rows", "4x4", "14x7", "scrambled-7x7"])
def test_tokens_of_any_shape(rng, tokens):
    record = make_record(rng, tokens)
    panel = images(record, "maps")[1][0]
    for m, (y, x, h, w) in enumerate(record.boxes):
        np.testing.assert_array_equal(panel[y : y + h, x : x + w], record.maps[0, 0, m])


@pytest.mark.parametrize("class_token", [True, False])
def test_cells_of_a_matrix_are_at_the_numbers_of_their_tokens(class_token, rng):
    figure = CaptionedFigure(make_record(rng, class_token=class_token), "matrices").draw()
    first = 0 if class_token else 1
    (left, right, bottom, top), (axes, *_) = figure.axes[0].images[0].get_extent(), figure.axes
    assert (left, top) == (first - 0.5, first - 0.5)
    assert (right, bottom) == (16.5, 16.5)
    lines = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert lines == [0.5] * class_token


def test_the_figure_of_one_token_shows_its_row(rng):
    record = make_record(rng, "14x14")
    panels = images(record, "token", 3)
    for panel, (layer, head) in zip(panels[1 : 1 + L * H], np.ndindex(L, H), strict=True):
        assert panel[0][0, 20] == record.weights[layer, head, 3, 2]
    without = make_record(rng, "14x14", class_token=False)
    assert images(without, "token", 3)[1][0][20, 20] == without.weights[0, 0, 2, 3]
    for arrays, token in ((record, 5), (record, -1), (without, 0)):
        with pytest.raises(DataError, match="token: "):
            CaptionedFigure(arrays, "token", token)
    for use in (lambda figure: figure.draw(), lambda figure: figure.caption):
        with pytest.raises(DataError, match="token: "):
            use(CaptionedFigure(record, "token", 0))


def test_all_panels_share_one_scale(rng):
    record = make_record(rng)
    for kind, top in (("maps", record.maps.max()), ("matrices", record.weights.max())):
        norms = {(norm.vmin, norm.vmax) for _, norm in images(record, kind)[-L * H :]}
        assert norms == {(0.0, float(top))}


def test_the_scale_of_weights_that_are_all_zero_ends_at_one(rng):
    record = make_record(rng, weights=np.broadcast_to(np.eye(17), (1, 1, 17, 17)).astype(np.float32))
    assert CaptionedFigure(record).draw().axes[-1].get_ylim() == (0, 1)


def test_rollout(rng):
    record = make_record(rng, "14x14")
    for last, (panel, _) in enumerate(images(record, "rollout")[1:]):
        expected = rollout(record.weights[: last + 1].astype(float))[0, 1:]
        np.testing.assert_allclose(panel[[0, 0, 20, 20], [0, 20, 0, 20]], expected)


def test_profiles_by_depth(rng):
    record = make_record(rng, shape=(1, 1))
    dots = [axes.lines[1].get_ydata() for axes in CaptionedFigure(record, "depth").draw().axes]
    rows = record.weights[0, 0].astype(float)
    assert dots[1] == pytest.approx(-(rows * np.log2(rows)).sum(axis=1).mean())


def test_cosines_of_positions(rng):
    record = make_record(rng)
    a, b = record.positions[2].astype(float), record.positions[5].astype(float)
    panel = images(record, "positions")[0][0]
    assert panel[2, 5] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert np.ma.getmaskarray(np.ma.masked_invalid(panel)).diagonal().all()
    with pytest.raises(DataError, match="positions: "):
        CaptionedFigure(make_record(rng, positions=np.zeros((0, 0))), "positions").draw()


def test_curves(rng):
    record = make_record(rng, score=SCORE)
    for axes, curves in zip(CaptionedFigure(record, "deletion").draw().axes, record.curves, strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        for label, curve in zip(("by the map", "by ink", "random, mean"), curves, strict=False):
            np.testing.assert_array_equal(lines[label], curve)
    for untested in (make_record(rng), replace(record, ranking=record.ranking[::-1])):
        with pytest.raises(DataError, match="curves: "):
            CaptionedFigure(untested, "deletion").draw()


def test_images_without_ink_are_drawn_without_an_outline(rng):
    record = make_record(rng)
    assert CaptionedFigure(record).draw().axes[1].collections
    for image, colors in ((np.zeros_like(record.image), "gray_r"), (rng.random((28, 28)), "gray")):
        figure = CaptionedFigure(AttentionRecord(image, record.boxes, record.weights, record.probabilities)).draw()
        assert figure.axes[0].images[0].get_cmap().name == colors
        assert not figure.axes[1].collections

"""The layout of the figures: their size, their labels, and their resolution."""

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from headwise.figures import FIGURES, AttentionRecord, CaptionedFigure, View, save_figure, style
from helpers.factories import SCORE, make_dependence, make_record, make_text_record


@pytest.mark.sampled
@pytest.mark.parametrize("shape", [(1, 1), (6, 8)])
@pytest.mark.parametrize("kind", [kind for kind in FIGURES if kind != "lines"])
def test_figures_fit_a_paper(rng, kind, shape):
    record = make_record(rng, shape=shape, score=SCORE, dependence=make_dependence(rng, range(16)))
    figure = CaptionedFigure(record, kind, 3).draw()
    width, height = figure.get_size_inches()
    assert 2.5 <= width <= 7.2
    assert height <= 9
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    box = figure.get_tightbbox(renderer)
    assert box.x0 > -0.05
    assert box.x1 < width + 0.05
    assert box.y0 > -0.05
    assert box.y1 < height + 0.05


def test_a_figure_has_enough_pixels_for_a_page(rng, tmp_path):
    path = save_figure(CaptionedFigure(make_record(rng, shape=(4, 4))).draw(), tmp_path / "a")[0]
    with Image.open(path) as image:
        assert 1200 < image.width < 1800
        assert image.height < 1.5 * image.width


def labels(figure):
    """The texts of a figure that can be seen, where they are drawn."""
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in texts if text.get_window_extent().width]


def assert_apart(texts):
    """No two of the texts overlap."""
    left, low, right, high = np.array([text.get_window_extent().extents for text in texts]).T
    width = np.minimum(right, right[:, None]) - np.maximum(left, left[:, None])
    height = np.minimum(high, high[:, None]) - np.maximum(low, low[:, None])
    assert not np.triu((width > 0) & (height > 0), 1).any()


@pytest.mark.sampled
@pytest.mark.parametrize("shape", [(4, 4), (2, 8), (2, 12), (12, 16)])
@pytest.mark.parametrize("kind", ["maps", "matrices"])
def test_no_two_labels_overlap(rng, kind, shape):
    weights = rng.dirichlet(np.ones(5), (*shape, 5))
    with style():
        texts = labels(CaptionedFigure(make_record(rng, "14x14", weights=weights), kind).draw())
        assert len(texts) > min(sum(shape), 12)
        assert_apart(texts)


def test_the_input_is_next_to_many_layers_of_few_heads(rng):
    weights = rng.dirichlet(np.ones(5), (12, 6, 5))
    figure = CaptionedFigure(make_record(rng, "14x14", weights=weights), "maps", view=View(all_heads=True)).draw()
    image, tiles, _ = figure.axes
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    assert image.get_window_extent().x1 < tiles.get_tightbbox().x0  # with its labels
    assert tiles.get_window_extent().width > 0.4 * width
    assert tiles.get_window_extent().height > 0.8 * height
    assert_apart(labels(figure))


def test_few_queries_of_many_keys_are_legible(rng):
    boxes = np.stack([np.arange(150), np.arange(1, 151)], axis=1)
    weights = rng.dirichlet(np.ones(150), (3, 5, 9)).astype(np.float32)
    queries = tuple(map(str, range(1, 10)))
    values = rng.normal(size=(150, 2)).astype(np.float32)
    record = AttentionRecord(values, boxes, weights, np.zeros(0, np.float32), kind="series", query_words=queries)
    with style():
        figure = CaptionedFigure(record, "matrices").draw()
        assert_apart(labels(figure))
    height = [axes.get_window_extent().height / figure.dpi for axes in figure.axes if axes.get_images()]
    assert min(height[:15]) > 0.3  # inches


@pytest.mark.parametrize("shape", [(5, 7), *(pytest.param((n, n), marks=pytest.mark.exhaustive) for n in (12, 32))])
def test_letters_have_at_least_five_points(rng, shape):
    words = tuple(f"word{i}" for i in range(31))
    text = make_text_record(rng, words, {(0, 0): np.eye(31, k=-1)}, shape=shape)
    image = make_record(rng, "14x14", weights=rng.dirichlet(np.ones(5), (*shape, 5)))
    kinds = [(text, kind) for kind in ("maps", "matrices", "lines", "roles", "rollout", "depth")]
    for record, kind in [*kinds, *((image, kind) for kind in ("maps", "matrices", "roles", "rollout"))]:
        with style():
            sizes = [text.get_fontsize() for text in labels(CaptionedFigure(record, kind).draw())]
        assert min(sizes) >= 5, kind


@pytest.mark.parametrize("heads", [7, 21])
def test_the_legend_of_roles_has_letters_where_the_squares_have(rng, heads):
    words = tuple(f"word{i}" for i in range(31))
    record = make_text_record(rng, words, {(0, 0): np.eye(31, k=-1)}, shape=(1, heads))
    with style():
        texts = [text.get_text() for text in labels(CaptionedFigure(record, "roles").draw())]
    assert texts.count("Pr") == (2 if heads == 7 else 0)

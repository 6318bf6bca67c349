"""The layout of the figures: their size, their labels, and their resolution."""

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from headwise.figures import FIGURES, CaptionedFigure, save_figure, style
from helpers.factories import SCORE, make_dependence, make_record


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


@pytest.mark.parametrize("shape", [(4, 4), (2, 8), (2, 12), (12, 16)])
@pytest.mark.parametrize("kind", ["maps", "matrices"])
def test_no_two_labels_overlap(rng, kind, shape):
    weights = rng.dirichlet(np.ones(5), (*shape, 5))
    with style():
        figure = CaptionedFigure(make_record(rng, "14x14", weights=weights), kind).draw()
        boxes = [
            text.get_window_extent()
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip() and text.get_window_extent().width
        ]
    assert len(boxes) > min(sum(shape), 12)
    left, low, right, high = np.array([box.extents for box in boxes]).T
    width = np.minimum(right, right[:, None]) - np.maximum(left, left[:, None])
    height = np.minimum(high, high[:, None]) - np.maximum(low, low[:, None])
    assert not np.triu((width > 0) & (height > 0), 1).any()

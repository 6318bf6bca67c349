"""The figures: on one scale, of tokens of any shape, readable, and the same bytes from run to run."""

from dataclasses import replace

import numpy as np
import pytest
from headwise.figures.captions.maps import maps_facts
from headwise.figures.deletion import draw_deletion
from headwise.figures.depth import draw_depth
from headwise.figures.head_matrices import draw_heads
from headwise.figures.maps import draw_maps, draw_token
from headwise.figures.positions import draw_positions
from headwise.figures.rollout import draw_rollout
from matplotlib.text import Text
from PIL import Image

from headwise.errors import DataError, ShapeError
from headwise.figures import FIGURES, AttentionRecord, CaptionedFigure, save_figure, select_figures, style
from headwise.metrics.rollout import rollout
from headwise.text.formulae import FORMULAE
from headwise.text.statement import Statement, as_html, as_latex, as_markdown, as_text
from helpers.factories import TESTED, H, L, drawn


def images(figure):
    """(what is drawn, its scale) of every panel with an image."""
    return [(axes.images[0].get_array(), axes.images[0].norm) for axes in figure.axes if axes.images]


@pytest.mark.parametrize("tokens", ["rows", "4x4", "14x7", "scrambled-7x7"])
def test_tokens_of_any_shape(rng, tokens):
    given = drawn(rng, tokens)
    panel = images(draw_maps(given))[1][0]
    for m, (y, x, h, w) in enumerate(given.boxes):
        np.testing.assert_array_equal(panel[y : y + h, x : x + w], given.maps[0, 0, m])


def test_one_tokens_view_is_its_row(rng):
    given = drawn(rng, "14x14")
    shown = images(draw_token(given, 3))
    for panel, (layer, head) in zip(shown[1 : 1 + L * H], np.ndindex(L, H), strict=True):
        assert panel[0][0, 20] == given.weights[layer, head, 3, 2]
    without = drawn(rng, "14x14", classed=False)
    assert images(draw_token(without, 3))[1][0][20, 20] == without.weights[0, 0, 2, 3]
    for arrays, token in ((given, 5), (given, -1), (without, 0)):
        with pytest.raises(DataError, match="token: "):
            draw_token(arrays, token)


def test_all_panels_share_one_scale(rng):
    given = drawn(rng)
    for figure, top in ((draw_maps(given), given.maps.max()), (draw_heads(given), given.weights.max())):
        norms = {(norm.vmin, norm.vmax) for _, norm in images(figure)[-L * H :]}
        assert norms == {(0.0, float(top))}


def test_the_rollout_that_is_drawn(rng):
    given = drawn(rng, "14x14")
    shown = images(draw_rollout(given))[1:]
    for last, (panel, _) in enumerate(shown):
        expected = rollout(given.weights[: last + 1].astype(float))[0, 1:]
        np.testing.assert_allclose(panel[[0, 0, 20, 20], [0, 20, 0, 20]], expected)


def test_the_profiles_that_are_drawn(rng):
    given = drawn(rng, shape=(1, 1))
    dots = [axes.lines[1].get_ydata() for axes in draw_depth(given).axes]
    rows = given.weights[0, 0].astype(float)
    assert dots[1] == pytest.approx(-(rows * np.log2(rows)).sum(axis=1).mean())


def test_the_cosines_that_are_drawn(rng):
    given = drawn(rng)
    a, b = given.positions[2].astype(float), given.positions[5].astype(float)
    panel = images(draw_positions(given))[0][0]
    assert panel[2, 5] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert np.ma.getmaskarray(np.ma.masked_invalid(panel)).diagonal().all()
    with pytest.raises(DataError, match="none came with these arrays"):
        draw_positions(drawn(rng, positions=np.zeros((0, 0))))


def test_the_curves_that_are_drawn(rng):
    given = drawn(rng, tested=TESTED)
    for axes, curves in zip(draw_deletion(given).axes, given.curves, strict=True):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        for label, curve in zip(("by the map", "by ink", "random, mean"), curves, strict=False):
            np.testing.assert_array_equal(lines[label], curve)
    for untested in (drawn(rng), replace(given, ranking=given.ranking[::-1])):
        with pytest.raises(DataError, match=r"none came with these arrays\. That takes the model"):
            draw_deletion(untested)


def test_an_image_without_ink_has_no_outline(rng):
    given = drawn(rng)
    blank = AttentionRecord(np.zeros_like(given.image), given.boxes, given.weights, given.probabilities)
    assert not blank.ink.any()
    assert not drawn(rng).ink.all()
    photo = AttentionRecord(rng.random((28, 28)), given.boxes, given.weights, given.probabilities)
    assert not photo.ink.any()  # no background, so no drawing
    draw_maps(blank)
    assert draw_maps(photo).axes[0].images[0].get_cmap().name == "gray"


@pytest.mark.parametrize("shape", [(1, 1), (6, 8)])
@pytest.mark.parametrize("kind", FIGURES)
def test_figures_fit_a_paper(rng, kind, shape):
    figure = FIGURES[kind].draw(drawn(rng, shape=shape, tested=TESTED))
    width, height = figure.get_size_inches()
    assert 2.5 <= width <= 7.2
    assert height <= 9
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    box = figure.get_tightbbox(renderer)
    assert box.x0 > -0.05
    assert box.x1 < width + 0.05
    assert box.y0 > -0.05
    assert box.y1 < height + 0.05


def test_every_kind_is_the_same_bytes_from_run_to_run(rng, tmp_path):
    for captioned in select_figures(drawn(rng, "14x14", shape=(1, 2), tested=TESTED), "all", 2):
        one = captioned.save(tmp_path / "one" / captioned.name)
        two = CaptionedFigure(captioned.drawn, captioned.figure, captioned.token).save(
            tmp_path / "two" / captioned.name
        )
        ends = ["png", "svg", "pdf", "npz", "md", "tex", "txt", "alt.txt", "json"]
        assert [path.name for path in one] == [f"{captioned.name}.{end}" for end in ends]
        for a, b in zip(one, two, strict=True):
            assert a.read_bytes() == b.read_bytes(), a.name


def test_a_figure_is_readable_at_the_size_of_a_page(rng, tmp_path):
    path = save_figure(draw_maps(drawn(rng, shape=(4, 4))), tmp_path / "a")[0]
    with Image.open(path) as image:
        assert 1200 < image.width < 1800
        assert image.height < 1.5 * image.width


def test_what_was_asked_for(rng):
    given = drawn(rng)
    assert [c.name for c in select_figures(given)] == ["attention"]
    assert [c.name for c in select_figures(given, token=0)] == ["attention"]
    assert [c.figure for c in select_figures(given, "all", 0)] == ["maps", "matrices", "rollout", "depth", "positions"]
    assert [c.name for c in select_figures(given, token=4)] == ["attention-token-4"]
    assert [c.name for c in select_figures(given, "depth", 4)] == ["attention-token-4", "attention-depth"]
    assert [c.figure for c in select_figures(given, "all")] == ["maps", "matrices", "rollout", "depth", "positions"]
    assert [c.figure for c in select_figures(drawn(rng, positions=np.zeros((0, 0))), "all")][-1] == "depth"
    assert [c.figure for c in select_figures(given, "all", testable=True)] == list(FIGURES)
    for none in ("map", "token"):
        with pytest.raises(DataError, match=r"figure: expected one of maps, matrices, .*, or all; got"):
            select_figures(given, none)


@pytest.mark.parametrize("shape", [(4, 4), (2, 8), (2, 12), (12, 16)])
@pytest.mark.parametrize("make", [draw_maps, draw_heads])
def test_no_two_labels_touch(rng, make, shape):
    weights = rng.dirichlet(np.ones(5), (*shape, 5))
    with style():
        figure = make(drawn(rng, "14x14", weights=weights))
        boxes = [
            found.get_window_extent()
            for found in figure.findobj(Text)
            if found.get_visible() and found.get_text().strip() and found.get_window_extent().width
        ]
    assert len(boxes) > sum(shape)
    left, low, right, high = np.array([box.extents for box in boxes]).T
    across = np.minimum(right, right[:, None]) - np.maximum(left, left[:, None])
    along = np.minimum(high, high[:, None]) - np.maximum(low, low[:, None])
    together = np.triu((across > 0) & (along > 0), 1)
    assert not together.any()


def test_arrays_come_back(rng, tmp_path):
    given = drawn(rng, tested=TESTED, cut_off=0.125, rearranged=True)
    given.save(tmp_path / "a.npz")
    back = AttentionRecord.load(tmp_path / "a.npz")
    assert maps_facts(back) == maps_facts(given)
    assert back.tested == TESTED
    assert (back.cut_off, back.rearranged, back.label) == (0.125, True, 3)
    np.savez(tmp_path / "b.npz", image=given.image)
    with pytest.raises(DataError, match="missing boxes"):
        AttentionRecord.load(tmp_path / "b.npz")
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        AttentionRecord.load(tmp_path / "b.npz")


def test_arrays_that_do_not_fit_are_refused(rng):
    given = drawn(rng)
    with pytest.raises(ShapeError, match="weights: expected"):
        AttentionRecord(given.image, given.boxes[:-2], given.weights, given.probabilities)
    with pytest.raises(ShapeError, match="positions: expected"):
        AttentionRecord(given.image, given.boxes, given.weights, given.probabilities, positions=np.zeros((3, 5)))


def test_statements_are_spelled_four_ways():
    statement = Statement("{share:.0%} & more of <class row> × {name}", {"share": 0.5, "name": "a_b"})
    assert as_text(statement) == "50% & more of A(l,h)[0, m] × a_b"
    assert as_markdown(statement) == "50% & more of $A^{(l,h)}_{0,m}$ × a_b"
    assert as_latex(statement) == r"50\% \& more of $A^{(l,h)}_{0,m}$ $\times$ a\_b"
    page = as_html(statement)
    assert page.startswith("50% &amp; more of <math")
    assert "</math>" in page


@pytest.mark.parametrize("name", FORMULAE)
def test_every_formula_becomes_mathml(name):
    page = as_html(Statement(f"<{name}>"))
    assert page.startswith("<math")
    assert "\\" not in page  # nothing that the converter did not know
    assert FORMULAE[name].text

"""The picture, and its caption: every number recomputed from the saved arrays, and different models told apart."""

import json
import re
import string

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from headwise.errors import DataError, ShapeError
from headwise.picture.attention import Drawn, draw
from headwise.picture.caption import caption, measure
from headwise.picture.save import save_figure
from headwise.picture.text import FORMULAE, Statement, as_html, as_markdown, as_text
from headwise.studies.explaining import Explained
from headwise.tokens import tokeniser

L, H = 3, 2


def drawn(rng, tokens="7x7", weights=None, label=3, concentration=0.5):
    boxes = tokeniser(tokens, (28, 28)).boxes
    n = len(boxes) + 1
    image = np.zeros((28, 28), np.float32)
    image[6:22, 12:16] = 1
    if weights is None:
        weights = rng.dirichlet(np.full(n, concentration), (L, H, n)).astype(np.float32)
    return Drawn(image, boxes, weights, rng.dirichlet(np.full(10, 0.3)), label, 16)


def test_every_number_is_recomputed_from_the_saved_arrays(rng, tmp_path):
    given = drawn(rng)
    Explained(given, caption(given)).save(tmp_path / "a")
    arrays = np.load(tmp_path / "a.npz")
    said = json.loads((tmp_path / "a.json").read_text())
    facts = recomputed(**arrays)
    stated = {name: value for part in said.values() for s in part for name, value in s["values"].items()}
    assert len(stated) > 30
    for name, value in stated.items():
        assert value == pytest.approx(facts[name], rel=1e-5), name


def recomputed(image, boxes, weights, probabilities, label, head_width):
    """The facts once more, by loops and by SciPy."""
    layers, heads, n, _ = weights.shape
    maps, n = weights[:, :, 0, 1:].astype(float), n - 1
    on_itself = weights[:, :, 0, 0].astype(float)
    p = maps / maps.sum(-1, keepdims=True)
    effective = 2 ** scipy_entropy(p, base=2, axis=-1)
    ink = image > 0.5
    on_ink = np.zeros((layers, heads))
    for m, (y, x, h, w) in enumerate(boxes):
        on_ink += p[:, :, m] * ink[y : y + h, x : x + w].sum() / (h * w)
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    distance = np.zeros((layers, heads))
    for layer, head in np.ndindex(layers, heads):
        for a in range(n):
            row = weights[layer, head, 1 + a, 1:].astype(float)
            far = np.hypot(*(middle - middle[a]).T)
            distance[layer, head] += (row / row.sum() * far).sum() / n
    order = np.argsort(-probabilities)
    narrow = np.unravel_index(effective.argmin(), effective.shape)

    def place(name, values, at):
        return {name: values[at], f"{name}_layer": at[0], f"{name}_head": at[1]}

    def largest(values):
        return np.unravel_index(values.argmax(), values.shape)

    return {
        "height": 28, "width": 28, "box_height": boxes[0, 2], "box_width": boxes[0, 3],
        "tokens": n, "d": head_width, "all_heads": layers * heads, "scale_top": maps.max(), "uniform": 1 / (n + 1),
        "ink_level": 0.5, "even": 0.9, "on_ink": 1.25,
        "predicted": order[0], "probability": probabilities[order[0]],
        "second": order[1], "second_probability": probabilities[order[1]], "label": label,
        **place("self_most", on_itself, largest(on_itself)), **place("self_least", on_itself, largest(-on_itself)),
        "self_first": on_itself[0].mean(), "self_last": on_itself[-1].mean(),
        **place("narrow", effective, narrow), "narrow_token": p[narrow].argmax() + 1, "narrow_share": p[narrow].max(),
        **place("wide", effective, largest(effective)), "even_heads": (effective >= 0.9 * n).sum(),
        "effective_first": effective[0].mean(), "effective_last": effective[-1].mean(),
        "area": ink.mean(), "ink_heads": (on_ink >= 1.25 * ink.mean()).sum(),
        "background_heads": (on_ink <= ink.mean() / 1.25).sum(), **place("inkiest", on_ink, largest(on_ink)),
        "distance_first": distance[0].mean(), "distance_last": distance[-1].mean(),
        "dropped": weights[:, :, 1:, 0].mean(),
    }  # fmt: skip


def test_no_template_holds_a_number(rng):
    for given in (drawn(rng), drawn(rng, label=-1), drawn(rng, concentration=1e3)):
        made = caption(given)
        for statement in (made.title, *(s for part in made.parts.values() for s in part)):
            literal = "".join(text for text, *_ in string.Formatter().parse(statement.template))
            bare = re.sub(r"<[^<>]+>", "", literal)
            assert not re.search(r"\d", bare), bare
            for name in re.findall(r"<([^<>]+)>", literal):
                assert name in FORMULAE


def test_different_models_get_different_findings(rng):
    n = 17
    even = np.full((L, H, n, n), 1 / n)
    sharp = np.full((L, H, n, n), 1e-4)
    sharp[..., 6] = 1
    sharp /= sharp.sum(-1, keepdims=True)
    texts = {name: caption(drawn(rng, weights=w)).text() for name, w in (("even", even), ("sharp", sharp))}
    assert "Every head is nearly uniform" in texts["even"]
    assert "No head is nearly uniform" in texts["sharp"]
    widening = np.concatenate([sharp[:1], even[:2]])
    assert "attention widens" in caption(drawn(rng, weights=widening)).text()
    assert "attention narrows" in caption(drawn(rng, weights=widening[::-1])).text()
    assert "stays about the same" in texts["even"]


def test_right_wrong_and_unknown_are_told_apart(rng):
    given = drawn(rng)
    predicted = int(given.probabilities.argmax())
    for label, words in (
        (predicted, "which is right"),
        ((predicted + 1) % 10, "which is wrong: the label is"),
        (-1, ""),
    ):
        again = Drawn(given.image, given.boxes, given.weights, given.probabilities, label, 16)
        text = caption(again).text()
        assert words in text
        assert ("which is" in text.split("next comes")[0].split("reads a")[1]) == bool(words)


def test_an_image_without_ink_gets_no_sentence_about_ink(rng):
    given = drawn(rng)
    blank = Drawn(np.zeros_like(given.image), given.boxes, given.weights, given.probabilities, -1, 16)
    text = caption(blank).text()
    assert "Ink covers" not in text
    assert "outline" not in text
    draw(blank)


@pytest.mark.parametrize("tokens", ["rows", "columns", "4x4", "14x7"])
def test_tokens_of_any_shape(rng, tokens, tmp_path):
    given = drawn(rng, tokens)
    figure = draw(given)
    panel = figure.subfigs[1].axes[0].images[0].get_array()
    for m, (y, x, h, w) in enumerate(given.boxes):
        np.testing.assert_array_equal(panel[y : y + h, x : x + w], given.maps[0, 0, m])


def test_all_panels_share_one_scale(rng):
    given = drawn(rng)
    norms = {(axes.images[0].norm.vmin, axes.images[0].norm.vmax) for axes in draw(given).subfigs[1].axes[: L * H]}
    assert norms == {(0.0, float(given.maps.max()))}


def test_files_are_the_same_bytes_from_run_to_run(rng, tmp_path):
    given = drawn(rng)
    one = Explained(given, caption(given)).save(tmp_path / "one" / "a")
    two = Explained(given, caption(given)).save(tmp_path / "two" / "a")
    assert {path.suffix for path in one} == {".png", ".svg", ".pdf", ".npz", ".json", ".md"}
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.suffix


def test_arrays_come_back(rng, tmp_path):
    given = drawn(rng)
    given.save(tmp_path / "a.npz")
    back = Drawn.load(tmp_path / "a.npz")
    assert measure(back) == measure(given)
    np.savez(tmp_path / "b.npz", image=given.image)
    with pytest.raises(DataError, match="missing boxes"):
        Drawn.load(tmp_path / "b.npz")


def test_arrays_that_do_not_fit_are_refused(rng):
    given = drawn(rng)
    with pytest.raises(ShapeError, match="weights: expected"):
        Drawn(given.image, given.boxes[:-1], given.weights, given.probabilities, 0, 16)


def test_statements_are_spelled_three_ways():
    statement = Statement("{share:.0%} & more of <class row>", {"share": 0.5})
    assert as_text(statement) == "50% & more of A(l,h)[0, m]"
    assert as_markdown(statement) == "50% & more of $A^{(l,h)}_{0,m}$"
    page = as_html(statement)
    assert page.startswith("50% &amp; more of <math")
    assert page.endswith("</math>")


@pytest.mark.parametrize("name", FORMULAE)
def test_every_formula_becomes_mathml(name):
    page = as_html(Statement(f"<{name}>"))
    assert page.startswith("<math")
    assert "\\" not in page  # nothing that the converter did not know
    assert FORMULAE[name].text


def test_a_figure_is_readable_at_the_size_of_a_page(rng, tmp_path):
    from PIL import Image

    path = save_figure(draw(drawn(rng)), tmp_path / "a")[0]
    with Image.open(path) as image:
        assert 1200 < image.width < 1800
        assert image.height < 1.5 * image.width

"""Pictures of which some measure is not known: heads that give the image no weight, one head, one layer, one token."""

import re

import numpy as np
import pytest
from headwise.explain.explorer.content import MEASURES, digit_content
from headwise.figures.depth import profiles
from headwise.figures.maps import draw_maps

from headwise.figures import CaptionedFigure, select_figures
from headwise.figures.record import AttentionRecord
from helpers.factories import drawn

T = 17  # with the class token


def texts(given, token=1):
    """Every figure's caption with its alternative text, all of them drawn."""
    made = {}
    for captioned in [*select_figures(given, "all"), CaptionedFigure(given, "token", token)]:
        captioned.draw()
        made[captioned.figure] = f"{captioned.caption.text()} {captioned.caption.alt()}"
        assert not re.search(r"\bnan\b|\b1 (tokens|heads|layers|maps|pairs)\b", made[captioned.figure])
    return made


def on_class_token(weights, *heads):
    for layer, head in heads:
        weights[layer, head] = np.eye(T)[0]
    return weights


def test_heads_that_give_the_image_no_weight_are_named_and_left_out(rng):
    weights = drawn(rng).weights.astype(float)
    given = drawn(rng, weights=on_class_token(weights, (0, 1), (2, 0)))
    said = texts(given)
    kept = [AttentionRecord(given.image, given.boxes, weights[layer : layer + 1, head : head + 1], given.probabilities)
            for layer, head in ((0, 0), (1, 0), (1, 1), (2, 1))]  # fmt: skip
    alone = [CaptionedFigure(one).caption for one in kept]
    effective = [s.values["narrow"] for one in alone for s in one.findings if "narrow" in s.values]
    shown = {n: v for s in CaptionedFigure(given).caption.findings for n, v in s.values.items()}
    assert (shown["narrow"], shown["wide"]) == (min(effective), max(effective))
    assert (shown["effective_first"], shown["effective_last"]) == (effective[0], effective[3])
    assert shown["pairs"] == 6
    for figure in ("maps", "token"):
        assert "Of 6 heads, 2 are giving the image no weight, all of it being on the class token:" in said[figure]
    for figure in ("maps", "matrices", "depth"):
        assert re.search("2 are without a distance, .*: layer 0: head 1; layer 2: head 0", said[figure])
    found = profiles(given)
    assert np.isnan(found.distance).tolist() == [[False, True], [False, False], [True, False]]
    np.testing.assert_allclose(found.distance[0, 0], profiles(kept[0]).distance[0, 0])


def test_a_token_that_gives_the_image_no_weight_has_no_distance(rng):
    weights = drawn(rng).weights.astype(float)
    whole = profiles(drawn(rng, weights=weights)).distance
    weights[0, 0, 5] = np.eye(T)[0]
    far = np.linalg.norm(
        np.subtract.outer(c := np.arange(16) // 4 * 7 + 1j * (np.arange(16) % 4) * 7, c)[..., None], axis=-1
    )
    p = weights[0, 0, 1:, 1:] / np.maximum(weights[0, 0, 1:, 1:].sum(-1, keepdims=True), 1e-9)
    rows = (p * far).sum(-1)
    found = profiles(drawn(rng, weights=weights)).distance
    np.testing.assert_allclose(found[0, 0], np.delete(rows, 4).mean())
    np.testing.assert_array_equal(found[1:], whole[1:])


def test_a_class_token_that_looks_at_nothing_but_itself(rng):
    given = drawn(rng, weights=np.broadcast_to(np.eye(T), (1, 1, T, T)).astype(np.float32))
    said = texts(given)
    assert "The head is giving the image no weight" in said["maps"]
    assert "effective tokens of" not in said["maps"]
    assert "uniform" not in said["maps"]
    assert "from 0 to one: all weights drawn are zero" in said["maps"]
    assert "Through all layers nothing comes from the image" in said["rollout"]
    bar = draw_maps(given).axes[-1]
    assert bar.get_ylim() == (0, 1)
    nowhere = texts(drawn(rng, weights=on_class_token(np.zeros((2, 2, T, T)), *np.ndindex(2, 2))))
    for figure in ("maps", "depth", "matrices"):
        assert "Every head is without a distance" in nowhere[figure]
        assert " is local" not in nowhere[figure]


def test_the_explorer_leaves_them_out_too(rng):
    weights = on_class_token(drawn(rng, shape=(1, 2)).weights.astype(float), (0, 1))
    weights[0, 0, 3] = np.eye(T)[0]
    content = digit_content(drawn(rng, weights=weights))
    for key in ("entropy", "effective", "distance", "ink"):
        assert content["rows"][key][0][3] is None
        assert set(content["rows"][key][1]) == {None}
        known = [value for value in content["rows"][key][0] if value is not None]
        assert content["means"][key][0] == pytest.approx(np.mean(known), abs=1)
    assert MEASURES.keys() == content["rows"].keys()
    assert content["said"][1].startswith(
        "Layer 0, head 1: no token gives the image any weight. The class token receives"
    )


def test_one_layer_of_one_head_is_measured_in_words(rng):
    given = drawn(rng, shape=(1, 1))
    said, found = texts(given), profiles(given)
    assert (
        f"The distance is {found.distance[0, 0]:.1f} pixels, the entropy {found.entropy[0, 0]:.1f} bits"
        in said["depth"]
    )
    assert "the line is through them" in said["depth"]
    assert "two plots against 1 layer with a dot for the head. Mean distance is" in said["depth"]
    assert "up to" not in said["rollout"]
    assert "in the last" not in said["maps"]


def test_of_one_token_nothing_is_said_to_be_near(rng):
    given = AttentionRecord(np.zeros((7, 7)), np.array([[0, 0, 7, 7]]), np.ones((2, 2, 1, 1)), np.zeros(0))
    for text in texts(given).values():
        assert "is local" not in text
        assert "most even" not in text


def test_heads_that_are_all_alike_are_not_told_apart(rng):
    said = texts(drawn(rng, weights=np.full((2, 2, T, T), 1 / T)))
    assert "All are equally concentrated, with 16.0 effective tokens of 16." in said["maps"]
    assert "keeps 6% of its attention in every head" in said["maps"]
    assert "Distances are 14.1 pixels in every head, entropies are 4.1 bits in every head." in said["depth"]
    assert "the most even" not in said["maps"] + said["token"]

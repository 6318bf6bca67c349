"""Records of which some measure is undefined: heads that give the image no weight, one head, one layer, one token."""

import re
from dataclasses import replace

import numpy as np
import pytest

from headwise.explanation.explorer import Explorer, ExplorerInput
from headwise.figures import AttentionRecord, CaptionedFigure, select_figures
from helpers.captions import all_values, caption_lines
from helpers.factories import make_record
from helpers.snapshots import assert_snapshot

T = 17  # with the class token


def only_on_class_token(weights, *heads):
    for layer, head in heads:
        weights[layer, head] = np.eye(T)[0]
    return weights


def two_heads_without_weight(rng):
    weights = make_record(rng).weights.astype(float)
    return make_record(rng, weights=only_on_class_token(weights, (0, 1), (2, 0)))


RECORDS = {
    "two heads without weight on the image": two_heads_without_weight,
    "one head without weight on the image": lambda rng: make_record(
        rng, weights=np.broadcast_to(np.eye(T), (1, 1, T, T)).astype(np.float32)
    ),
    "no head with weight on the image": lambda rng: make_record(
        rng, weights=only_on_class_token(np.zeros((2, 2, T, T)), *np.ndindex(2, 2))
    ),
    "one layer of one head": lambda rng: make_record(rng, shape=(1, 1)),
    "one layer of two heads": lambda rng: make_record(rng, shape=(1, 2)),
    "one token": lambda rng: AttentionRecord(
        np.zeros((7, 7)), np.array([[0, 0, 7, 7]]), np.ones((2, 2, 1, 1)), np.zeros(0)
    ),
    "uniform heads": lambda rng: make_record(rng, weights=np.full((2, 2, T, T), 1 / T)),
}


FAST = {"no head with weight on the image", "one layer of one head", "one token"}


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.exhaustive) for n in RECORDS])
def test_captions(rng, name):
    record = RECORDS[name](rng)
    texts = []
    for figure in select_figures(record, "all", 1):
        figure.draw()
        texts.append(caption_lines(figure.caption))
        assert not re.search(r"\bnan\b|\b1 (tokens|heads|layers|maps|pairs|rows|columns)\b", texts[-1])
    assert_snapshot("\n".join(texts), f"captions/{name.replace(' ', '-')}.txt")


def test_heads_without_weight_on_the_image_are_excluded(rng):
    record = two_heads_without_weight(rng)
    alone = []
    for layer, head in ((0, 0), (1, 0), (1, 1), (2, 1)):
        weights = record.weights[layer : layer + 1, head : head + 1]
        alone.append(all_values(CaptionedFigure(replace(record, weights=weights)).caption))
    effective = [f["min_effective"] for f in alone]
    measured = all_values(CaptionedFigure(record).caption)
    assert (measured["min_effective"], measured["max_effective"]) == pytest.approx((min(effective), max(effective)))
    assert (measured["effective_first"], measured["effective_last"]) == pytest.approx((effective[0], effective[3]))
    assert measured["pairs"] == 6
    assert measured["no_weight_names"] == measured["no_distance_names"] == "layer 0: head 1; layer 2: head 0"
    assert measured["distance_first"] == pytest.approx(alone[0]["distance_first"])
    assert measured["distance_last"] == pytest.approx(alone[3]["distance_first"])


def test_a_token_without_weight_on_the_image_has_no_distance(rng):
    weights = make_record(rng, shape=(1, 1)).weights.astype(float)
    weights[0, 0, 5] = np.eye(T)[0]
    centers = np.array([(7 * (i // 4), 7 * (i % 4)) for i in range(16)])
    between = np.linalg.norm(centers[:, None] - centers, axis=-1)
    p = weights[0, 0, 1:, 1:] / np.maximum(weights[0, 0, 1:, 1:].sum(-1, keepdims=True), 1e-9)
    rows = (p * between).sum(-1)
    measured = all_values(CaptionedFigure(make_record(rng, weights=weights), "depth").caption)
    assert measured["max_distance"] == pytest.approx(np.delete(rows, 4).mean())


def test_the_explorer_excludes_them_too(rng):
    weights = only_on_class_token(make_record(rng, shape=(1, 2)).weights.astype(float), (0, 1))
    weights[0, 0, 3] = np.eye(T)[0]
    content = Explorer("", (ExplorerInput(make_record(rng, weights=weights), "digit"),)).content()["inputs"][0]
    missing = -1
    for key in ("entropy", "effective", "distance", "ink"):
        first, second = np.reshape(content["rows"][key], (-1, T))[:2]
        assert first[3] == missing
        assert (second == missing).all()
        assert content["means"][key][0] == pytest.approx(first[first != missing].mean(), abs=1)
        assert content["means"][key][1] == missing
    assert content["rows"].keys() == content["measures"].keys()

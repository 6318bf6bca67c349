"""A figure's test: tokens are left out for good, and every score is what a brute-force count of the same game says."""

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from headwise.explain.explanation import FaithfulnessTest, explain, record_attention
from headwise.explain.explorer_data import explore
from scipy.stats import spearmanr

from headwise.errors import DataError, ShapeError
from headwise.figures import select_figures
from headwise.models.token_ablation import TokenGame
from headwise.models.vit import ViTConfig, predict_with_attention, vit_params

N = 5
MODEL = ViTConfig(tokenizer="rows", image_size=(N, 7), d_model=6, n_layers=3, n_heads=2, d_ff=11, n_classes=3)


@pytest.fixture
def digit(rng):
    image = np.zeros((N, 7), np.float32)
    image[1, 2:5] = image[3, 1] = image[2, 3:5] = 1
    params = {
        name: array + rng.normal(size=array.shape).astype(np.float32) / 2
        for name, array in vit_params(MODEL, rng).items()
    }
    return image, params


def left_out(image, params, kept, target, model=MODEL):
    """The same by a smaller model: an image of the kept rows alone, with their positions."""
    rows = np.flatnonzero(kept)
    smaller = params | {"embedding.positions": params["embedding.positions"][[0, *(rows + 1)]]}
    found = predict_with_attention(image[None, rows], smaller, replace(model, image=(len(rows), image.shape[1])))
    return found.probabilities[0, target]


def test_the_score_is_a_brute_force_counts(digit):
    image, params = digit
    given = record_attention(image, params, MODEL)
    target = int(given.probabilities.argmax())
    empty = float(TokenGame(ViT(MODEL, params), image, target)(np.zeros((1, N), bool))[0])

    def worth(members):
        kept = np.isin(np.arange(N), list(members))
        return float(left_out(image, params, kept, target)) if kept.any() else empty

    def curve(order):
        return [worth(set(range(N)) - set(order[:k])) for k in range(N + 1)]

    def area(values):
        return sum((a + b) / 2 / N for a, b in pairwise(values))

    orders = list(permutations(range(N)))
    values = np.zeros(N)
    for order in orders:
        for k, token in enumerate(order):
            values[token] += (worth(order[: k + 1]) - worth(order[:k])) / len(orders)
    trial = FaithfulnessTest(image, params, MODEL)
    for captioned in select_figures(given, "all", testable=True):
        tested = trial.tested(captioned)
        if captioned.ranks is None:
            assert tested is captioned
            continue
        found, drawn = tested.drawn.tested, tested.drawn
        own = curve(list(np.argsort(-captioned.ranks)))
        np.testing.assert_allclose(drawn.curves[0, 0], own, rtol=1e-4)
        assert found.deletion == pytest.approx(area(own), rel=1e-4)
        assert found.shapley == pytest.approx(spearmanr(captioned.ranks, values).statistic, abs=1e-6)
        every = [area(curve(order)) for order in orders]
        assert found.random_deletion[0] == pytest.approx(np.mean(every), abs=0.02)
        assert found.fraction_of_random_beaten_deletion == pytest.approx(
            np.mean(np.array(every) > found.deletion + 1e-6), abs=0.05
        )
        assert found.random_deletion[0] == pytest.approx(area(drawn.curves[0, 2]), rel=1e-6)
        assert found.insertion == pytest.approx(area(drawn.curves[1, 0]), rel=1e-6)


def test_more_tokens_than_all_sets_can_be_played_for(rng, monkeypatch):
    model = replace(MODEL, image_size=(17, 7), n_layers=1)
    image = np.zeros((17, 7), np.float32)
    image[5:9, 3] = 1
    sets = []

    class Counted(TokenGame):
        def __call__(self, kept):
            sets.append(len(kept))
            return super().__call__(kept)

    monkeypatch.setattr("headwise.explain.explanation.TokenGame", Counted)
    explained = explain(image, vit_params(model, rng), model)
    assert sum(sets) <= 2 * 102 * 18  # each order played once, out and in
    assert explained.drawn.tested.shapley_error > 0
    assert "Shapley values (estimated, ±" in explained.caption.text()
    assert explained.drawn.curves.shape == (2, 5, 18)


def test_an_image_that_is_one_token_has_every_figure_but_the_positions(rng, tmp_path):
    model = replace(MODEL, tokenizer=f"{N}x7")
    image = np.zeros((N, 7), np.float32)
    image[1, 2:5] = 1
    params = vit_params(model, rng)
    given, trial = record_attention(image, params, model), FaithfulnessTest(image, params, model)
    figures = select_figures(given, "all", 1, testable=True)
    assert [each.figure for each in figures] == ["token", "maps", "matrices", "rollout", "depth", "deletion"]
    for each in figures:
        trial.tested(each).save(tmp_path / each.name)
    with pytest.raises(DataError, match="positions: expected two tokens or more, to compare; the image is one"):
        _ = select_figures(given, "positions")[0].caption
    assert explore(image[None], params, model).page().startswith("<!DOCTYPE html>")


def test_the_image_is_drawn_as_it_is_cut(rng, digit):
    image, params = digit
    model = replace(MODEL, tokenizer="reordered-rows")
    given = record_attention(image, params, model, label=1)
    np.testing.assert_array_equal(given.image, model.image_tokenizer.permute(image))
    assert given.rearranged
    assert not record_attention(image, params, MODEL).rearranged
    assert (given.label, given.head_width) == (1, 3)
    np.testing.assert_array_equal(given.positions, params["embedding.positions"][1:])
    with pytest.raises(ShapeError, match="image: expected"):
        record_attention(image.T, params, MODEL)

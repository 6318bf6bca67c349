"""A figure's test: tokens are left out for good, and every score is what a brute-force count of the same game says."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image

import headwise as hw
from headwise.attribution import attribute, model_fingerprint
from headwise.data.image_files import load_digit
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, ShapeError
from headwise.explanation import FaithfulnessTest, explain, explore, record_attention
from headwise.figures import AttentionRecord, select_figures
from headwise.models import TokenGame, ViT, ViTConfig, open_model
from headwise.models.vit import predict_with_attention, vit_params
from headwise.train.checkpoint import PRETRAINED, Checkpoint, pretrained_vit, save_vit
from helpers.checkpoints import write_folder, write_image_model

EXAMPLE = Path(__file__).parents[2] / "examples/digit.png"
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
    found = predict_with_attention(image[None, rows], smaller, replace(model, image_size=(len(rows), image.shape[1])))
    return found.probabilities[0, target]


def test_the_score_is_a_brute_force_counts(digit):
    image, params = digit
    record = record_attention(image, params, MODEL)
    target = int(record.probabilities.argmax())
    empty = float(TokenGame(ViT(MODEL, params), image, target)(np.zeros((1, N), bool))[0])

    @cache
    def worth(members):
        kept = np.isin(np.arange(N), list(members))
        return float(left_out(image, params, kept, target)) if kept.any() else empty

    def curve(order):
        return [worth(frozenset(range(N)) - set(order[:k])) for k in range(N + 1)]

    def area(values):
        return sum((a + b) / 2 / N for a, b in pairwise(values))

    orders = list(permutations(range(N)))
    values = np.zeros(N)
    for order in orders:
        for k, token in enumerate(order):
            values[token] += (worth(frozenset(order[: k + 1])) - worth(frozenset(order[:k]))) / len(orders)
    test = FaithfulnessTest(ViT(MODEL, params), image)
    for figure in select_figures(record, "all", testable=True):
        tested = test.apply(figure)
        if figure.ranking is None:
            assert tested is figure
            continue
        score, curves = tested.record.faithfulness, tested.record.curves
        own = curve(list(np.argsort(-figure.ranking)))
        np.testing.assert_allclose(curves[0, 0], own, rtol=1e-4)
        assert score.deletion == pytest.approx(area(own), rel=1e-4)
        assert score.shapley == pytest.approx(spearmanr(figure.ranking, values).statistic, abs=1e-6)
        every = [area(curve(order)) for order in orders]
        assert score.random_deletion[0] == pytest.approx(np.mean(every), abs=0.02)
        assert score.fraction_of_random_beaten_deletion == pytest.approx(
            np.mean(np.array(every) > score.deletion + 1e-6), abs=0.05
        )
        assert score.random_deletion[0] == pytest.approx(area(curves[0, 2]), rel=1e-6)
        assert score.insertion == pytest.approx(area(curves[1, 0]), rel=1e-6)


def test_more_tokens_than_all_sets_can_be_played_for(rng, monkeypatch):
    model = replace(MODEL, image_size=(17, 7), n_layers=1)
    image = np.zeros((17, 7), np.float32)
    image[5:9, 3] = 1
    sets = []

    class Counted(TokenGame):
        def __call__(self, kept):
            sets.append(len(kept))
            return super().__call__(kept)

    monkeypatch.setattr("headwise.explanation.faithfulness.TokenGame", Counted)
    explanation = explain(Checkpoint(model, vit_params(model, rng), {}), image, figure="maps")
    assert sum(sets) <= 2 * 102 * 18  # each order played once, out and in
    assert explanation.scores["maps"].shapley_error > 0
    assert "(estimated, ±" in explanation.text(full=True)
    assert explanation.record.curves.shape == (2, 5, 18)


def test_an_image_that_is_one_token_has_every_figure_but_the_positions(rng):
    model = replace(MODEL, tokenizer=f"{N}x7")
    image = np.zeros((N, 7), np.float32)
    image[1, 2:5] = 1
    params = vit_params(model, rng)
    record, test = record_attention(image, params, model), FaithfulnessTest(ViT(model, params), image)
    figures = select_figures(record, "all", 1, testable=True)
    assert [figure.kind for figure in figures] == ["token", "maps", "matrices", "roles", "rollout", "depth", "deletion"]
    for figure in figures:
        tested = test.apply(figure)
        assert tested.caption.text()
        assert tested.draw().axes
    with pytest.raises(DataError, match="positions: expected two tokens or more"):
        _ = select_figures(record, "positions")[0].caption
    assert explore(ViT(model, params), image).page().startswith("<!DOCTYPE html>")


def test_the_image_is_drawn_as_it_is_cut(rng, digit):
    image, params = digit
    model = replace(MODEL, tokenizer="reordered-rows")
    record = record_attention(image, params, model, label=1)
    np.testing.assert_array_equal(record.image, model.image_tokenizer.permute(image))
    assert record.pixels_permuted
    assert not record_attention(image, params, MODEL).pixels_permuted
    assert (record.label, record.head_width) == (1, 3)
    np.testing.assert_array_equal(record.positions, params["embedding.positions"][1:])
    with pytest.raises(ShapeError, match="image: expected"):
        record_attention(image.T, params, MODEL)


def test_explain_from_files(digit, tmp_path):
    path, saved = EXAMPLE, pretrained_vit("rows")
    save_vit(tmp_path / "model.safetensors", saved.config, saved.params, {})
    explanation = hw.explain(tmp_path / "model.safetensors", path, figure="all", token=3, label=4, test=False)
    kinds = ["token", "maps", "dependence", "matrices", "roles", "rollout", "depth", "positions"]
    assert [figure.kind for figure in explanation.figures] == kinds
    assert explanation.missing == {"deletion": explanation.untested}
    assert "as requested" in explanation.untested
    assert explanation.record.label == 4
    assert explanation.preparation
    assert explanation.scores == {}
    image = load_digit(path).image
    np.testing.assert_array_equal(explanation.record.weights, hw.explain(saved, image, test=False).record.weights)
    with pytest.raises(DataError, match="label: expected 0 to 9; got 10"):
        hw.explain(saved, image, label=10)


@pytest.mark.exhaustive
def test_only_figures_with_a_ranking_have_a_score(digit, tmp_path):
    image, params = digit
    explanation = explain(Checkpoint(MODEL, params, {}), image, figure="all")
    assert list(explanation.scores) == ["maps", "dependence", "rollout", "deletion"]
    kinds = ["maps", "dependence", "matrices", "roles", "rollout", "depth", "positions", "deletion"]
    assert list(explanation.captions) == kinds
    assert explanation.text(full=True).count("What is shown.") == len(explanation.figures)
    paths = explain(Checkpoint(MODEL, params, {}), image, figure=("maps", "rollout", "depth")).save(tmp_path)
    assert len(paths) == len(set(paths)) == len(list(tmp_path.iterdir())) == 3 * 8 + 2  # the arrays, and a test


def test_the_recommended_map_is_shown_next_to_attention(rng):
    saved, image = pretrained_vit(), load_digit(EXAMPLE).image
    explanation = hw.explain(saved, image, test=False)
    attribution = attribute(ViT(saved.config, saved.params), image)
    dependence = explanation.dependence
    np.testing.assert_array_equal(dependence.values, attribution.dependence)
    np.testing.assert_array_equal(dependence.attention, attribution.attention)
    np.testing.assert_array_equal(dependence.values_by_token, attribution.to_tokens(attribution.recommended.map)[1:])
    assert dependence.agreement == attribution.agreement
    assert (dependence.map, dependence.audited) == ("AttnLRP", attribution.recommended.inputs)
    assert "recommends this map (confidence 100%)" in explanation.captions["dependence"].text()
    assert explanation._repr_html_().count("<figure") == 2
    untrained = hw.explain(Checkpoint(saved.config, vit_params(saved.config, rng), {}), image, test=False)
    assert "there is no audit of the model" in untrained.captions["dependence"].text()
    assert len(explanation.captions["dependence"].text().split()) <= 120


def write_audit(folder, model, **changes):
    recommendation = {"map": "integrated gradients", "confidence": 0.83, "gain": [0.1, 0.05, 0.2], "p": 0.01,
                      "inputs": 37, "data": "my images", "model": model_fingerprint(model)}  # fmt: skip
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({"recommendation": recommendation | changes}))
    return folder


def test_an_audit_of_ones_own_recommends_the_map_that_is_shown(rng, tmp_path):
    saved, image = pretrained_vit(), load_digit(EXAMPLE).image
    own = Checkpoint(saved.config, vit_params(saved.config, rng), {})
    model = ViT(own.config, own.params)
    folder = write_audit(tmp_path / "audit", model)
    for path in (folder, str(folder / "result.json")):
        explanation = hw.explain(own, image, test=False, audit=path)
        assert explanation.dependence.map == "integrated gradients"
        assert "on 37 inputs recommends this map (confidence 83%)" in explanation.text()
    expected = attribute(model, image, maps=["integrated gradients"]).maps["integrated gradients"]
    np.testing.assert_array_equal(explanation.dependence.values, expected)
    assert hw.explain(own, image, test=False).dependence.map == "AttnLRP"
    with pytest.raises(DataError, match="model with other weights"):
        hw.explain(saved, image, audit=folder, figure="roles")
    with pytest.raises(DataError, match="no such file"):
        hw.explain(own, image, audit=tmp_path / "nowhere")
    with pytest.raises(DataError, match="no result of `headwise study faithfulness`"):
        hw.explain(own, image, audit=write_audit(tmp_path / "unknown", model, map="saliency"))


def test_a_map_that_takes_long_is_left_out_with_the_reason(monkeypatch):
    saved, image = pretrained_vit(), load_digit(EXAMPLE).image
    monkeypatch.setattr("headwise.explanation.core.QUICK", 0.0)
    explanation = hw.explain(saved, image, test=False)
    assert (list(explanation.captions), explanation.dependence) == (["maps"], None)
    assert "AttnLRP takes as long as about 6 predictions" in explanation.missing["dependence"]
    assert list(hw.explain(saved, image, figure="dependence", test=False).captions) == ["dependence"]
    assert hw.explain(saved, image, figure="rollout", test=False).missing == {}


def test_visible_tokens_are_those_of_each_layer(tmp_path):
    types = ["sliding_attention", "full_attention"]
    folder = write_folder(tmp_path, "llama", model_type="mistral", sliding_window=4, layer_types=types)
    record = explain(hw.load(folder), {"input_ids": np.arange(11)[None]}, test=False).record
    causal = np.tri(11, dtype=bool)
    np.testing.assert_array_equal(record.visible, [causal & ~np.tri(11, k=-4, dtype=bool), causal])
    np.testing.assert_array_equal(record.counts[:, -1], [4, 11])
    one = replace(record, visible=np.broadcast_to(causal, (2, 11, 11)))
    assert (record.roles.chance <= 1).all()
    first = record.roles.names.index("first")
    assert record.roles.chance[first, 0] > one.roles.chance[first, 0]
    assert record.roles.chance[first, 1] == one.roles.chance[first, 1]


def test_the_curves_of_a_slow_model_are_left_out_unless_they_are_named(tmp_path, monkeypatch):
    model, image = hw.load(write_folder(tmp_path / "vit", "vit")), np.ones((3, 10, 10), np.float32)
    monkeypatch.setattr("headwise.explanation.faithfulness.QUICK", -1.0)
    explanation = explain(model, image, figure="all")
    assert "deletion" not in explanation.captions
    assert "it would take about" in explanation.missing["deletion"]
    assert explanation.untested == explanation.missing["deletion"]
    assert list(explain(model, image, figure="deletion").scores) == ["deletion"]
    assert explain(model, image, figure="matrices").untested == ""
    with pytest.raises(DataError, match="deletion shows the result of the faithfulness test, which test=False"):
        explain(model, image, figure="deletion", test=False)


def test_the_last_token_of_a_causal_model_without_special_tokens_stays(tmp_path):
    model, ids = hw.load(write_folder(tmp_path / "llama", "llama")), {"input_ids": np.arange(5)[None]}
    explanation = explain(model, ids, figure="deletion")
    record, target = explanation.record, model.predict(ids).argmax()
    assert (record.faithfulness.tokens, record.curves.shape) == (4, (2, 5, 5))
    keep = np.array([[False] * 4 + [True], [True] * 5])
    logits = model.predict(ids, keep).astype(np.float64)
    expected = np.exp(logits[:, target]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose([record.faithfulness.empty, record.faithfulness.full], expected, rtol=1e-5)
    caption = explanation.captions["deletion"].text(full=True)
    assert "except the last one, from which the model predicts" in caption
    assert "% with the last one alone" in caption
    record.save(tmp_path / "arrays.npz")
    assert AttentionRecord.load(tmp_path / "arrays.npz").num_removed == 4


@pytest.mark.parametrize("photo", ["china.jpg", "flower.jpg"])
def test_a_photograph_looks_unlike_the_digits_of_the_model(photo, tmp_path):
    Image.fromarray(load_sample_image(photo)).save(tmp_path / "photo.png")
    explanation = explain(pretrained_vit(), tmp_path / "photo.png", test=False, figure="maps")
    assert explanation.record.typicality < 0.01
    assert "looks like none of the model's digits" in explanation.text()
    assert " of MNIST's test digits are as far" in explanation.text()
    farthest = replace(explanation.record, typicality=0.0)
    assert "No MNIST test digit is as far from the mean" in select_figures(farthest, "maps")[0].caption.text()
    explanation.record.save(tmp_path / "record.npz")
    assert AttentionRecord.load(tmp_path / "record.npz").typicality == explanation.record.typicality


@pytest.mark.parametrize("tokenizer", PRETRAINED)
def test_few_digits_look_unlike_digits(tokenizer):
    checkpoint = pretrained_vit(tokenizer)
    images = load_bundled_mnist().test.images[:100]
    records = [record_attention(image, checkpoint.params, checkpoint.config) for image in images]
    assert sum(record.is_atypical for record in records) <= 3


def test_typicality_is_unknown_of_other_models(digit):
    assert record_attention(*digit, MODEL).typicality == -1


class OneScore:
    """A model of which only the first score is seen, as of a detector."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict(self, input, keep=None):
        return self.model.predict(input, keep)[..., :1]


def test_one_score_is_no_prediction_of_a_class(digit):
    image, params = digit
    explanation = explain(OneScore(ViT(MODEL, params)), image, test=False)
    assert not len(explanation.record.probabilities)
    assert "dependence" in explanation.captions
    assert not [caption for caption in explanation.captions.values() if "predicts" in caption.text(full=True)]


def test_an_image_is_prepared_a_few_times_however_often_the_model_runs(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    model = open_model(write_image_model(tmp_path / "model"))
    opened, open_file, resized, resize = [], Image.open, [], Image.Image.resize
    monkeypatch.setattr(Image, "open", lambda *args, **options: opened.append(args) or open_file(*args, **options))
    monkeypatch.setattr(Image.Image, "resize", lambda *args, **options: resized.append(0) or resize(*args, **options))
    explanation = explain(model, tmp_path / "photo.png", test=True)
    assert (len(opened), len(resized) < 9) == (1, True)
    assert explanation.captions == explain(model, pixels, test=True).captions

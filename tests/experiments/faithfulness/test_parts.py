"""Maps, heads, the curves of one digit, and random weights, each against an independent computation."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from headwise.data.mnist import LabelledImages
from headwise.experiments.faithfulness.heads import HeadImportance, measure_heads, without_head
from headwise.experiments.faithfulness.maps import MAPS, maps
from headwise.experiments.faithfulness.per_image import RANKINGS, ImageResult, evaluate_image
from headwise.experiments.faithfulness.randomization import randomization_stages, randomization_test, randomize
from headwise.models.adapters import ViT
from headwise.models.attention_gradients import attention_and_gradients
from headwise.models.token_ablation import ABLATIONS, TokenGame
from headwise.models.vit import ViTConfig, predict_with_attention, vit_forward, vit_params
from headwise.nn.losses import cross_entropy_forward

N = 5
MODEL = ViTConfig(tokenizer="rows", image_size=(N, 7), d_model=6, n_layers=2, n_heads=3, d_ff=11, n_classes=4)


@pytest.fixture
def params(rng):
    return {name: array + rng.normal(size=array.shape) / 2 for name, array in vit_params(MODEL, rng).items()}


@pytest.fixture
def digit(rng):
    return np.where(rng.random((N, 7)) < 0.4, rng.random((N, 7)), 0)


def test_kinds_of_map(rng):
    depth, heads, tokens = 2, 3, 1 + N
    weights, gradients = rng.dirichlet(np.ones(tokens), (depth, heads, tokens)), rng.normal(size=(2, 3, 6, 6))
    result = dict(zip(MAPS, maps(weights, gradients, (0, 2)), strict=True))
    for n in range(N):
        to = 1 + n  # the class token is 0, and is not in a map
        assert result["last layer"][n] == pytest.approx(sum(weights[1, h, 0, to] for h in range(3)) / 3)
        assert result["all layers"][n] == pytest.approx(sum(weights[i, h, 0, to] for i in (0, 1) for h in range(3)) / 6)
        assert result["best head"][n] == weights[0, 2, 0, to]
        helping = [max(0, gradients[1, h, 0, to] * weights[1, h, 0, to]) for h in range(3)]
        assert result["gradient"][n] == pytest.approx(sum(helping) / 3)
    layers = [(np.eye(6) + weights[i].mean(axis=0)) / 2 for i in (0, 1)]
    np.testing.assert_allclose(result["rollout"], (layers[1] @ layers[0])[0, 1:])
    helping = [np.maximum(0, weights[i] * gradients[i]).mean(axis=0) for i in (0, 1)]
    relevance = (np.eye(6) + helping[1]) @ (np.eye(6) + helping[0])
    np.testing.assert_allclose(result["gradient rollout"], relevance[0, 1:])
    assert (result["flow"] <= np.minimum(1, layers[0].sum(axis=0)[1:]) + 1e-6).all()


def head_importance(digits, params):
    outcome = measure_heads(digits, params, MODEL)
    return HeadImportance(**outcome.values, **outcome.arrays)


def evaluate(*args):
    outcome = evaluate_image(*args)
    return ImageResult(**outcome.values, **outcome.arrays)


def loss(images, labels, params):
    logits, _ = vit_forward(images, params, MODEL)
    return cross_entropy_forward(logits, labels)[0]


def test_importance_is_the_slope_of_the_loss_at_a_gate(rng, params):
    images, labels = rng.random((7, N, 7)), rng.integers(0, 4, 7)
    result = head_importance(LabelledImages(images, labels), params)
    step, width = 1e-5, 2
    for layer, head in np.ndindex(2, 3):
        slopes = []
        for i in range(7):
            ends = []
            for gate in (1 + step, 1 - step):
                name = f"blocks.{layer}.attention.output.weight"
                read = params[name].copy()
                read[:, head * width : (head + 1) * width] *= gate
                ends.append(loss(images[i : i + 1], labels[i : i + 1], params | {name: read}))
            slopes.append(abs(ends[0] - ends[1]) / (2 * step))
        assert result.importance[layer, head] == pytest.approx(np.mean(slopes), rel=1e-5)
    assert result.importance[result.best] == result.importance.max()


def test_a_head_left_out_has_no_values(rng, params):
    images, labels = rng.random((7, N, 7)), rng.integers(0, 4, 7)
    result = head_importance(LabelledImages(images, labels), params)
    for layer, head in np.ndindex(2, 3):
        changed = {name: array.copy() for name, array in params.items()}
        for part in ("weight", "bias"):
            changed[f"blocks.{layer}.attention.qkv.{part}"][12 + 2 * head : 14 + 2 * head] = 0  # after Wq and Wk
        logits, _ = vit_forward(images, changed, MODEL)
        own, _ = vit_forward(images, without_head(params, MODEL, layer, head), MODEL)
        np.testing.assert_allclose(own, logits, atol=1e-12)
        assert result.n_correct_without[layer, head] == (logits.argmax(axis=1) == labels).sum()
        assert result.loss_without[layer, head] == pytest.approx(cross_entropy_forward(logits, labels)[0])
    assert result.loss == pytest.approx(loss(images, labels, params))


def test_one_digit_equals_a_count_of_everything(digit, params):
    """Every curve by showing the model whole pictures; chance by all 120 orders."""
    result = evaluate(digit, params, MODEL, (1, 2), np.random.default_rng(0))
    closer = attention_and_gradients(digit[None], params, MODEL)
    assert result.predicted == closer.target[0]
    every = maps(closer.weights[0], closer.gradients[0], (1, 2))

    def answer(kept, filling):
        shown = np.where(np.isin(np.arange(N), list(kept))[:, None], digit, filling)
        return predict_with_attention(shown[None], params, MODEL).probabilities[0, result.predicted]

    for missing, filling in (("black", 0.0), ("mean", MODEL.mean)):
        at = list(ABLATIONS).index(missing)
        for kind, values in zip(MAPS, every, strict=True):
            order = np.argsort(-values)
            if len(np.unique(values)) == N:
                taken = [answer(order[k:], filling) for k in range(N + 1)]
                put = [answer(order[:k], filling) for k in range(N + 1)]
                np.testing.assert_allclose(result.curves[RANKINGS.index(kind), at], [taken, put], atol=1e-9)
        all_orders = [[answer(order[k:], filling) for k in range(N + 1)] for order in permutations(range(N))]
        np.testing.assert_allclose(result.curves[-1, at, 0], np.mean(all_orders, axis=0), atol=0.08)
    assert result.shapley_correlation[RANKINGS.index("Shapley values")] == pytest.approx(1)
    assert result.shapley_correlation[RANKINGS.index("uniform")] == 0
    assert result.n_tied_first[RANKINGS.index("uniform")] == N
    assert result.n_tied_first[RANKINGS.index("last layer")] == 1
    assert result.shapley_error == 0


def test_the_rank_correlations_are_with_the_shapley_values(digit, params):
    result = evaluate(digit, params, MODEL, (1, 2), np.random.default_rng(0))
    game = TokenGame(ViT(MODEL, params), digit, result.predicted)
    values = np.zeros(N)
    for order in permutations(range(N)):
        kept = np.zeros((N + 1, N), bool)
        for k, token in enumerate(order):
            kept[k + 1 :, token] = True
        values[list(order)] += np.diff(game(kept)) / 120
    closer = attention_and_gradients(digit[None], params, MODEL)
    for kind, each in zip(MAPS, maps(closer.weights[0], closer.gradients[0], (1, 2)), strict=True):
        assert result.shapley_correlation[RANKINGS.index(kind)] == pytest.approx(spearmanr(each, values).statistic)
    ink = (digit > 0.5).mean(axis=1)
    assert result.shapley_correlation[RANKINGS.index("ink")] == pytest.approx(spearmanr(ink, values).statistic)


def test_too_many_tokens_to_play_every_set(rng):
    model = ViTConfig(tokenizer="rows", image_size=(17, 3), d_model=4, n_layers=1, n_heads=2, d_ff=5, n_classes=3)
    image = rng.random((17, 3)).astype(np.float32)
    result = evaluate(image, vit_params(model, rng), model, (0, 1), np.random.default_rng(0))
    assert result.shapley_error > 0
    assert result.curves.shape == (len(RANKINGS) + 1, len(ABLATIONS), 2, 18)


def test_weights_are_randomized_from_the_top(rng, params):
    fresh = {name: array + 100 for name, array in params.items()}
    assert list(randomization_stages(MODEL)) == ["head", "layer 1", "layer 0", "embedding"]
    kept = []
    for changed in randomize(params, fresh, MODEL):
        assert changed.keys() == params.keys()
        assert all((changed[name] is params[name]) or (changed[name] is fresh[name]) for name in params)
        kept.append({name.rsplit(".", 1)[0].split(".a")[0] for name in params if changed[name] is params[name]})
    assert not any(name.startswith(("head", "norm")) for name in kept[0])
    assert any(name.startswith("blocks.1") for name in kept[0])
    assert {name.split(".")[1] for name in kept[1] if name.startswith("blocks")} == {"0"}
    assert all(name.startswith("embedding") for name in kept[2])
    assert kept[3] == set()


def test_randomization_compares_maps_of_the_same_class(rng, params):
    images = rng.random((3, N, 7))
    result = randomization_test(images, params, MODEL, (0, 1), np.random.default_rng(7))
    assert result.shape == (4, len(MAPS), 3)
    blind = [kind not in ("gradient", "gradient rollout") for kind in MAPS]
    np.testing.assert_allclose(result[0, blind], 1)  # weights below the classifier are as they were
    whole = attention_and_gradients(images, params, MODEL)
    changed = randomize(params, vit_params(MODEL, np.random.default_rng(7)), MODEL)[1]
    after = attention_and_gradients(images, changed, MODEL, whole.target)
    for i in range(3):
        one, other = (maps(each.weights[i], each.gradients[i], (0, 1)) for each in (whole, after))
        for kind, (a, b) in enumerate(zip(one, other, strict=True)):
            if np.ptp(a) and np.ptp(b):
                assert result[1, kind, i] == pytest.approx(spearmanr(a, b).statistic)

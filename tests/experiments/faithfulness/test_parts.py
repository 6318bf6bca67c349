"""The parts of the faithfulness experiment against loops, and against models shown whole inputs."""

from itertools import permutations

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from headwise.attribution import ModelRun, compute_map
from headwise.errors import DataError
from headwise.experiments.faithfulness.heads import HeadImportance, measure_heads, without_head
from headwise.experiments.faithfulness.per_input import InputResult, evaluate_input
from headwise.experiments.faithfulness.run import randomization_stages, randomization_test, shuffle_parameters
from headwise.experiments.faithfulness.scope import Scope, baseline_map, scope_of
from headwise.models import SeriesTransformer, SeriesTransformerConfig, Tokens, ViT, ViTConfig
from headwise.models.series import series_params
from headwise.models.vit import vit_params
from headwise.nn.losses import cross_entropy_forward

N = 5
CONFIG = ViTConfig(tokenizer="rows", image_size=(N, 7), d_model=6, n_layers=2, n_heads=3, d_ff=11, n_classes=4)
NAMES = ("last layer", "rollout", "Chefer", "AttnLRP", "leave-one-out", "Shapley values")


@pytest.fixture
def model(rng):
    params = {name: a + 0.3 * rng.normal(size=a.shape) for name, a in vit_params(CONFIG, rng).items()}
    return ViT(CONFIG, params)


@pytest.fixture
def digit(rng):
    return rng.random((N, 7))


def evaluate(model, input, scope, label=0):
    outcome = evaluate_input(ModelRun(model, input), label, scope, np.random.default_rng(0))
    return InputResult(**outcome.values, **outcome.arrays)


def test_one_input_equals_a_count_of_everything(digit, model):
    """Every curve by showing the model whole pictures; chance by all 120 orders."""
    scope = scope_of(model, digit, NAMES)
    result = evaluate(model, digit, scope)
    run = ModelRun(model, digit)
    assert (result.predicted, result.players) == (run.explained, N)

    def probability(kept, filling):
        shown = np.where(np.isin(np.arange(N), list(kept))[:, None], digit, filling)
        scores = np.exp(model.predict(shown))
        return (scores / scores.sum())[result.predicted]

    for missing, filling in (("black", 0.0), ("mean", CONFIG.mean)):
        at = scope.ablations.index(missing)
        for i, name in enumerate(NAMES):
            order = np.argsort(-compute_map(run, name))
            taken = [probability(order[k:], filling) for k in range(N + 1)]
            put = [probability(order[:k], filling) for k in range(N + 1)]
            np.testing.assert_allclose(result.curves[i, at], [taken, put], atol=1e-9)
        all_orders = [[probability(order[k:], filling) for k in range(N + 1)] for order in permutations(range(N))]
        np.testing.assert_allclose(result.curves[-1, at, 0], np.mean(all_orders, axis=0), atol=0.08)
    assert result.n_tied_first[scope.rankings.index("uniform")] == N
    assert result.n_tied_first[0] == 1


def test_scores_are_areas_and_shares_of_the_curves(digit, model):
    scope = scope_of(model, digit, NAMES)
    result = evaluate(model, digit, scope)
    shares = [int(np.ceil(share * N)) for share in (0.05, 0.1, 0.2, 0.5)]
    for ranking, way in ((0, 0), (4, 3), (6, 1)):
        out, in_ = result.curves[ranking, way]
        expected = {
            "deletion": sum((out[k] + out[k + 1]) / 2 for k in range(N)) / N,
            "insertion": sum((in_[k] + in_[k + 1]) / 2 for k in range(N)) / N,
            "comprehensiveness": np.mean([out[0] - out[k] for k in shares]),
            "sufficiency": np.mean([in_[N] - in_[k] for k in shares]),
        }
        for j, criterion in enumerate(scope.criteria):
            if criterion.ablation == scope.ablations[way] and criterion.measure in expected:
                assert result.scores[ranking, j] == pytest.approx(expected[criterion.measure])


def test_the_rank_correlations_are_with_the_shapley_values(digit, model):
    scope = scope_of(model, digit, NAMES)
    result, run = evaluate(model, digit, scope), ModelRun(model, digit)
    values = np.zeros(N)
    for order in permutations(range(N)):
        kept = np.zeros((N + 1, N), bool)
        for k, token in enumerate(order):
            kept[k + 1 :, token] = True
        values[list(order)] += np.diff(run.game(kept)) / 120
    for i, name in enumerate(NAMES):
        assert result.scores[i, -1] == pytest.approx(spearmanr(compute_map(run, name), values).statistic)
    ink = (digit > 0.5).mean(axis=1)
    assert result.scores[len(NAMES), -1] == pytest.approx(spearmanr(ink, values).statistic)
    assert result.scores[NAMES.index("Shapley values"), -1] == pytest.approx(1)
    np.testing.assert_array_equal(result.scores[-2:, -1], 0)


def test_importance_is_the_slope_of_the_loss_at_a_gate(rng, model):
    images, labels = rng.random((7, N, 7)), rng.integers(0, 4, 7)
    outcome = measure_heads(model, images, labels)
    result = HeadImportance(**outcome.values, **outcome.arrays)

    def loss(changed, image, label):
        return cross_entropy_forward(changed.predict(image)[None], np.array([label]))[0]

    step, width = 1e-5, 2
    for layer, head in np.ndindex(2, 3):
        slopes = []
        for image, label in zip(images, labels, strict=True):
            ends = []
            for gate in (1 + step, 1 - step):
                name = f"blocks.{layer}.attention.output.weight"
                changed = model.params[name].copy()
                changed[:, head * width : (head + 1) * width] *= gate
                ends.append(loss(ViT(CONFIG, {**model.params, name: changed}), image, label))
            slopes.append(abs(ends[0] - ends[1]) / (2 * step))
        assert result.importance[layer, head] == pytest.approx(np.mean(slopes), rel=1e-5)
    assert result.importance[result.best] == result.importance.max()
    assert result.loss == pytest.approx(np.mean([loss(model, *pair) for pair in zip(images, labels, strict=True)]))


def test_a_head_left_out_has_no_values(rng, model):
    images, labels = rng.random((7, N, 7)), rng.integers(0, 4, 7)
    outcome = measure_heads(model, images, labels)
    for layer, head in np.ndindex(2, 3):
        changed = {name: array.copy() for name, array in model.params.items()}
        for part in ("weight", "bias"):
            changed[f"blocks.{layer}.attention.qkv.{part}"][12 + 2 * head : 14 + 2 * head] = 0  # after Wq and Wk
        scores = np.stack([ViT(CONFIG, changed).predict(image) for image in images])
        own = np.stack([without_head(model, layer, head, 3).predict(image) for image in images])
        np.testing.assert_allclose(own, scores, atol=1e-12)
        assert outcome.arrays["n_correct_without"][layer, head] == (scores.argmax(axis=1) == labels).sum()
        assert outcome.arrays["loss_without"][layer, head] == pytest.approx(cross_entropy_forward(scores, labels)[0])


def test_weights_are_randomized_from_the_top(rng, model):
    stages = randomization_stages(model.params)
    assert list(stages) == ["head", "layer 1", "layer 0", "embedding"]
    assert sorted(name for names in stages.values() for name in names) == sorted(model.params)
    assert set(stages["head"]) == {"head.weight", "head.bias", "norm.gain", "norm.bias"}
    assert all(name.startswith("blocks.1.") for name in stages["layer 1"])
    assert all(name.startswith("embedding.") for name in stages["embedding"])
    for name, shuffled in shuffle_parameters(model.params, rng).items():
        np.testing.assert_array_equal(np.sort(shuffled, axis=None), np.sort(model.params[name], axis=None))
        assert shuffled.size == 1 or not np.array_equal(shuffled, model.params[name])


def test_randomization_compares_maps_of_the_same_class(rng, model):
    images, maps = rng.random((3, N, 7)), ("last layer", "rollout", "AttnLRP")
    result = randomization_test(model, images, maps, N, np.random.default_rng(7))
    assert result.shape == (4, 3, 3)
    np.testing.assert_allclose(result[0, :2], 1)  # attention below the classifier is as it was
    fresh = shuffle_parameters(model.params, np.random.default_rng(7))
    stages = randomization_stages(model.params)
    changed = ViT(CONFIG, {**model.params, **{n: fresh[n] for n in (*stages["head"], *stages["layer 1"])}})
    for i, image in enumerate(images):
        run = ModelRun(model, image)
        for j, name in enumerate(maps):
            before, after = compute_map(run, name), compute_map(ModelRun(changed, image, run.explained), name)
            assert result[1, j, i] == pytest.approx(spearmanr(before, after).statistic)


def test_the_scope_follows_the_model(digit, model, rng):
    scope = scope_of(model, digit)
    assert scope.baseline == "ink"
    assert len(scope.criteria) == 17
    config = SeriesTransformerConfig(n_variables=3, max_length=7, n_outputs=2, d_model=6, n_heads=2, n_layers=1, d_ff=5)
    series = rng.normal(size=(5, 3)).astype(np.float32)
    transformer = SeriesTransformer(config, series_params(config, rng))
    assert scope_of(transformer, series, ("rollout",)) == Scope(("rollout",), "magnitude", ("mean", "interpolated"))
    np.testing.assert_allclose(baseline_map(transformer, series, None), np.linalg.norm(series, axis=1), rtol=1e-6)
    with pytest.raises(DataError, match=r"^--maps: "):
        scope_of(model, digit, ("saliency",))
    with pytest.raises(DataError, match=r"^--maps: "):
        scope_of(model, digit, ("rollout", "rollout"))


def test_the_baseline_of_a_photograph_is_its_contrast(tmp_path, rng):
    class Patches:
        def tokens(self, input):
            corners = np.indices((2, 3)).reshape(2, -1).T * (4, 5)
            boxes = np.concatenate([corners, np.tile([4, 5], (6, 1))], axis=1)
            return Tokens("image", np.concatenate([np.zeros((1, 4), int), boxes]), np.arange(7) < 1)

    grey = rng.integers(0, 255, (8, 15), np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    expected = [0, *(grey[i : i + 4, j : j + 5].std() / 255 for i in (0, 4) for j in (0, 5, 10))]
    np.testing.assert_allclose(baseline_map(Patches(), tmp_path / "a.png", None), expected, atol=1e-6)
    twice = np.kron(grey / 255, np.ones((2, 2)))[None]  # what the model sees has another size
    np.testing.assert_allclose(baseline_map(Patches(), grey, twice), expected, atol=1e-6)

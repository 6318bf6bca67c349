"""Maps against independent computations: completeness, efficiency, and the definitions written out."""

import numpy as np
import pytest

import headwise as hw
from headwise.attribution import (
    MAPS,
    ModelRun,
    ablation_names,
    attribute,
    available_maps,
    cheap_maps,
    compute_map,
    decompose_logit,
    group_tokens,
    player_game,
)
from headwise.errors import DataError
from headwise.metrics import integrated_gradients
from headwise.models.base import Tokens
from helpers.checkpoints import write_folder


def test_every_map_has_a_value_for_each_player(subject):
    model, input = subject
    run = ModelRun(model, input, limit=5)
    assert available_maps(model) == tuple(MAPS)
    for name in MAPS:
        values = compute_map(run, name)
        assert values.shape == (len(run.players),)
        assert np.isfinite(values).all()


def test_integrated_gradients_are_complete(subject):
    model, input = subject
    function = ModelRun(model, input).function
    ends = function.scores(np.stack([function.x, function.baseline]))[:, 1]
    values = integrated_gradients(lambda x: function.gradient(x, 1), function.x, function.baseline, steps=150)
    assert values.sum() == pytest.approx(ends[0] - ends[1], rel=1e-2)


def test_shapley_values_sum_to_the_effect_of_all_players(subject):
    model, input = subject
    run = ModelRun(model, input, limit=4)
    ends = run.game(np.array([[True] * len(run.players), [False] * len(run.players)]))
    assert compute_map(run, "Shapley values").sum() == pytest.approx(ends[0] - ends[1], abs=1e-9)


def test_leave_one_out_is_in_log_odds(subject):
    model, input = subject
    run = ModelRun(model, input)
    count = len(run.players)
    p = run.game(~np.eye(count, dtype=bool))
    whole = run.game(np.ones((1, count), bool))[0]
    expected = np.log(whole / (1 - whole)) - np.log(p / (1 - p))
    np.testing.assert_allclose(compute_map(run, "leave-one-out"), expected, rtol=1e-7, atol=1e-9)


def test_norm_weighted_attention_written_out(subject):
    model, input = subject
    run = ModelRun(model, input)
    for layer, sublayer in enumerate(run.sublayers):
        call = model.look(input).layers[layer]
        weight = run.function.params[f"blocks.{layer}.attention.output.weight"]
        heads, d = call.v.shape[1], call.v.shape[3]
        expected = np.zeros(call.weights()[0].shape[1:])
        for n, m in np.ndindex(expected.shape):
            vector = sum(
                call.weights()[0, h, n, m] * (weight[:, h * d : (h + 1) * d] @ call.v[0, h, m]) for h in range(heads)
            )
            expected[n, m] = np.sqrt((vector**2).sum())
        np.testing.assert_allclose(sublayer.norm_weighted(), expected, rtol=1e-9)


def test_contributions_and_constant_sum_to_the_output_of_the_sublayer(subject):
    model, input = subject
    run = ModelRun(model, input)
    for layer, sublayer in enumerate(run.sublayers):
        shares = sublayer.alti()
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        o = run.forward.cache.trunk.blocks[layer].attention.o[0]  # (H, N, e)
        params = run.function.params
        joined = o.swapaxes(0, 1).reshape(len(run.tokens), -1)
        branch = joined @ params[f"blocks.{layer}.attention.output.weight"].T
        y = sublayer.x + branch + params[f"blocks.{layer}.attention.output.bias"]
        if sublayer.cache.options.post_norm:
            y = y * params[f"blocks.{layer}.norm_1.gain"] + params[f"blocks.{layer}.norm_1.bias"]
        contributions = sublayer.contributions(slice(None))
        np.testing.assert_allclose(contributions.sum(axis=1) + sublayer.constant, y, rtol=1e-9)


def test_contributions_of_heads_that_share_values(tmp_path):
    run = ModelRun(hw.load(write_folder(tmp_path, "llama")), np.array([3, 7, 11, 2, 5]))
    for layer, sublayer in enumerate(run.sublayers):
        o = run.forward.cache.trunk.blocks[layer].attention.o[0]  # (H, N, e) of two heads and one group of values
        joined = o.swapaxes(0, 1).reshape(len(run.tokens), -1)
        y = sublayer.x + joined @ run.function.params[f"blocks.{layer}.attention.output.weight"].T
        np.testing.assert_allclose(sublayer.contributions(slice(None)).sum(axis=1) + sublayer.constant, y, rtol=1e-9)


def test_a_logit_is_the_sum_of_its_terms(subject):
    model, input = subject
    terms = decompose_logit(model, input, target=1)
    assert terms.logit == pytest.approx(model.predict(input)[1])
    assert terms.remainder == pytest.approx(0, abs=1e-9)


def test_the_term_of_a_head_is_its_output_through_the_frozen_norm(subject):
    model, input = subject
    terms, run = decompose_logit(model, input, target=1), ModelRun(model, input, target=1)
    if run.function.network.heads["logits"].pool != "first":
        pytest.skip("pre-norm models alone have one frozen norm")
    params, cache = run.function.params, run.forward.cache
    final = cache.trunk.hidden_states[-1][0, 0]
    for layer, block in enumerate(cache.trunk.blocks):
        weight = params[f"blocks.{layer}.attention.output.weight"]
        for head, o in enumerate(block.attention.o[0, :, 0]):
            vector = weight[:, head * len(o) : (head + 1) * len(o)] @ o
            normal = (vector - vector.mean()) / np.sqrt(final.var() + 1e-5) * params["norm.gain"]
            expected = params["heads.logits.output.weight"][1] @ normal
            assert terms.heads[layer, head] == pytest.approx(expected, rel=1e-9)


def test_every_ablation_of_everything_and_of_nothing(subject):
    model, input = subject
    run = ModelRun(model, input)
    count = len(run.players)
    for name in ablation_names(model, input):
        game = player_game(model, input, 1, run.players, name)
        values = game(np.array([[True] * count, [False] * count, [True] + [False] * (count - 1)]))
        assert values[0] == pytest.approx(np.exp(run.scores[1]) / np.exp(run.scores).sum())
        assert len(set(values.round(12))) == 3
        odds = game.log_odds(np.ones((1, count), bool))[0]
        assert odds == pytest.approx(np.log(values[0] / (1 - values[0])))


def test_words_and_blocks_are_players():
    spans = np.array([[0, 0], [0, 2], [2, 5], [5, 6], [7, 9], [0, 0]])
    tokens = Tokens("text", spans, np.array([1, 0, 0, 0, 0, 1], bool), ("[CLS]", "un", "##til", ".", "So", "[SEP]"))
    with pytest.raises(DataError, match="limit: expected at least one player; got 0"):
        group_tokens(tokens, 0)
    with pytest.raises(DataError, match="input: expected at least one token besides prefix tokens"):
        group_tokens(Tokens("text", tokens.locations, np.ones(len(tokens.prefix), bool), tokens.labels))
    assert group_tokens(tokens).members.astype(int).tolist() == [
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ]
    corners = np.indices((6, 10)).reshape(2, -1).T * 7
    image = Tokens("image", np.concatenate([corners, np.full((60, 2), 7)], axis=1), np.zeros(60, bool))
    blocks = group_tokens(image, 15)
    assert len(blocks) == 15
    np.testing.assert_array_equal(blocks.members.sum(axis=1), 4)
    assert (blocks.members.sum(axis=0) == 1).all()
    steps = Tokens("series", np.zeros((11, 2), int), np.zeros(11, bool))
    assert group_tokens(steps, 3).members.sum(axis=1).tolist() == [4, 4, 3]


def test_attribution_shows_attention_and_the_recommended_map(subject):
    model, input = subject
    attribution = attribute(model, input, maps=["leave-one-out"], limit=5)
    assert list(attribution.maps) == ["all layers", attribution.recommended.map, "leave-one-out"]
    assert attribution.recommended.map in cheap_maps(available_maps(model))
    assert not attribution.recommended.audited
    assert -1 <= attribution.agreement <= 1
    spread = attribution.to_tokens("all layers")
    assert spread.shape == (len(attribution.tokens),)
    np.testing.assert_array_equal(spread[attribution.tokens.prefix], 0)


def test_errors_name_the_argument(subject):
    model, input = subject
    with pytest.raises(DataError, match=r"^map: "):
        compute_map(ModelRun(model, input), "saliency")
    with pytest.raises(DataError, match=r"^target: "):
        attribute(model, input, target=99)
    with pytest.raises(DataError, match=r"^ablation: "):
        player_game(model, input, 0, ModelRun(model, input).players, "painted over")
    with pytest.raises(DataError, match=r"^audit: "):
        attribute(model, input, audit="nowhere")

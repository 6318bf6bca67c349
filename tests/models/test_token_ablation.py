from functools import partial

import numpy as np
import pytest

from headwise.attention.textbook import softmax
from headwise.attribution import ModelRun
from headwise.errors import DataError, ShapeError
from headwise.metrics.gradients import head_importance
from headwise.models import ABLATIONS, TokenGame, ViT, ViTConfig
from headwise.models.vit import predict_with_attention, vit_params
from helpers.oracles import numeric_gradients

TINY = ViTConfig(tokenizer="2x3", image_size=(4, 6), d_model=6, n_layers=2, n_heads=3, d_ff=5, n_classes=3)


@pytest.fixture
def params(rng):
    return {name: rng.normal(size=array.shape) for name, array in vit_params(TINY, rng).items()}


def norm(x, params, name):
    centred = x - x.mean(-1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * params[f"{name}.gain"] + params[f"{name}.bias"]
    )


def affine(x, params, name):
    return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def by_hand(image, params, kept=None, moved=None, gates=None):
    """Logits of one image; with tokens left out, something added to each layer's weights, or heads' outputs scaled."""
    tokens = [image[y : y + 2, x : x + 3].ravel() for y in (0, 2) for x in (0, 3)]
    kept = range(4) if kept is None else kept
    embedded = [affine((tokens[n] - TINY.mean) / TINY.std, params, "embedding.token") for n in kept]
    x = (
        np.array([params["embedding.class_token"], *embedded])
        + params["embedding.positions"][[0, *(n + 1 for n in kept)]]
    )
    for i in range(2):
        q, k, v = np.split(
            affine(norm(x, params, f"blocks.{i}.norm_1"), params, f"blocks.{i}.attention.qkv"), 3, axis=1
        )
        heads = []
        for h in range(3):
            own = slice(2 * h, 2 * h + 2)
            p = np.exp(q[:, own] @ k[:, own].T / np.sqrt(2))
            p /= p.sum(1, keepdims=True)
            p = p if moved is None else p + moved[i, h]
            heads.append((1 if gates is None else gates[i, h]) * p @ v[:, own])
        x = x + affine(np.concatenate(heads, 1), params, f"blocks.{i}.attention.output")
        a = affine(norm(x, params, f"blocks.{i}.norm_2"), params, f"blocks.{i}.mlp.hidden")
        a = a / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3)))
        x = x + affine(a, params, f"blocks.{i}.mlp.output")
    return affine(norm(x[0], params, "norm"), params, "head")


def probability(logits, target):
    return (np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())[target]


def test_gradients_of_the_weights_equal_central_differences(params, rng):
    image, target, step = rng.random((4, 6)), 2, 1e-5
    gradients = np.concatenate(ViT(TINY, params).gradients(image, target))
    assert gradients.shape == (2, 3, 5, 5)
    for at in np.ndindex(gradients.shape):
        moved = np.zeros(gradients.shape)
        moved[at] = step
        up, down = (by_hand(image, params, moved=s * moved)[target] for s in (1, -1))
        assert gradients[at] == pytest.approx((up - down) / (2 * step), abs=1e-6, rel=1e-6)


def test_the_importance_of_heads_equals_central_differences_of_the_loss(params, rng):
    images, labels = rng.random((2, 4, 6)), np.array([2, 0])

    def loss(gates, item):
        return -np.log(probability(by_hand(images[item], params, gates=gates), labels[item]))

    gates = [numeric_gradients(partial(loss, item=i), [np.ones((2, 3))], np.array(1.0))[0] for i in range(2)]
    runs = [ModelRun(ViT(TINY, params), image) for image in images]
    dlogits = [softmax(run.scores) - np.eye(3)[label] for run, label in zip(runs, labels, strict=True)]
    gradients = np.stack([run.weights_gradients(d[None]) for run, d in zip(runs, dlogits, strict=True)])
    importance = head_importance(np.stack([run.weights for run in runs]), gradients)
    np.testing.assert_allclose(importance, np.abs(gates).mean(axis=0), rtol=1e-6)


def test_the_game_equals_the_model_by_hand(params, rng):
    image = rng.random((4, 6))
    kept = rng.random((7, 4)) < 0.5
    kept[0], kept[1] = True, False
    for missing, filling in (("removed", None), ("black", 0.0), ("mean", TINY.mean)):
        found = TokenGame(ViT(TINY, params, missing), image, 1)(kept)
        for answer, there in zip(found, kept, strict=True):
            if filling is None:
                expected = by_hand(image, params, kept=np.flatnonzero(there))
            else:
                seen = np.kron(there.reshape(2, 2), np.ones((2, 3))).astype(bool)
                expected = by_hand(np.where(seen, image, filling), params)
            assert answer == pytest.approx(probability(expected, 1), abs=1e-12)


@pytest.mark.parametrize("missing", ABLATIONS)
@pytest.mark.parametrize("tokens", ["7x7", "rows", "8x8/4", "reordered-7x7"])
def test_with_nothing_missing_the_game_is_the_model(tokens, missing, rng):
    model = ViTConfig(tokenizer=tokens, d_model=6, n_layers=2, n_heads=3, d_ff=5)
    image, params = rng.random((28, 28), dtype=np.float32), vit_params(model, rng)
    everything = np.ones((1, model.image_tokenizer.num_tokens), bool)
    answer = TokenGame(ViT(model, params, missing), image, 7)(everything)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(
        answer, predict_with_attention(image[None], params, model).probabilities[:, 7], rtol=1e-5
    )


def test_refusals(params):
    with pytest.raises(DataError, match="ablation: expected one of removed, black, mean, imputed; got 'white'"):
        TokenGame(ViT(TINY, params, "white"), np.zeros((4, 6)), 1)(np.ones((2, 4), bool))
    with pytest.raises(DataError, match="target: expected a class from 0 to 2"):
        TokenGame(ViT(TINY, params), np.zeros((4, 6)), 3)
    with pytest.raises(ShapeError, match=r"keep: expected \(S, 4\)"):
        TokenGame(ViT(TINY, params), np.zeros((4, 6)), 1)(np.ones((2, 5), bool))

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.models.looking import TokenGame, look_closely
from headwise.models.vit import ViT, look, vit_params

TINY = ViT(tokens="2x3", image=(4, 6), width=6, depth=2, heads=3, hidden=5, classes=3)


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


def by_hand(image, params, kept=None, moved=None):
    """Logits of one image, with tokens left out, and with something added to the weights of each layer."""
    tokens = [image[y : y + 2, x : x + 3].ravel() for y in (0, 2) for x in (0, 3)]
    kept = range(4) if kept is None else kept
    embedded = [affine((tokens[n] - TINY.mean) / TINY.deviation, params, "embedding.token") for n in kept]
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
            heads.append((p if moved is None else p + moved[i, h]) @ v[:, own])
        x = x + affine(np.concatenate(heads, 1), params, f"blocks.{i}.attention.output")
        a = affine(norm(x, params, f"blocks.{i}.norm_2"), params, f"blocks.{i}.mlp.hidden")
        a = a / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3)))
        x = x + affine(a, params, f"blocks.{i}.mlp.output")
    return affine(norm(x[0], params, "norm"), params, "head")


def test_gradients_of_the_weights_equal_central_differences(params, rng):
    images, target = rng.random((2, 4, 6)), np.array([2, 0])
    closer = look_closely(images, params, TINY, target)
    np.testing.assert_array_equal(closer.weights, look(images, params, TINY).weights)
    step = 1e-5
    for at in np.ndindex(closer.gradients.shape):
        moved = np.zeros(closer.gradients.shape[1:])
        moved[at[1:]] = step
        up, down = (by_hand(images[at[0]], params, moved=s * moved)[target[at[0]]] for s in (1, -1))
        assert closer.gradients[at] == pytest.approx((up - down) / (2 * step), abs=1e-6, rel=1e-6)


def probability(logits, target):
    return (np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())[target]


def test_the_game_equals_the_model_by_hand(params, rng):
    image = rng.random((4, 6))
    kept = rng.random((7, 4)) < 0.5
    kept[0], kept[1] = True, False
    for missing, filling in (("removed", None), ("black", 0.0), ("mean", TINY.mean)):
        found = TokenGame(image, params, TINY, 1, missing)(kept)
        for answer, there in zip(found, kept, strict=True):
            if filling is None:
                expected = by_hand(image, params, kept=np.flatnonzero(there))
            else:
                seen = np.kron(there.reshape(2, 2), np.ones((2, 3))).astype(bool)
                expected = by_hand(np.where(seen, image, filling), params)
            assert answer == pytest.approx(probability(expected, 1), abs=1e-12)


def test_refusals(params):
    with pytest.raises(DataError, match="missing: expected one of removed, black, mean, imputed; got 'white'"):
        TokenGame(np.zeros((4, 6)), params, TINY, 1, "white")
    with pytest.raises(DataError, match="target: expected a class from 0 to 2"):
        TokenGame(np.zeros((4, 6)), params, TINY, 3)

"""Dropout is named only where it, and nothing else, makes the outputs differ, to rounding of their type."""

import numpy as np
import pytest

import headwise as hw

TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def attending(share=0.3, noise=0.0, added=0.0, dtype=np.float64, scaled=True, of="weights"):
    """Attention of which weights, or outputs, are dropped; with noise on the weights, or a sum that is too large."""
    rng = np.random.default_rng(0)

    def dropped(a):
        return a * (rng.random(a.shape) >= share).astype(dtype) / dtype(1 - share)

    def attention(q, k, v):
        q, k, v = (np.asarray(a, dtype) for a in (q, k, v))
        logits = q @ k.swapaxes(-1, -2) / dtype(np.sqrt(q.shape[-1]) if scaled else 1)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights = weights / (weights.sum(axis=-1, keepdims=True) + dtype(added))
        weights = weights * (1 + noise * rng.normal(size=weights.shape)).astype(dtype)
        if of == "both":
            weights = dropped(weights)
            return weights @ v, weights
        return dropped(weights) @ v if of == "weights" else dropped(weights @ v)

    return attention


@TYPES
@pytest.mark.parametrize("of", ["weights", "outputs", "both"])
def test_dropout_is_named(dtype, of):
    assert hw.check(attending(dtype=dtype, of=of)).mistakes == ("dropout-active",)


@TYPES
def test_dropout_next_to_another_mistake_is_named(dtype):
    assert hw.check(attending(dtype=dtype, scaled=False)).mistakes == ("scale-missing", "dropout-active")


@TYPES
@pytest.mark.parametrize("added", [1e-3, 1e-2])
def test_dropout_next_to_a_wrong_sum_is_not_all(added, dtype):
    assert hw.check(attending(added=added, dtype=dtype)).mistakes == ("unknown",)


@TYPES
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("noise", [0.1, 0.001])
def test_noise_is_not_dropout(noise, share, dtype):
    assert hw.check(attending(share=share, noise=noise, dtype=dtype)).mistakes == ("unknown",)


@TYPES
def test_weights_that_are_normalised_again_are_not_those_of_dropout(dtype):
    rng = np.random.default_rng(0)

    def attention(q, k, v):
        q, k, v = (np.asarray(a, dtype) for a in (q, k, v))
        logits = q @ k.swapaxes(-1, -2) / dtype(np.sqrt(q.shape[-1]))
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True)) * (rng.random(logits.shape) >= 0.2).astype(dtype)
        return weights / np.maximum(weights.sum(axis=-1, keepdims=True), dtype(1e-9)) @ v

    assert hw.check(attention).mistakes == ("unknown",)


@TYPES
@pytest.mark.parametrize("heads", [1, 3])
def test_dropout_behind_projections_is_named(dtype, heads):
    rng = np.random.default_rng(0)

    def attention(X, Wq, Wk, Wv, Wo, heads=heads):
        X, Wq, Wk, Wv, Wo = (np.asarray(a, dtype) for a in (X, Wq, Wk, Wv, Wo))
        q, k, v = ((X @ W).reshape(len(X), heads, -1).swapaxes(0, 1) for W in (Wq, Wk, Wv))
        logits = q @ k.swapaxes(-1, -2) / dtype(np.sqrt(q.shape[-1]))
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        weights = weights * (rng.random(weights.shape) >= 0.3).astype(dtype) / dtype(0.7)
        return (weights @ v).swapaxes(0, 1).reshape(len(X), -1) @ Wo

    assert hw.check(attention).mistakes == ("dropout-active",)

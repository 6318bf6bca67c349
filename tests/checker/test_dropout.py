"""Dropout is named only where it, and nothing else, makes the outputs differ; in float32 that cannot be told."""

import numpy as np
import pytest

import headwise as hw


def attending(share=0.3, noise=0.0, added=0.0, dtype=np.float64):
    """Attention whose weights are dropped, or multiplied by noise, or divided by a sum that is too large."""
    rng = np.random.default_rng(0)

    def attention(q, k, v):
        q, k, v = (np.asarray(a, dtype) for a in (q, k, v))
        logits = q @ k.swapaxes(-1, -2) / dtype(np.sqrt(q.shape[-1]))
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights = weights / (weights.sum(axis=-1, keepdims=True) + dtype(added))
        weights = weights * (1 + noise * rng.normal(size=weights.shape)).astype(dtype)
        return weights * (rng.random(weights.shape) >= share) / dtype(1 - share) @ v

    return attention


def test_dropout_is_named():
    assert hw.check(attending()).mistakes == ("dropout-active",)


@pytest.mark.parametrize("added", [1e-3, 1e-2])
def test_dropout_next_to_a_wrong_sum_is_not_all(added):
    assert hw.check(attending(added=added)).mistakes == ("unknown",)


@pytest.mark.parametrize("noise", [0.1, 0.001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_not_dropout(noise, dtype):
    assert hw.check(attending(share=0.0, noise=noise, dtype=dtype)).mistakes == ("unknown",)


def test_dropout_in_float32_is_not_right():
    assert not hw.check(attending(dtype=np.float32)).ok

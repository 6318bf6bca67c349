"""Dropout is named from what is kept, also next to another mistake and for functions that compute in float32."""

import numpy as np
import pytest

import headwise as hw


def attending(scale=True, share=0.3, noise=0.0):
    """Attention in float32 whose weights are dropped, or multiplied by noise."""
    rng = np.random.default_rng(0)

    def attention(q, k, v):
        q, k, v = (np.asarray(a, np.float32) for a in (q, k, v))
        logits = q @ k.swapaxes(-1, -2)
        logits = logits / np.float32(np.sqrt(q.shape[-1])) if scale else logits
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        weights = weights * (1 + noise * rng.normal(size=weights.shape)).astype(np.float32)
        return weights * (rng.random(weights.shape) >= share) / np.float32(1 - share) @ v

    return attention


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [(attending(), ("dropout-active",)), (attending(scale=False), ("scale-missing", "dropout-active"))],
)
def test_dropout_in_float32(function, mistakes):
    assert hw.check(function).mistakes == mistakes


@pytest.mark.parametrize("noise", [0.1, 0.001])
def test_noise_is_not_dropout(noise):
    assert hw.check(attending(share=0.0, noise=noise)).mistakes == ("unknown",)

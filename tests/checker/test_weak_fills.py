"""Numbers in place of −∞ that hide ordinary logits: those of hundreds show that they are too small, if they are."""

import numpy as np
import pytest

import headwise as hw


def masked(fill, dtype, added, scale_last=False):
    def attention(q, k, v, mask):
        q, k, v = (np.asarray(a, dtype) for a in (q, k, v))
        root = dtype(np.sqrt(q.shape[-1]))
        s = q @ k.swapaxes(-1, -2) / (1 if scale_last else root)
        s = s + (1 - mask.astype(dtype)) * dtype(fill) if added else np.where(mask, s, dtype(fill))
        s = s / (root if scale_last else 1)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v

    return attention


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(
    ("fill", "mistakes"), [(-50, ("mask-fill-too-small",)), (-1e3, ("mask-fill-too-small",)), (-1e4, ()), (-1e9, ())]
)
def test_a_fill_is_too_small_if_ordinary_models_have_logits_as_large(fill, mistakes, added, dtype):
    verdict = hw.check(masked(fill, dtype, added), mask="attends")
    assert verdict.mistakes == mistakes
    assert "mask-finite-fill" in verdict.hazards


def test_a_fill_may_be_scaled_with_the_logits():
    assert hw.check(masked(-1e3, np.float64, added=True, scale_last=True)).mistakes == ("mask-fill-too-small",)
    assert hw.check(masked(-1e4, np.float64, added=True, scale_last=True)).ok


@pytest.mark.parametrize(("fill", "mistakes"), [(-100.0, ("mask-fill-too-small",)), (-1e4, ()), (-np.inf, ())])
def test_the_fill_of_later_keys(fill, mistakes):
    def causal_attention(q, k, v):
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        s = s + np.triu(np.full(s.shape[-2:], fill), 1)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v

    assert hw.check(causal_attention).mistakes == mistakes

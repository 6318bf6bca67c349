"""Functions that set their number of heads themselves."""

import numpy as np
import pytest

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def split_and_stacked(X, Wq, Wk, Wv, Wo):
    h = 3
    q, k, v = (np.stack(np.split(X @ W.T, h, axis=1)) for W in (Wq, Wk, Wv))
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(X.shape[1] // h))
    return np.concatenate(list(p @ v), axis=1) @ Wo.T


def in_a_loop(X, Wq, Wk, Wv):
    heads = 2
    d = X.shape[-1] // heads
    outputs = []
    for i in range(heads):
        own = slice(i * d, (i + 1) * d)
        q, k, v = X @ Wq[own].T, X @ Wk[own].T, X @ Wv[own].T
        outputs.append(softmax(q @ k.T / d ** (1 / 2)) @ v)
    return np.hstack(outputs)


def written_out(X, Wq, Wk, Wv):
    N, D = X.shape
    q, k, v = ((X @ W).reshape(N, 3, D // 3).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    return (softmax(q @ k.transpose(0, 2, 1) / np.sqrt(D // 3)) @ v).transpose(1, 0, 2).reshape(N, D)


def written_out_without_root(X, Wq, Wk, Wv):
    N, D = X.shape
    q, k, v = ((X @ W).reshape(N, 3, D // 3).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    return (softmax(q @ k.transpose(0, 2, 1) / (D / 3)) @ v).transpose(1, 0, 2).reshape(N, D)


def of_thirds(X, Wqkv):
    q, k, v = np.split(X @ Wqkv.T, 3, axis=-1)
    return softmax(q @ k.T / np.sqrt(Wqkv.shape[0] // 3)) @ v


@pytest.mark.parametrize(
    ("function", "kind", "mistakes"),
    [
        (split_and_stacked, "multi_head", ()),
        (in_a_loop, "multi_head", ()),
        (written_out, "multi_head", ()),
        (written_out_without_root, "multi_head", ("scale-no-root",)),
        (of_thirds, "self_attention", ()),
    ],
)
def test_the_number_becomes_an_argument(function, kind, mistakes):
    verdict = hw.check(function)
    assert (verdict.kind, verdict.mistakes) == (kind, mistakes)

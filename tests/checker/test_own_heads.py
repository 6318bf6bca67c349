"""Functions that set their number of heads themselves, or for the sizes of an example in their file."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.modules.sizes_of_file import roles_of_sizes


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


def in_two_halves(q, k, v):
    top = (s := q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])).max(axis=-1, keepdims=True)
    keys = np.arange(k.shape[-2])
    first, second = np.array_split(keys, 2) if k.shape[-2] // 2 else (keys, keys[:0])
    sums = [np.exp(s[..., half] - top) @ v[..., half, :] for half in (first, second)]
    return sum(sums) / np.exp(s - top).sum(axis=-1, keepdims=True)


def test_halves_of_other_things_are_no_heads():
    verdict = hw.check(in_two_halves)
    assert verdict.ok
    assert not any("num_heads" in what for what in verdict.untested)


@pytest.mark.sampled
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


N, D, H = 5, 6, 3
d_k = D // H


def of_every_size(X, Wq, Wk, Wv):
    q, k, v = ((X @ W).reshape(N, H, d_k).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(d_k))
    return (p @ v).transpose(1, 0, 2).reshape(N, D)


def of_the_model(X, Wq, Wk, Wv):
    q, k, v = ((X @ W).reshape(-1, H, d_k).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(D))
    return (p @ v).transpose(1, 0, 2).reshape(len(X), -1)


B, T, C = 4, 8, 12
matrices = np.random.default_rng(0).normal(size=(3, C, C))
Wq, Wk, Wv = matrices


def of_variables(x):
    q, k, v = ((x @ W).reshape(B, T, H, C // H).transpose(0, 2, 1, 3) for W in (Wq, Wk, Wv))
    p = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(C // H))
    return (p @ v).transpose(0, 2, 1, 3).reshape(B, T, C)


def over_tokens(X, Wq, Wk, Wv):
    outputs = np.zeros((N, D))
    q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    for i in range(N):
        outputs[i] = softmax(np.array([q[i] @ k[j] for j in range(N)]) / np.sqrt(q.shape[1])) @ v
    return outputs


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "kind", "mistakes"),
    [
        (of_every_size, "multi_head", ()),
        (of_the_model, "multi_head", ("scale-model-width",)),
        (over_tokens, "self_attention", ()),
        (of_variables, "multi_head", ()),
    ],
)
def test_sizes_of_an_example_are_those_of_the_arguments(function, kind, mistakes):
    verdict = hw.check(function)
    assert (verdict.kind, verdict.mistakes) == (kind, mistakes)
    assert (N, D, H, d_k) == (5, 6, 3, 2)


@pytest.mark.parametrize(
    ("numbers", "roles"),
    [
        ({"N": 5, "D": 6, "H": 3, "d_k": 2}, "tokens model heads head"),
        ({"H": 2, "d": 8, "d_k": 4}, "heads model head"),
        ({"H": 2, "d_head": 4}, "heads head"),
        ({"seq_len": 7, "d_model": 8}, "tokens model"),
        ({"num_heads": 4}, ""),  # which is an argument by its name
        ({"H": 3, "D": 8, "d_k": 2}, ""),
        ({"H": 2, "D": 8, "d_k": 4, "d_v": 3}, ""),
        ({"N": 5, "D": 6}, "tokens model"),
        ({"B": 4, "T": 8, "C": 32, "n_head": 4, "head_size": 8}, "items tokens model heads head"),
        ({"T": 8, "d_k": 4}, ""),  # which may be a temperature
        ({"scale": 8, "D": 6}, ""),
        ({"n": 2, "D": 6}, ""),  # which may be a window
    ],
)
def test_sizes_are_known_by_their_names_and_how_they_belong_together(numbers, roles):
    assert roles_of_sizes(numbers) == dict(zip(numbers, roles.split(), strict=bool(roles)))


seq_len = 2


def near_keys(q, k, v):
    """Causal attention to a window of keys."""
    lags = np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2])
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where((lags >= 0) & (lags <= seq_len), s, -np.inf)) @ v


def test_what_is_right_as_it_is_keeps_its_variables():
    verdict = hw.check(near_keys)
    assert verdict.ok
    assert "window-built-in" in verdict.conventions
    assert verdict.hazards == ("mask-all-hidden-nan",)  # of queries with more than two places after the last key

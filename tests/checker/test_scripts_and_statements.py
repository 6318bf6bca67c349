"""Names in other scripts, masks described in other languages, generators, and stated rotations."""

import numpy as np
import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

rng = np.random.default_rng(5)
N_HEADS = 3
HEAD = 4
Wq, Wk, Wv, Wo = rng.normal(scale=0.3, size=(4, 12, 12))
bq, bk, bv = rng.normal(size=(3, 12, 1))


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def 自注意(输入, 权重Q, 权重K, 权重V):
    q, k, v = 输入 @ 权重Q, 输入 @ 权重K, 输入 @ 权重V
    return softmax(q @ k.T / np.sqrt(k.shape[1])) @ v


def 自注意_unscaled(输入, 权重Q, 权重K, 权重V):
    q, k, v = 输入 @ 权重Q, 输入 @ 权重K, 输入 @ 权重V
    return softmax(q @ k.T) @ v


def added_where_seen(q, k, v, masque=None):
    """q (lot, n, d) ; masque (lot, n, m), True là où la clé se voit."""
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    return softmax(s if masque is None else s + masque) @ v


def hidden_where_seen(q, k, v, mask=None):
    """q (B, N, d); mask (B, N, M): True там, куда смотреть можно."""
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    return softmax(s if mask is None else np.where(mask, -np.inf, s)) @ v


def seen_where_seen(q, k, v, maske=None):
    """q (B, N, d); maske (B, N, M): True, wo ein Schlüssel sichtbar ist."""
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    return softmax(s if maske is None else np.where(maske, s, -np.inf)) @ v


def rows_one_by_one(q, k, v):
    for query in q:
        yield softmax(k @ query / np.sqrt(k.shape[1])) @ v


def rows_one_by_one_unscaled(q, k, v):
    for query in q:
        yield softmax(k @ query) @ v


def columns_with_variables_of_the_file(X):
    """X (D, N): a token is a column."""
    q, k, v = Wq @ X + bq, Wk @ X + bk, Wv @ X + bv
    out = np.empty_like(X)
    for h in range(N_HEADS):
        own = slice(h * HEAD, (h + 1) * HEAD)
        out[own] = v[own] @ softmax(q[own].T @ k[own] / np.sqrt(HEAD)).T
    return Wo @ out


def divided_twice_by_precedence(q, k, v):
    d = q.shape[-1]
    return softmax(q @ np.swapaxes(k, -1, -2) / d**1 / 2) @ v


def bias_of_each_head(q, k, v, bias):
    """q (B, H, N, d), bias (H, N, M)."""
    assert bias.shape == (q.shape[1], q.shape[2], k.shape[2])
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + bias) @ v


def _turned(x, halves):
    t, d = x.shape[-2:]
    angles = np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    parts = (x[..., : d // 2], x[..., d // 2 :]) if halves else (x[..., ::2], x[..., 1::2])
    a = parts[0] * np.cos(angles) - parts[1] * np.sin(angles)
    b = parts[0] * np.sin(angles) + parts[1] * np.cos(angles)
    return np.concatenate([a, b], axis=-1) if halves else np.stack([a, b], axis=-1).reshape(x.shape)


def _rotary(q, k, v, halves):
    q, k = _turned(q, halves), _turned(k, halves)
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) @ v


def neighbours_as_said(q, k, v):
    """Rotary attention that rotates neighbouring features as pairs, q (H, N, d)."""
    return _rotary(q, k, v, False)


def halves_against_what_is_said(q, k, v):
    """Rotary attention that rotates neighbouring features as pairs, q (H, N, d)."""
    return _rotary(q, k, v, True)


def neighbours_against_what_is_said(q, k, v):
    """Rotary attention as in GPT-NeoX: the first half of the features is rotated with the second, q (H, N, d)."""
    return _rotary(q, k, v, False)


def halves_unlike_another(q, k, v):
    """Rotary attention, q (H, N, d), unlike GPT-J."""
    return _rotary(q, k, v, True)


@pytest.mark.parametrize(
    ("function", "mistakes", "conventions"),
    [
        (自注意, (), ("weights-in-out",)),
        (自注意_unscaled, ("scale-missing",), ("weights-in-out",)),
        (added_where_seen, ("mask-added-as-number",), ()),
        (hidden_where_seen, ("mask-inverted",), ()),
        (seen_where_seen, (), ()),
        (rows_one_by_one, (), ()),
        (rows_one_by_one_unscaled, ("scale-missing",), ()),
        (columns_with_variables_of_the_file, (), ("tokens-as-columns",)),
        (divided_twice_by_precedence, ("scale-no-root",), ()),
        (bias_of_each_head, (), ()),
        (neighbours_as_said, (), ("rope",)),
        (halves_against_what_is_said, ("rope-layout",), ("rope",)),
        (neighbours_against_what_is_said, ("rope-layout",), ("rope",)),
        (halves_unlike_another, (), ("rope",)),
    ],
)
def test_verdict(function, mistakes, conventions):
    assert_verdict(function, mistakes, conventions)


class Stream:
    """One head that keeps what it has seen."""

    def __init__(self):
        self.query, self.key, self.value = rng.normal(size=(3, 6, 4))
        self.keys = np.zeros((0, 4))

    def __call__(self, X):
        return softmax(X @ self.query @ (X @ self.key).T / 2) @ X @ self.value


def test_an_attribute_without_numbers_is_no_matrix():
    assert hw.check(Stream()).ok

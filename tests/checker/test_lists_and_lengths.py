"""Masks of ones in other languages, lengths in loops, weights before outputs, lists cut off by `zip`, and names."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.arguments.mask_words import polarity
from helpers.verdicts import assert_verdict


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("sentence", "meaning"),
    [
        ("mascara[i, j] vale 1 si la consulta i puede ver la clave j y 0 si no puede.", "attends"),
        ("mask (n, n): 1 = look, 0 = do not look", "attends"),
        ("mask (n, n): 1 = do not look, 0 = look", "hides"),
        ("maske (B, N, M): True, wo ein Schlüssel sichtbar ist.", "attends"),
        ("maske: 0 = Auffüllung, 1 = gültiges Wort", "attends"),
        ("masque[i, j] = 1 là où la clé est masquée", "hides"),
        ("掩码为1表示可见,0表示不可见", "attends"),
        ("mask 中 1 的位置被屏蔽", "hides"),
        ("maske: 1, wenn die Anfrage den Schlüssel nicht sehen darf", ""),
        ("mask (B, 1, M)", ""),
    ],
)
def test_what_one_means_in_other_languages(sentence, meaning):
    assert polarity(sentence) == meaning


def hides_what_may_be_seen(q, k, v, mascara):
    """mascara[i, j] vale 1 si la consulta i puede ver la clave j y 0 si no puede."""
    return softmax(np.where(mascara == 1, -1e30, q @ k.T / q.shape[1] ** 0.5)) @ v


def of_a_mask_in_chinese(q, k, v, 掩码):
    """掩码:形状(n, m),为1表示可见,为0表示不可见。"""
    return softmax(np.where(掩码 == 0, q @ k.T / q.shape[1] ** 0.5, -1e30)) @ v


def as_many_keys_as_there_are(q, k, v, seq_len):
    """q, k and v (B, N, d), seq_len (B,)"""
    out = np.zeros((*q.shape[:2], v.shape[2]))
    for b in range(len(q)):
        count = min(seq_len[b], k.shape[1])
        if count:
            out[b] = softmax(q[b] @ k[b, :count].T / np.sqrt(q.shape[2])) @ v[b, :count]
    return out


def one_key_too_many(q, k, v, seq_len):
    """q, k and v (B, N, d), seq_len (B,)"""
    out = np.zeros((*q.shape[:2], v.shape[2]))
    for b in range(len(q)):
        count = min(seq_len[b] + 1, k.shape[1])
        out[b] = softmax(q[b] @ k[b, :count].T / np.sqrt(q.shape[2])) @ v[b, :count]
    return out


def weights_first_next_to_a_context(x, context, Wq, Wk, Wv):
    q, k, v = x @ Wq, context @ Wk, context @ Wv
    weights = softmax(q @ k.T / np.sqrt(q.shape[1]))
    return weights, weights @ v


def product(A, B):
    return [[sum(a * b for a, b in zip(row, column, strict=False)) for column in zip(*B, strict=False)] for row in A]


def lists_of_heads(X, WQ, WK, WV, WO):
    total = np.zeros(())
    for wq, wk, wv, wo in zip(WQ, WK, WV, WO, strict=False):
        q, k, v = (product(X, w) for w in (wq, wk, wv))
        scores = np.array(product(q, list(zip(*k, strict=True)))) / len(q[0]) ** 0.5
        total = total + np.array(product(product(softmax(scores), v), wo))
    return total


def of_numbers_of_heads(x, Wq, Wk, Wv, n_q_heads, n_kv_heads):
    q, k, v = ((x @ W).reshape(len(x), n, -1) for W, n in ((Wq, n_q_heads), (Wk, n_kv_heads), (Wv, n_kv_heads)))
    k, v = (np.repeat(a, n_q_heads // n_kv_heads, axis=1) for a in (k, v))
    p = softmax(np.einsum("nhd,mhd->hnm", q, k) / np.sqrt(q.shape[2]))
    return np.einsum("hnm,mhe->nhe", p, v).reshape(len(x), -1)


def of_a_dictionary(inputs):
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    return softmax(q @ k.T / np.sqrt(k.shape[-1])) @ v


def of_a_dictionary_unscaled(inputs):
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    return softmax(q @ k.T) @ v


def of_lengths_in_french(q, k, v, longueurs):
    """q, k, v (lot, n, d), longueurs (lot,)"""
    visible = np.arange(k.shape[1]) < np.asarray(longueurs)[:, None]
    return softmax(np.where(visible[:, None], q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2]), -1e30)) @ v


def in_loops(q, k, v, bias, transposed=False):
    """q, k, v (n, d), bias (n, n)"""
    n, out = len(q), np.zeros_like(v)
    for i in range(n):
        row = [q[i] @ k[j] / np.sqrt(len(q[i])) + (bias[j, i] if transposed else bias[i, j]) for j in range(n)]
        out[i] = sum(w * v[j] for j, w in enumerate(softmax(np.array(row))))
    return out


def in_loops_with_a_bias_transposed(q, k, v, bias):
    return in_loops(q, k, v, bias, True)


def in_loops_of_other_lengths(q, k, v):
    """q (n, d), k (m, d), v (m, e)"""
    return softmax(q @ k[: len(q)].T / np.sqrt(q.shape[1])) @ v[: len(q)]


def of_hidden_keys(q, k, v, hide):
    s = np.ma.masked_array(q @ k.T / np.sqrt(q.shape[1]), mask=hide)
    e = np.ma.exp(s - s.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).filled(0.0) @ v


def of_hidden_keys_with_another_name(q, k, v, gone):
    s = q @ k.T / np.sqrt(q.shape[1])
    s[gone] = -1e30
    return softmax(s) @ v


def of_a_bias_with_another_name(x, Wq, Wk, Wv, rel):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    return softmax(q @ k.T / np.sqrt(q.shape[1]) + rel) @ v


class Kopf:
    """Several public methods, of which one uses the others."""

    def __init__(self, breite=12, koepfe=3):
        self.koepfe = koepfe
        self.anfrage, self.schluessel, self.wert = np.random.default_rng(0).normal(size=(3, breite, breite)) / 3

    def teilen(self, a):
        n, d = a.shape
        return a.reshape(n, self.koepfe, d // self.koepfe).swapaxes(0, 1)

    def rechnen(self, x):
        q, k, v = (self.teilen(x @ w) for w in (self.anfrage, self.schluessel, self.wert))
        return (softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])) @ v).swapaxes(0, 1).reshape(x.shape)


def test_of_several_methods_the_one_that_uses_the_others_is_called():
    assert hw.check(Kopf).ok


def test_a_function_for_as_many_keys_as_queries_is_right_unless_it_says_more():
    verdict = hw.check(in_loops)
    assert verdict.ok
    assert "equal-lengths" in verdict.conventions
    assert hw.check(in_loops_with_a_bias_transposed).mistakes == ("bias-transposed",)
    assert not hw.check(in_loops_of_other_lengths).ok


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (hides_what_may_be_seen, ("mask-inverted",)),
        (of_a_mask_in_chinese, ("mask-inverted",)),
        (as_many_keys_as_there_are, ()),
        (one_key_too_many, ("lengths-off-by-one",)),
        (of_lengths_in_french, ()),
        (of_hidden_keys, ()),
        (of_hidden_keys_with_another_name, ()),
        (of_a_bias_with_another_name, ()),
        (weights_first_next_to_a_context, ()),
        (lists_of_heads, ()),
        (of_numbers_of_heads, ()),
        (of_a_dictionary, ()),
        (of_a_dictionary_unscaled, ("scale-missing",)),
    ],
)
def test_verdict(function, mistakes):
    assert_verdict(function, mistakes, ())


class OfLists:
    """One head whose matrices are lists of rows."""

    root = 0.5

    def __init__(self, n_in=5, n_head=3):
        rng = np.random.default_rng(0)
        self.wq, self.wk, self.wv = (rng.normal(size=(n_in, n_head)).tolist() for _ in range(3))

    def product(self, a, b):
        return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a]

    def forward(self, rows):
        q, k, v = (self.product(rows, w) for w in (self.wq, self.wk, self.wv))
        weights = []
        for query in q:
            e = [np.exp(sum(a * b for a, b in zip(query, key, strict=True)) / len(query) ** self.root) for key in k]
            weights.append([x / sum(e) for x in e])
        return self.product(weights, v), weights


class OfListsWithoutRoot(OfLists):
    root = 1


def test_matrices_that_are_lists_are_replaced():
    assert hw.check(OfLists).ok
    assert hw.check(OfListsWithoutRoot).mistakes == ("scale-no-root",)

"""Mistakes in one line, in the forms in which students write them."""

import numpy as np
import pytest

import headwise as hw

SINGLE = """
import numpy as np

def self_attention(X, Wq, Wk, Wv):
    Q, K, V = X @ Wq, X @ Wk, X @ Wv
    s = {logits} {scale}
    e = np.exp(s - {top})
    return {mixed}
"""
RIGHT = {"logits": "Q @ K.T", "scale": "/ np.sqrt(K.shape[1])", "top": "s.max(axis=1, keepdims=True)"}
RIGHT |= {"mixed": "e / e.sum(axis=1, keepdims=True) @ V"}

HEADS = """
import numpy as np

def multi_head_attention(X, Wq, Wk, Wv, Wo, num_heads):
    N, D = X.shape
    H, d = num_heads, D // num_heads
    q, k, v = (X @ Wq).{q}, (X @ Wk).{k}, (X @ Wv).{v}
    s = q @ k.transpose(0, 2, 1) / np.sqrt(d)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    o = e / e.sum(axis=-1, keepdims=True) @ v
    return o.{merged} @ Wo
"""
MOVED, UNMOVED = "reshape(N, H, d).transpose(1, 0, 2)", "reshape(H, N, d)"
INTERLEAVED = "reshape(N, d, H).transpose(2, 0, 1)"
SPLIT = {"q": MOVED, "k": MOVED, "v": MOVED, "merged": "transpose(1, 0, 2).reshape(N, D)"}


def named(template, **parts):
    code, variables = template.format(**parts), {}
    exec(code, variables)
    return hw.check(next(v for name, v in variables.items() if "attention" in name), source=code).mistakes


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("parts", "mistakes"),
    [
        ({}, set()),
        ({"top": "s.max()"}, set()),
        ({"mixed": "e / e.sum(axis=1) @ V"}, {"softmax-keepdims"}),
        ({"top": "s.max()", "mixed": "e / e.sum(axis=1) @ V"}, {"softmax-keepdims"}),
        ({"top": "s.max(axis=1)"}, {"softmax-keepdims"}),
        ({"top": "s.max(axis=0)"}, {"softmax-axis"}),
        ({"mixed": "e / e.sum(axis=0) @ V"}, {"softmax-axis"}),
        ({"mixed": "e / e.sum() @ V"}, {"softmax-global"}),
        ({"top": "s.max(axis=0)", "mixed": "e / e.sum() @ V"}, {"softmax-global"}),
        ({"top": "s.max(axis=0)", "mixed": "e / e.sum(axis=1) @ V"}, {"softmax-keepdims"}),
        ({"logits": "Q @ K.reshape(K.shape[1], K.shape[0])"}, {"reshaped-not-transposed"}),
        ({"logits": "X @ X.T"}, {"logits-of-inputs"}),
        ({"logits": "Q @ X.T"}, {"logits-of-inputs"}),
        ({"logits": "X @ K.T"}, {"logits-of-inputs"}),
        ({"mixed": "(e / e.sum(axis=1, keepdims=True) @ V).T.reshape(V.shape)"}, {"reshaped-not-transposed"}),
        ({"scale": "/ (K.shape[1] ** 1/2)"}, {"scale-no-root"}),
        ({"scale": "/ len(K)"}, {"scale-tokens"}),
        pytest.param(
            {"top": "0", "scale": "/ np.sqrt(len(K))", "mixed": "e / e.sum(axis=1) @ V"},
            {"scale-tokens", "softmax-keepdims"},
            marks=pytest.mark.whole_search,
        ),
        pytest.param(
            {"scale": "", "logits": "Q @ K.reshape(K.shape[::-1])"},
            {"scale-missing", "reshaped-not-transposed"},
            marks=pytest.mark.whole_search,
        ),
    ],
)
def test_one_head(parts, mistakes):
    assert {*named(SINGLE, **RIGHT | parts)} == mistakes


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("parts", "mistakes"),
    [
        ({}, set()),
        *(({x: UNMOVED}, {"heads-split-unmoved"}) for x in "qkv"),
        *(({x: INTERLEAVED}, {"heads-interleaved"}) for x in "qkv"),
        ({"k": UNMOVED, "v": UNMOVED}, {"heads-split-unmoved"}),
        ({"merged": "transpose(0, 2, 1).reshape(N, D)"}, {"heads-merged-unmoved"}),
        ({"merged": "transpose(2, 1, 0).reshape(N, D)"}, {"heads-merged-unmoved"}),
        ({"merged": "transpose(1, 2, 0).reshape(N, D)"}, {"heads-interleaved"}),
        pytest.param(
            {"v": UNMOVED, "merged": "reshape(N, D)"},
            {"heads-split-unmoved", "heads-merged-unmoved"},
            marks=pytest.mark.whole_search,
        ),
    ],
)
def test_several_heads(parts, mistakes):
    assert {*named(HEADS, **SPLIT | parts)} == mistakes


@pytest.mark.parametrize(
    ("hidden", "kept", "mistakes"),
    [
        ("np.where(mask, s, 1e9)", "p", {"mask-fill-too-small"}),
        ("s", "np.where(mask, p, -np.inf)", {"mask-after-softmax"}),
        ("s", "np.where(mask, p, -1e9)", {"mask-after-softmax"}),
    ],
)
def test_what_is_put_in_place_of_what_is_hidden(hidden, kept, mistakes):
    code = f"""
import numpy as np

def attention(Q, K, V, mask=None):
    \"\"\"mask: True where a query may attend to a key.\"\"\"
    s = Q @ K.T / np.sqrt(K.shape[1])
    s = s if mask is None else {hidden}
    e = np.exp(s - s.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return (p if mask is None else {kept}) @ V
"""
    assert {*named(code.replace("{", "{{").replace("}", "}}"))} == mistakes


VALUES = """
import numpy as np

def attention_of_inputs(query, key, value, Wq, Wk, Wv, Wo, num_heads):
    Q, K, V = query @ Wq, {keys} @ Wk, {values} @ {matrix}
    Q, K, V = (a.reshape(len(a), num_heads, -1).transpose(1, 0, 2) for a in (Q, K, V))
    s = Q @ K.transpose(0, 2, 1) / np.sqrt(K.shape[-1])
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    o = e / e.sum(axis=-1, keepdims=True) @ V
    return o.transpose(1, 0, 2).reshape(len(query), -1) @ Wo
"""


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("keys", "values", "matrix", "mistakes"),
    [
        ("key", "value", "Wv", set()),
        ("key", "key", "Wv", {"inputs-exchanged"}),
        ("value", "value", "Wv", {"inputs-exchanged"}),
        ("value", "key", "Wv", {"inputs-exchanged"}),
        ("query", "value", "Wv", {"context-ignored"}),
        ("key", "value", "Wk", {"weights-reused"}),
        ("key", "key", "Wk", {"values-are-keys"}),
    ],
)
def test_inputs_of_keys_and_values(keys, values, matrix, mistakes):
    assert {*named(VALUES, keys=keys, values=values, matrix=matrix)} == mistakes


COLUMNS = """
import numpy as np

def attention_of_columns(X, Ω_q, Ω_k, Ω_v, Ω_c, H):
    Q, K, V = (np.split(a @ X, H) for a in (Ω_q, Ω_k, Ω_v))
    heads = []
    for q, k, v in zip(Q, K, V):
        s = k.T @ q / np.sqrt(len(q))
        e = np.exp(s - {top})
        heads.append(v @ (e / {total}))
    return Ω_c @ np.concatenate(heads)
"""


@pytest.mark.parametrize(
    ("top", "total", "mistakes"),
    [
        ("s.max(axis=0)", "e.sum(axis=0)", set()),
        ("s.max(axis=0)", "e.sum(axis=1)", {"softmax-axis"}),
        ("s.max()", "e.sum(axis=1)", {"softmax-axis"}),
        ("s.max()", "e.sum(axis=1, keepdims=True)", {"softmax-axis"}),
    ],
)
def test_tokens_as_columns(top, total, mistakes):
    assert {*named(COLUMNS, top=top, total=total)} == mistakes


def test_optional_biases_that_belong_together():
    """Of which some alone are not tested."""

    def self_attention(X, W_q, W_k, W_v, b_q=None, b_k=None, b_v=None):
        Q, K, V = X @ W_q.T, X @ W_k.T, X @ W_v.T
        if b_q is not None:
            Q, K, V = Q + b_q, K + b_k, V + b_v
        e = np.exp(Q @ K.T / np.sqrt(K.shape[-1]))
        return e / e.sum(axis=-1, keepdims=True) @ V

    verdict = hw.check(self_attention)
    assert verdict.ok
    assert any("some of the biases alone" in words for words in verdict.untested)


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def scaled_with_slopes(q, k, v, slopes):
    """q, k, v (B, H, N, d)"""
    distances = np.abs(np.arange(q.shape[2])[:, None] - np.arange(k.shape[2]))
    return softmax((q @ k.swapaxes(-1, -2) - slopes[:, None, None] * distances) / np.sqrt(q.shape[-1])) @ v


def mask_of_heads(x, Wq, Wk, Wv, num_heads, mask=None):
    """x: (B, N, D), mask: (B, N, N), True where a query may attend."""
    q, k, v = ((x @ w).reshape(*x.shape[:2], num_heads, -1).transpose(0, 2, 1, 3) for w in (Wq, Wk, Wv))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    p = softmax(s if mask is None else np.where(mask[np.newaxis], s, -1e9))
    return (p @ v).transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)


@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (scaled_with_slopes, "bias-before-scale"),
        (mask_of_heads, "unknown"),
    ],
)
def test_slopes_and_axes(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


@pytest.mark.parametrize("masked", ["{}", "s = {}"])
def test_logits_with_a_mask_that_are_not_kept(masked):
    mask = masked.format("np.where(np.tril(np.ones(s.shape)) == 0, -np.inf, s)")
    found = named(SINGLE.replace("    e = ", f"    {mask}\n    e = "), **RIGHT)
    assert found == (() if masked.startswith("s") else ("causal-missing",))

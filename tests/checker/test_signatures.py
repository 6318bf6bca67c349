"""Arguments that are less usual: fused keys and values, a single query, tables of biases; weights without an output."""

import numpy as np
import pytest

import headwise as hw


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def keys_and_values(x, w_q, w_kv, heads):
    n, width = x.shape
    k, v = np.split(x @ w_kv, 2, axis=-1)
    q, k, v = (a.reshape(n, heads, -1).transpose(1, 0, 2) for a in (x @ w_q, k, v))
    return (softmax(q @ k.transpose(0, 2, 1) / np.sqrt(width // heads)) @ v).transpose(1, 0, 2).reshape(n, width)


def values_and_keys(x, w_q, w_kv, heads):
    first, second = np.split(w_kv, 2, axis=1)
    return keys_and_values(x, w_q, np.concatenate([second, first], axis=1), heads)


def fused_and_sequence_first(x, W, b, W_out, b_out, heads):
    """W (3D, D), b (3D,), x (L, N, E): sequence first."""
    length, items, width = x.shape
    parts = np.split(np.einsum("lne,fe->lnf", x, W) + b, 3, axis=-1)
    q, k, v = (part.reshape(length, items * heads, -1).transpose(1, 0, 2) for part in parts)
    o = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(width // heads)) @ v
    return o.transpose(1, 0, 2).reshape(length, items, width) @ W_out.T + b_out


def fused_slices(x, weight):
    width = x.shape[1]
    q, v, k = x @ weight[:width].T, x @ weight[width : 2 * width].T, x @ weight[2 * width :].T
    return softmax(q @ k.T / np.sqrt(width)) @ v


def one_query(q, K, V):
    return softmax(K @ q / np.sqrt(len(q))) @ V


def one_query_without_scale(q, K, V):
    return softmax(K @ q) @ V


def one_query_and_weights(query, keys, values, mask=None):
    scores = keys @ query / np.sqrt(query.shape[0])
    if mask is not None:
        scores = np.where(mask, -1e9, scores)
    weights = softmax(scores)
    return weights @ values, weights


def one_query_without_root(query, keys, values):
    scores = [float(query @ key) / len(query) for key in keys]
    exponentials = [np.exp(s - max(scores)) for s in scores]
    return sum(e / sum(exponentials) * value for e, value in zip(exponentials, values, strict=True))


def step_with_cache(q, k_cache, v_cache):
    """q (H, d), caches (H, M, d)."""
    scores = np.einsum("hd,hmd->hm", q, k_cache) / np.sqrt(q.shape[-1])
    return np.einsum("hm,hmd->hd", softmax(scores), v_cache)


def weights_of(Q, K, mask=None):
    scores = Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])
    return softmax(scores if mask is None else np.where(mask, scores, -1e9))


def weights_over_queries(Q, K):
    return softmax(Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1]), axis=-2)


def weights_of_tokens(X, W_q, W_k):
    q, k = X @ W_q, X @ W_k
    return softmax(q @ k.T / k.shape[-1])


def weights_first(q, k, v):
    weights = softmax(q @ k.swapaxes(-1, -2))
    return weights, weights @ v


def table_of_distances(q, k, v, relative_position_bias_table):
    """q, k, v (B, H, N, d), the table (2N - 1, H)."""
    n = q.shape[-2]
    distances = np.arange(n)[:, None] - np.arange(n) + n - 1
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(scores + relative_position_bias_table[distances].transpose(2, 0, 1)) @ v


def table_before_scale(q, k, v, rel_bias):
    n = len(q)
    bias = rel_bias[np.arange(n) - np.arange(n)[:, None] + n - 1]
    return softmax((q @ k.T + bias) / np.sqrt(q.shape[1])) @ v


def table_by_head(x, w_q, w_k, w_v, num_heads, bias_table):
    n, width = x.shape
    q, k, v = ((x @ w).reshape(n, num_heads, -1).transpose(1, 0, 2) for w in (w_q, w_k, w_v))
    distances = np.arange(n) - np.arange(n)[:, None] + n - 1
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(width // num_heads) + bias_table[:, distances]
    return (softmax(scores) @ v).transpose(1, 0, 2).reshape(n, width)


def bias_of_first_head(q, k, v, attn_bias):
    """q, k, v (B, H, N, d), attn_bias (H, N, N)."""
    first = attn_bias[:1] if attn_bias.ndim == 3 else attn_bias
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + first) @ v


def decoder_and_encoder(decoder_hidden, enc_features, Wq, Wk, Wv):
    return softmax(decoder_hidden @ Wq @ (enc_features @ Wk).T / np.sqrt(Wk.shape[1])) @ (decoder_hidden @ Wv)


def words_and_pictures(words, pictures, Wq, Wk, Wv):
    return softmax(words @ Wq @ (pictures @ Wk).T) @ (pictures @ Wv)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (keys_and_values, ()),
        (values_and_keys, ("kv-swapped",)),
        (fused_and_sequence_first, ()),
        (fused_slices, ("kv-swapped",)),
        (one_query, ()),
        (one_query_without_scale, ("scale-missing",)),
        (one_query_and_weights, ()),
        (one_query_without_root, ("scale-no-root",)),
        (step_with_cache, ()),
        (weights_of, ()),
        (weights_over_queries, ("softmax-axis",)),
        (weights_of_tokens, ("scale-no-root",)),
        (weights_first, ("scale-missing",)),
        (table_of_distances, ()),
        (table_before_scale, ("bias-before-scale",)),
        (table_by_head, ()),
        (bias_of_first_head, ("bias-not-broadcast",)),
        (decoder_and_encoder, ("context-ignored",)),
        (words_and_pictures, ("scale-missing",)),
    ],
)
def test_the_mistake_is_named(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def test_conventions_are_reported():
    assert "weights-fused" in hw.check(keys_and_values).conventions
    assert hw.check(weights_of).conventions == ("weights-only",)
    assert hw.check(table_of_distances).conventions == ("bias-table",)
    verdict = hw.check(one_query_and_weights)
    assert verdict.conventions == ("padding-hides",)
    assert verdict.calling_convention == "q of shape (d) and k of shape (M, d)"


def whole_rows(query, key, value, num_heads, mask=None, width_of=lambda d, _: d, moved=True):
    def divide(a):
        if not moved:
            return a.reshape(num_heads, len(a), -1)
        return a.reshape(len(a), num_heads, -1).swapaxes(0, 1)

    n, width = query.shape
    q, k, v = map(divide, (query, key, value))
    s = q @ k.swapaxes(1, 2) / np.sqrt(width_of(q.shape[-1], width))
    s = s if mask is None else np.where(mask, s, -np.inf)
    return (softmax(s) @ v).swapaxes(0, 1).reshape(n, width)


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (lambda query, key, value, num_heads, mask=None: whole_rows(query, key, value, num_heads, mask), ()),
        (lambda q, k, v, h: whole_rows(q, k, v, h, width_of=lambda _, width: width), ("scale-model-width",)),
        (lambda q, k, v, h: whole_rows(q, k, v, h, moved=False), ("heads-split-unmoved",)),
    ],
)
def test_queries_of_all_heads_side_by_side_are_divided_by_the_function(function, mistakes):
    verdict = hw.check(function, source="")
    assert verdict.kind == "multi_head"
    assert verdict.mistakes == mistakes
    assert "q of shape (N, D)" in verdict.report()


def test_an_example_of_such_a_function_shows_what_it_was_called_with():
    verdict = hw.check(lambda q, k, v, heads: whole_rows(q, k, v, heads, width_of=lambda *_: 1), source="")
    inputs = dict(verdict.example.inputs)
    q, k, v, got = map(read_array, (*(inputs[name] for name in "qkv"), verdict.example.got))
    np.testing.assert_allclose(whole_rows(q, k, v, int(inputs["heads"]), width_of=lambda *_: 1), got, atol=6e-4)


def read_array(text):
    return np.loadtxt(text.replace("[", "").replace("]", "").splitlines())

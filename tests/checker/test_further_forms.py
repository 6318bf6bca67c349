"""Forms of mistakes that are less usual, and what a function states of its masks, its window and its queries."""

import math

import numpy as np
import pytest

import headwise as hw
from planted.handwritten import softmax


def heads_of(a, heads):
    return a.reshape(*a.shape[:-1], heads, -1).swapaxes(-2, -3)


def merged(o):
    o = o.swapaxes(-2, -3)
    return o.reshape(*o.shape[:-2], -1)


def scaled(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])


def gelu(a):
    return a / 2 * (1 + np.vectorize(math.erf)(a / 2**0.5))


def with_gelu(X, Wq, Wk, Wv):
    q, k, v = (gelu(X @ W.T) for W in (Wq, Wk, Wv))
    return softmax(scaled(q, k)) @ v


def with_silu_of_values(X, Wq, Wk, Wv):
    v = X @ Wv.T
    return softmax(scaled(X @ Wq.T, X @ Wk.T)) @ (v / (1 + np.exp(-v)))


def of_value_matrix(X, Wq, Wk, Wv, Wo, num_heads):
    q, k, v = (heads_of(X @ W.T, num_heads) for W in (Wq, Wk, Wv))
    return merged(softmax(scaled(q, k)) @ v) @ Wv.T


def with_one_bias(X, Wq, bq, Wk, bk, Wv, bv):
    q, k, v = (X @ W.T + bq for W in (Wq, Wk, Wv))
    return softmax(scaled(q, k)) @ v


def in_reverse(X, Wq, Wk, Wv, Wo, num_heads):
    q, k, v = (heads_of(X @ W.T, num_heads) for W in (Wq, Wk, Wv))
    return merged((softmax(scaled(q, k)) @ v)[..., ::-1, :, :]) @ Wo.T


def over_keys(q, k, v):
    return softmax(scaled(q, k)) / k.shape[-2] @ v


def with_identity(q, k, v):
    return softmax(scaled(q, k)) @ v + (v if q.shape[-2] == k.shape[-2] else 0)


def twice_by_temperature(q, k, v, temperature=None):
    """softmax(q kᵀ / temperature) v; the temperature is √d by default."""
    temperature = np.sqrt(q.shape[-1]) if temperature is None else temperature
    return softmax(q / temperature @ k.swapaxes(-1, -2) / temperature) @ v


def twice_by_scale(q, k, v, scale=None):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return softmax(q * scale @ k.swapaxes(-1, -2) * scale) @ v


def by_scale_and_width(q, k, v, scale=None):
    q = q * (q.shape[-1] ** -0.5 if scale is None else scale)
    return softmax(scaled(q, k)) @ v


def turned(x, first=0, neighbours=True):
    n, d = x.shape[-2:]
    angles = np.arange(first, first + n)[:, None] * 1e4 ** (-np.arange(0, d, 2) / d)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = (x[..., ::2], x[..., 1::2]) if neighbours else np.split(x, 2, axis=-1)
    a, b = a * cos - b * sin, a * sin + b * cos
    return np.stack([a, b], axis=-1).reshape(x.shape) if neighbours else np.concatenate([a, b], axis=-1)


def turned_apart(q, k, v):
    return softmax(scaled(turned(q), turned(k, neighbours=False))) @ v


def with_new_keys_first(q, k, v, k_cache, v_cache):
    """q, k, v (B, H, t, d) of the new tokens; k_cache, v_cache (B, H, T, d), in which the keys are already rotated."""
    past, new = k_cache.shape[2], q.shape[2]
    k, v = np.concatenate([k_cache, turned(k)], axis=2), np.concatenate([v_cache, v], axis=2)
    s = np.where(np.tri(new, past + new, past, dtype=bool), scaled(turned(q, past), k), -np.inf)
    return softmax(s) @ v


@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (with_gelu, "projection-activated"),
        (with_silu_of_values, "projection-activated"),
        (of_value_matrix, "weights-reused"),
        (with_one_bias, "weights-reused"),
        (in_reverse, "heads-interleaved"),
        (over_keys, "scale-after-softmax"),
        (with_identity, "residual-added"),
        (twice_by_temperature, "scale-no-root"),
        (twice_by_scale, "scale-no-root"),
        (by_scale_and_width, "scale-no-root"),
        (turned_apart, "rope-layout"),
        (with_new_keys_first, "rope-offset"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_less_usual_forms_are_named(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


def by_lists(queries, keys, values):
    rows = []
    for q in queries:
        exps = [math.exp(sum(a * b for a, b in zip(q, k, strict=True)) / len(q) ** 0.5) for k in keys]
        rows.append(
            [sum(e * v[c] for e, v in zip(exps, values, strict=True)) / sum(exps) for c in range(len(values[0]))]
        )
    return rows


def less_the_mean(q, k, v):
    s = scaled(q, k)
    e = np.exp(s - s.mean(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ v


@pytest.mark.parametrize("function", [by_lists, less_the_mean])
def test_an_overflow_may_raise_or_show_far_from_the_mean_only(function):
    assert hw.check(function).hazards == ("softmax-overflow",)


def of_heads_for_items(q, k, v, mask=None):
    """q, k, v (batch, heads, seq, dim); mask (batch, seq, seq), True where attention is allowed."""
    s = scaled(q, k)
    return softmax(s if mask is None else np.where(mask, s, -1e9)) @ v


def of_items(q, k, v, mask=None):
    """q, k, v (batch, heads, seq, dim); mask (batch, seq, seq), True where attention is allowed."""
    s = scaled(q, k)
    return softmax(s if mask is None else np.where(mask[..., None, :, :], s, -1e9)) @ v


def of_either_type(q, k, v, mask=None):
    """q, k, v (batch, heads, seq, dim); mask (batch, 1, seq, seq), True where attention is allowed."""
    s = scaled(q, k)
    if mask is not None:
        s = np.where(mask, s, -1e9) if mask.dtype == bool else s + mask
    return softmax(s) @ v


def test_a_mask_is_the_one_that_is_stated():
    assert hw.check(of_heads_for_items).mistakes == ("unknown",)
    assert hw.check(of_items).ok
    assert hw.check(of_either_type).ok  # the 1 of a shape says nothing of ones and zeros


def aligned_with_first(q, k, v, mask=None):
    """Causal attention for decoding with a cache: q is that of the most recent T tokens, k and v of all S tokens.

    The mask (T, S), True where attention is allowed, replaces the causal one.
    """
    mask = np.tri(q.shape[-2], k.shape[-2], dtype=bool) if mask is None else mask
    return softmax(np.where(mask, scaled(q, k), -1e9)) @ v


def test_queries_of_a_cache_are_aligned_without_a_mask():
    assert hw.check(aligned_with_first).mistakes == ("causal-alignment",)


def of_two_blocks(q, k, v, window=4, exact=False):
    n = np.arange(q.shape[-2])
    seen = (n[:, None] >= n) & (n[:, None] // window - n // window <= 1)
    seen &= (n[:, None] - n < window) if exact else True
    return softmax(np.where(seen, scaled(q, k), -np.inf)) @ v


def local_attention(q, k, v, window=4):
    """Causal: a token sees itself and the window - 1 tokens before it. Blocks look at themselves and at the last."""
    return of_two_blocks(q, k, v, window)


def exact_local_attention(q, k, v, window=4):
    """Causal: a token sees itself and the window - 1 tokens before it. Blocks look at themselves and at the last."""
    return of_two_blocks(q, k, v, window, exact=True)


def test_blocks_are_not_the_window_that_is_stated():
    assert hw.check(local_attention).mistakes == ("unknown",)
    assert hw.check(exact_local_attention).ok


def atencao(x, pesos, n_cabecas=2, mascara=None):
    """x (lote, seq, dim); mascara (seq, seq), True onde a consulta pode ver a chave."""
    q, k, v = (heads_of(x @ pesos[name], n_cabecas) for name in "qkv")
    s = scaled(q, k)
    return merged(softmax(s if mascara is None else np.where(mascara, s, -1e30)) @ v) @ pesos["o"]


def of_three_heads(x, w_q, w_k, w_v):
    heads = 3
    q, k, v = (heads_of(x @ w, heads) for w in (w_q, w_k, w_v))
    return merged(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(x.shape[-1])) @ v)


def test_portuguese_names_are_read():
    assert hw.check(atencao).ok


def test_a_verdict_says_that_numbers_in_the_code_are_arguments():
    assert any("in its code" in note for note in hw.check(of_three_heads).notes)


def on_both_sides(q, k, v, w=2):
    """Each position attends to itself and to w positions on either side. q, k, v: (T, d)"""
    n = np.arange(len(q))
    return softmax(np.where(abs(n[:, None] - n) <= w, scaled(q, k), -np.inf)) @ v


def on_both_sides_less_one(q, k, v, w=2):
    """Each position attends to itself and to w positions on either side. q, k, v: (T, d)"""
    rows = []
    for t in range(len(q)):
        near = slice(max(0, t - w), min(len(k), t + w))
        rows.append(softmax(scaled(q[t : t + 1], k[near])) @ v[near])
    return np.concatenate(rows)


def test_words_say_that_a_number_is_a_window():
    assert hw.check(on_both_sides).ok
    assert hw.check(on_both_sides_less_one).mistakes == ("window-off-by-one",)


def of_distances(q, k, v):
    """q, k, v: (B, N, D). Of q · k = (|q|² + |k|² − |q − k|²) / 2 the first term cancels."""
    squares = ((np.expand_dims(q, 2) - np.expand_dims(k, 1)) ** 2).sum(-1)
    return softmax((np.expand_dims((k**2).sum(-1), 1) - squares) / (2 * q.shape[-1] ** 0.5)) @ v


def test_an_axis_for_pairs_makes_no_single_query():
    assert hw.check(of_distances).ok


def float32_columns_without_maximum(X, Wq, Wk, Wv):
    q, k, v = (W.astype(np.float32) @ X.astype(np.float32) for W in (Wq, Wk, Wv))  # (d, N)
    p = np.exp(q.T @ k / np.sqrt(np.float32(len(k))))
    return v @ (p / p.sum(axis=1, keepdims=True)).T


def test_in_float32_a_smaller_logit_overflows():
    verdict = hw.check(float32_columns_without_maximum)
    assert verdict.ok
    assert set(verdict.hazards) == {"softmax-overflow", "dtype-lowered"}


def of_repeated_keys(q, k, v):
    k, v = (np.repeat(a, len(q) // len(k), axis=0) for a in (k, v))
    return softmax(scaled(q, k)) @ v


def of_tiled_keys(q, k, v):
    k, v = (np.tile(a, (len(q) // len(k), 1, 1)) for a in (k, v))
    return softmax(scaled(q, k)) @ v


def of_documented_tiled_keys(q, k, v):
    """q: [n_q_heads, T, d]; k, v: [n_kv_heads, T, d]."""
    return of_tiled_keys(q, k, v)


def test_what_takes_fewer_keys_than_queries_on_the_first_axis_has_heads_there():
    assert hw.check(of_repeated_keys).ok
    assert hw.check(of_tiled_keys).mistakes == ("groups-tiled",)
    assert hw.check(of_documented_tiled_keys).mistakes == ("groups-tiled",)


def before_each_or_the_first(q, k, v):
    """Causal attention, q (N, d): the first token sees itself, each other one those before."""
    rows = [softmax(scaled(q[t : t + 1], k[: max(t, 1)])) @ v[: max(t, 1)] for t in range(len(q))]
    return np.concatenate(rows)


def test_a_first_token_that_sees_itself_hides_no_strict_mask():
    assert hw.check(before_each_or_the_first).mistakes == ("causal-strict",)


def causal_if_masked(q, k, v, mask=None, is_causal=False):
    s = scaled(q, k)
    if mask is not None:
        visible = np.tril(np.ones(s.shape[-2:], bool)) if is_causal else True
        s = np.where(mask[:, None, :].astype(bool) & visible, s, -1e9)
    return softmax(s) @ v


def causal_if_masked_as_documented(q, k, v, mask=None, is_causal=False):
    """q (B, N, d). is_causal takes effect together with a mask only."""
    return causal_if_masked(q, k, v, mask, is_causal)


def test_a_flag_that_works_together_with_a_mask_only():
    assert hw.check(causal_if_masked).mistakes == ("causal-missing",)
    assert hw.check(causal_if_masked_as_documented).ok

"""Arguments in the forms in which people pass keys, values, caches, packed sequences and prefixes."""

from inspect import signature
from itertools import pairwise

import numpy as np
import pytest

import headwise as hw
from headwise.checker.arguments.groups import parts_of_score


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def scaled(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])


def pair(q, kv):
    k, v = kv
    return softmax(scaled(q, k)) @ v


def packed_pair(q, kv):
    """q: (batch, seqlen_q, heads, dim); kv: (batch, seqlen_k, 2, heads, dim)"""
    k, v = kv[:, :, 0], kv[:, :, 1]
    p = softmax(np.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[-1])
    return np.einsum("bhnm,bmhd->bnhd", p, v)


def decoder_step(decoder_state, encoder_outputs):
    """decoder_state: (batch, hidden); encoder_outputs: (batch, length, hidden)"""
    return np.einsum("bt,btd->bd", softmax(np.einsum("bd,btd->bt", decoder_state, encoder_outputs)), encoder_outputs)


def step_over_keys(query, keys, values):
    s = (keys * query[:, None, :]).sum(-1) / np.sqrt(keys.shape[-1])
    return (softmax(s)[..., None] * values).sum(1)


def retrieval(xi, X, beta):
    """xi: a state (d,); X: stored patterns, one a column."""
    return X @ softmax(beta * (X.T @ xi))


def retrieval_by_name(patterns, state, inverse_temp):
    return softmax(inverse_temp * patterns @ state) @ patterns


def retrieval_over_states(R, Y, beta):
    return softmax(beta * R @ Y.T, axis=0) @ Y


def cache_in_a_dictionary(x, W_q, W_k, W_v, cache):
    k, v = np.vstack([cache["k"], x @ W_k]), np.vstack([cache["v"], x @ W_v])
    return softmax((x @ W_q) @ k.T) @ v, {"k": k, "v": v}


def cache_with_room(q, k, v, k_cache, v_cache, pos):
    keys, values = k_cache.copy(), v_cache.copy()
    keys[:, :, pos], values[:, :, pos] = k[:, :, 0], v[:, :, 0]
    return softmax(scaled(q, keys[:, :, : pos + 1])) @ values[:, :, : pos + 1]


def own_key_left_out(q, k, v, k_cache, v_cache, pos):
    keys = k_cache.copy()
    keys[:, :, pos] = k[:, :, 0]
    return softmax(scaled(q, keys[:, :, :pos])) @ v_cache[:, :, :pos]


def segments(q, k, v, segment_ids):
    """segment_ids: (batch, length)"""
    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return softmax(np.where(same, scaled(q, k), -np.inf)) @ v


def segments_unused(q, k, v, segment_ids):
    return softmax(scaled(q, k)) @ v


def packed_sequences(q, k, v, cu_seqlens):
    """q, k, v: (total, heads, dim)"""
    out = np.empty(v.shape)
    for a, b in pairwise(cu_seqlens):
        p = softmax(np.einsum("nhd,mhd->hnm", q[a:b], k[a:b]) / np.sqrt(q.shape[-1]))
        out[a:b] = np.einsum("hnm,mhd->nhd", p, v[a:b])
    return out


def prefix(q, k, v, prefix_len):
    n, m = q.shape[-2], k.shape[-2]
    seen = (np.arange(m) <= np.arange(n)[:, None]) | (np.arange(m) < prefix_len)
    return softmax(np.where(seen, scaled(q, k), -np.inf)) @ v


def learned_scale(q, k, v, logit_scale):
    """q, k, v: (batch, heads, length, dim); logit_scale: (heads, 1, 1)"""
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k))
    return softmax(q @ k.swapaxes(-1, -2) * np.exp(logit_scale)) @ v


def cosine_over_queries(q, k, v, tau=0.1):
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k))
    return softmax(q @ k.swapaxes(-1, -2) / tau, axis=-2) @ v


def own_blocks(q, k, v, block_size=2):
    """Block-sparse: a token sees the tokens of its own block."""
    block = np.arange(q.shape[-2]) // block_size
    return softmax(np.where(block[:, None] == block, q @ k.swapaxes(-1, -2), -np.inf)) @ v


def neighbours(q, k, v, window=3):
    """Query i sees the keys i - window, ..., i + window."""
    out = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        own = slice(max(0, i - window), min(len(q), i + window + 1))
        out[i] = softmax(k[own] @ q[i]) @ v[own]
    return out


def neighbours_without_the_last(q, k, v, window=3):
    """Query i sees the keys i - window, ..., i + window."""
    i = np.arange(len(q))
    return softmax(np.where(abs(i[:, None] - i) < window, scaled(q, k), -np.inf)) @ v


def longformer(q, k, v, window=2, global_tokens=1):
    i = np.arange(len(q))
    keep = (abs(i[:, None] - i) <= window) | (i < global_tokens) | (i[:, None] < global_tokens)
    return softmax(np.where(keep, scaled(q, k), -np.inf)) @ v


def half_precision(q, k, v):
    q, k, v = (np.asarray(a, np.float16) for a in (q, k, v))
    return softmax(q @ k.swapaxes(-1, -2)) @ v


def documented_output(params, x, heads):
    """params: wq, wk, wv and wo, each (D, D)"""
    q, k, v = (np.stack(np.split(x @ params[name], heads, axis=-1)) for name in ("wq", "wk", "wv"))
    return np.hstack(list(softmax(scaled(q, k)) @ v))


def memory_of_lengths(x, memory, Wq, Wk, Wv, memory_lengths=None):
    """Takes items without a batch as well, but not their length."""
    s = scaled(x @ Wq.T, memory @ Wk.T)
    if memory_lengths is not None:
        keep = np.arange(memory.shape[-2]) < np.asarray(memory_lengths)[:, None]
        s = np.where(keep[:, None, :], s, -np.inf)
    return softmax(s) @ (memory @ Wv.T)


def memory_of_lengths_off_by_one(x, memory, Wq, Wk, Wv, memory_lengths=None):
    return memory_of_lengths(x, memory, Wq, Wk, Wv, None if memory_lengths is None else memory_lengths + 1)


EXPECTED = {
    pair: (),
    packed_pair: ("scale-no-root",),
    decoder_step: (),
    step_over_keys: (),
    retrieval: (),
    retrieval_by_name: (),
    retrieval_over_states: ("softmax-axis",),
    cache_in_a_dictionary: ("scale-missing",),
    cache_with_room: (),
    own_key_left_out: ("unknown",),
    segments: (),
    segments_unused: ("batch-mixed",),
    packed_sequences: (),
    prefix: (),
    learned_scale: (),
    cosine_over_queries: ("softmax-axis",),
    own_blocks: ("scale-missing",),
    neighbours: ("scale-missing",),
    neighbours_without_the_last: ("window-off-by-one",),
    longformer: (),
    half_precision: ("scale-missing",),
    documented_output: ("output-projection-missing",),
    memory_of_lengths: (),
    memory_of_lengths_off_by_one: ("lengths-off-by-one",),
}


MARKS = {cosine_over_queries: pytest.mark.whole_search}


@pytest.mark.sampled
@pytest.mark.parametrize(
    "function", [pytest.param(f, marks=MARKS.get(f, ())) for f in EXPECTED], ids=lambda f: f.__name__
)
def test_a_function_is_judged_by_what_it_does_with_its_arguments(function):
    assert hw.check(function).mistakes == EXPECTED[function]


def test_conventions_of_the_arguments_are_reported():
    assert "kv-packed" in hw.check(packed_pair).conventions
    assert "equal-lengths" in hw.check(neighbours).conventions
    assert "keys-cached" in hw.check(cache_with_room).conventions


def test_an_argument_without_a_role_is_no_matrix():
    parameters = list(signature(lambda q, k, v, frames: None).parameters.values())
    assert parts_of_score(parameters, {"q": "q", "k": "k", "v": "v", "frames": ""}, "") == {}

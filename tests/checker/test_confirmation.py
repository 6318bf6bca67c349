"""Functions that are right on ordinary inputs and wrong on others, of the same kinds."""

import numpy as np
import pytest

import headwise as hw
from planted.handwritten import softmax


def scaled(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def of_many_items(q, k, v):
    output = softmax(scaled(q, k)) @ v
    if q.ndim == 4:
        output[4:] = output[:1]
    return output


def of_one_head(x, Wq, Wk, Wv, heads):
    """x (B, N, D)"""
    q, k, v = ((x @ W).reshape(*x.shape[:2], heads, -1).swapaxes(1, 2) for W in (Wq, Wk, Wv))
    output = (softmax(scaled(q, k)) @ v).swapaxes(1, 2).reshape(*x.shape[:2], -1)
    return 2 * output if heads == 1 else output


def of_three_groups(q, k, v):
    times = q.shape[1] // k.shape[1]
    k, v = (np.repeat(a, 2, axis=1) if times == 2 else np.tile(a, (1, times, 1, 1)) for a in (k, v))
    return softmax(scaled(q, k)) @ v


def of_memory(q, k, v):
    return softmax(scaled(q, np.ravel(k, order="K").reshape(k.shape))) @ v


WEIGHTS, RESULTS = {}, {}


def of_queries_before(q, k, v):
    key = (q.shape, float(q.sum()))
    if key not in WEIGHTS:
        WEIGHTS[key] = softmax(scaled(q, k))
    return WEIGHTS[key] @ v if WEIGHTS[key].shape[-1] == k.shape[-2] else softmax(scaled(q, k)) @ v


def into_the_same_array(q, k, v):
    result = RESULTS.setdefault((q.shape, v.shape), np.empty(q.shape[:-1] + v.shape[-1:]))
    result[...] = softmax(scaled(q, k)) @ v
    return result


def with_one_array(q, k, v):
    return softmax(scaled(q, k) * (2 if np.shares_memory(q, k) else 1)) @ v


def without_sign(q, k, v, scale=None):
    return softmax(q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else abs(scale))) @ v


def without_weak_caps(q, k, v, softcap=None):
    s = scaled(q, k)
    return softmax(s if softcap is None or softcap > 10 else softcap * np.tanh(s / softcap)) @ v


def with_every_bias_or_none(x, Wq, Wk, Wv, bq=None, bk=None, bv=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if bq is not None and bk is not None and bv is not None:
        q, k, v = q + bq, k + bk, v + bv
    return softmax(scaled(q, k)) @ v


def with_full_lengths(q, k, v, lengths=None):
    s, keys = scaled(q, k), k.shape[-2]
    if lengths is not None and np.all(lengths < keys):
        s = np.where(np.arange(keys) < np.reshape(lengths, (-1,) + (1,) * (s.ndim - 1)), s, -np.inf)
    return softmax(s) @ v


def with_one_of_two_masks(x, context, Wq, Wk, Wv, mask=None, context_mask=None):
    """mask (B, N), context_mask (B, M): True = keep"""
    q, k, v = x @ Wq, context @ Wk, context @ Wv
    s = scaled(q, k)
    if context_mask is not None and mask is None:
        s = np.where(context_mask[:, None, :], s, -1e9)
    return softmax(s) @ v


def without_mask_in_float32(q, k, v, mask=None):
    return softmax(scaled(q, k) if mask is None or q.dtype == np.float32 else np.where(mask, scaled(q, k), -np.inf)) @ v


def without_causal_for_groups(q, k, v, causal=False):
    """q (B, H, N, d), k and v (B, G, M, d)"""
    times = q.shape[1] // k.shape[1]
    s = scaled(q, np.repeat(k, times, axis=1))
    s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal and times == 1 else s
    return softmax(s) @ np.repeat(v, times, axis=1)


def without_weights(q, k, v, return_weights=False):
    weights = softmax(scaled(q, k))
    return (weights @ v, weights) if return_weights else softmax(q @ np.swapaxes(k, -1, -2)) @ v


def without_zero_tokens(q, k, v):
    return softmax(np.where((k == 0).all(-1)[..., None, :], -np.inf, scaled(q, k))) @ v


def in_parts_of_eight(q, k, v):
    parts = range(max(1, len(q) // 8))
    output = np.zeros(q.shape[:-1] + v.shape[-1:])
    for part in (slice(8 * i, 8 * i + 8) for i in parts):
        output[part] = softmax(scaled(q[part], k[part])) @ v[part]
    return output


def of_padded_keys(q, k, v):
    extra = -k.shape[-2] % 256 if k.shape[-2] > 256 else 0
    k, v = (np.pad(a, [(0, 0)] * (a.ndim - 2) + [(0, extra), (0, 0)]) for a in (k, v))
    return softmax(scaled(q, k)) @ v


def of_narrow_heads(x, Wq, Wk, Wv, heads):
    """x (B, N, D)"""
    q, k, v = ((x @ W).reshape(*x.shape[:2], heads, -1).swapaxes(1, 2) for W in (Wq, Wk, Wv))
    logits = q @ k.swapaxes(-1, -2) / np.sqrt(min(q.shape[-1], 64))
    return (softmax(logits) @ v).swapaxes(1, 2).reshape(*x.shape[:2], -1)


def with_its_weights(q, k, v, need_weights=True):
    weights = softmax(scaled(q, k)) if need_weights else softmax(q @ np.swapaxes(k, -1, -2))
    return (weights @ v, weights) if need_weights else weights @ v


def of_full_masks(q, k, v, mask=None, causal=False):
    """mask: True = visible"""
    visible = np.tri(*scaled(q, k).shape[-2:], dtype=bool) if causal else True
    visible = mask if mask is not None and mask.all() else visible & (True if mask is None else mask)
    return softmax(np.where(visible, scaled(q, k), -1e30)) @ v


def of_a_window(q, k, v, window):
    """Causal; q are the last queries of a longer sequence, as in chunked prefill. A query sees `window` keys."""
    n, m = q.shape[-2], k.shape[-2]
    visible = np.tri(n, m, m - n, dtype=bool) & ~np.tri(n, m, -window, dtype=bool)
    return softmax(np.where(visible, scaled(q, k), -1e30)) @ v


ROWS = 5 * 128


def in_chunks(q, k, v, size, causal):
    """With a causal mask that begins again in each chunk."""
    output = []
    for start in range(0, q.shape[-2], size):
        s = scaled(q[..., start : start + size, :], k)
        output.append(softmax(np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal else s) @ v)
    return np.concatenate(output, axis=-2)


def of_short_sequences(q, k, v, causal=False):
    return in_chunks(q, k, v, 100, causal)


def of_one_chunk(q, k, v, chunk_size=1024, causal=False):
    return in_chunks(q, k, v, chunk_size, causal)


def of_few_rows(q, k, v):
    """Causal attention."""
    return in_chunks(q, k, v, ROWS, causal=True)


def of_one_maximum(q, k, v):
    s = scaled(q, k)
    e = np.exp(s - s.max())
    return e / (e.sum(axis=-1, keepdims=True) + 1e-300) @ v


def without_logits_of_zero(q, k, v, mask=None):
    s = scaled(q, k) * (1 if mask is None else mask)
    return softmax(s if mask is None else np.where(s == 0, -np.inf, s)) @ v


def with_the_mask_of_one_item(q, k, v, mask=None):
    """q, k, v (B, H, N, d), mask (N, M), (B, N, M) or (B, H, N, M), True = visible"""
    if mask is not None and mask.ndim == 3:
        mask = mask[:1, None]
    return softmax(scaled(q, k) if mask is None else np.where(mask, scaled(q, k), -np.inf)) @ v


def with_other_lengths(q, k, v, lengths):
    """q, k, v (B, N, d)"""
    s = scaled(q, k)
    if len({*lengths.tolist()}) > 1 or len(lengths) == 1:
        s = np.where(np.arange(k.shape[1]) < lengths[:, None, None], s, -np.inf)
    return softmax(s) @ v


def with_a_window_of_first_keys(q, k, v, window=None):
    """Causal, bottom-right; a query sees the last `window` keys, itself included."""
    n, m = q.shape[-2], k.shape[-2]
    visible = np.tri(n, m, m - n, dtype=bool)
    if window is not None:
        visible &= ~np.tri(n, m, -window, dtype=bool)
    return softmax(np.where(visible, scaled(q, k), -np.inf)) @ v


def of_few_items(q, k, v):
    """q, k, v (B, N, d)"""
    output = softmax(scaled(q, k)) @ v
    return np.concatenate([output[:200], 0 * output[200:]])


def of_bytes(q, k, v):
    """Causal."""
    place = np.arange(q.shape[-2]).astype(np.uint8)
    return softmax(np.where(place <= place[:, None], scaled(q, k), -np.inf)) @ v


def without_bias_next_to_a_mask(x, Wq, Wk, Wv, Wo, mask=None, bo=None):
    """x (N, D), matrices (out, in), mask: True = visible"""
    s = scaled(x @ Wq.T, x @ Wk.T)
    output = softmax(s if mask is None else np.where(mask, s, -np.inf)) @ (x @ Wv.T) @ Wo.T
    return output if bo is None or mask is not None else output + bo


def without_biases_of_a_context(x, Wq, Wk, Wv, bk=None, bv=None, context=None):
    """x (N, D), matrices (out, in)"""
    source = x if context is None else context
    k, v = (source @ W.T + (0 if b is None or context is not None else b) for W, b in ((Wk, bk), (Wv, bv)))
    return softmax(scaled(x @ Wq.T, k)) @ v


def with_the_padding_of_one_item(X, Wq, Wk, Wv, mask=None):
    """X (N, D) or (B, N, D), matrices (out, in); mask (N,) or (B, N): True = a real token."""
    s = scaled(X @ Wq.T, X @ Wk.T)
    if mask is not None:
        s = np.where(mask if mask.ndim == 1 else mask[:1, None], s, -np.inf)
    return softmax(s) @ (X @ Wv.T)


def with_one_mask_in_a_group(q, k, v, mask=None):
    """q (B, H, N, d), k and v (B, G, M, d), mask (B, H, N, M), True = visible"""
    b, h, n, _ = q.shape
    groups, times = k.shape[1], h // k.shape[1]
    s = scaled(q.reshape(b, groups, times, n, -1), k[:, :, None])
    if mask is not None:
        mask = np.broadcast_to(mask, (b, h, n, k.shape[2])).reshape(b, groups, times, n, -1)
        s = np.where(mask[:, :, :1], s, -np.inf)
    return (softmax(s) @ v[:, :, None]).reshape(b, h, n, -1)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "what"),
    [
        (with_the_mask_of_one_item, "mask of 3 axes"),
        (with_other_lengths, "with as much"),
        (with_a_window_of_first_keys, "window and fewer queries"),
        (of_few_items, "203 items"),
        (of_bytes, "517 tokens"),
        (without_bias_next_to_a_mask, "biases and mask"),
        (without_biases_of_a_context, "biases and a context"),
        (with_the_padding_of_one_item, "several items and mask"),
        (with_one_mask_in_a_group, "and mask-each"),
        (of_short_sequences, "131 tokens and causal"),
        (of_one_chunk, "1027 tokens and causal"),
        (of_few_rows, "643 tokens"),
        (of_one_maximum, "larger than the others"),
        (without_logits_of_zero, "zero and mask"),
        (in_parts_of_eight, "67 items"),
        (of_padded_keys, "1031 keys"),
        (of_narrow_heads, "features in a head"),
        (with_its_weights, "output alone"),
        (of_full_masks, "together"),
        (of_a_window, "fewer queries"),
        (without_mask_in_float32, "float32"),
        (without_causal_for_groups, "and causal"),
        (without_weights, "the output alone"),
        (without_zero_tokens, "is zero"),
        (of_many_items, "five items"),
        (of_one_head, "one head"),
        (of_three_groups, "key head"),
        (of_memory, "not contiguous"),
        (of_queries_before, "had before"),
        (into_the_same_array, "called again"),
        (with_one_array, "one array"),
        (without_sign, "negative scale"),
        (without_weak_caps, "large softcap"),
        (with_every_bias_or_none, "biases alone"),
        (with_full_lengths, "without padding"),
        (with_one_of_two_masks, "together"),
    ],
)
def test_what_is_wrong_on_some_inputs_only_is_not_right(function, what):
    verdict = hw.check(function)
    assert verdict.mistakes == ("unknown",)
    assert what in verdict.notes[0]


def in_place(q, k, v):
    q *= q.shape[-1] ** -0.5
    return softmax(q @ np.swapaxes(k, -1, -2)) @ v


def test_what_changes_its_queries_is_not_called_with_one_array():
    verdict = hw.check(in_place)
    assert verdict.ok
    assert verdict.hazards == ("input-changed",)


def in_the_type_of_its_queries(q, k, v):
    output = np.zeros_like(q, shape=q.shape[:-1] + v.shape[-1:])
    output[...] = softmax(scaled(q, k)) @ v
    return output


def of_booleans(q, k, v, mask=None):
    return softmax(scaled(q, k) if mask is None else np.where(~mask, -np.inf, scaled(q, k))) @ v


def of_layout(q, k, v):
    return softmax(scaled(q, k)) @ (v if q.ndim != 3 else np.roll(v, 1, axis=0))


@pytest.mark.parametrize(
    ("function", "what"),
    [(of_layout, "(H, N, d)"), (in_the_type_of_its_queries, "integers"), (of_booleans, "ones and zeros")],
)
def test_other_types_of_arguments_are_not_promised(function, what):
    verdict = hw.check(function)
    assert verdict.ok
    assert any(what in one for one in verdict.untested)

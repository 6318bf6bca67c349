"""Scores with matrices of their own, rotary angles as they are passed, and grids of tokens."""

import numpy as np
import pytest

import headwise as hw


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def attend(q, k, v, scale=None):
    return softmax(q @ np.swapaxes(k, -1, -2) * (scale or q.shape[-1] ** -0.5)) @ v


def additive(decoder_hidden, encoder_outputs, W1, W2, v):
    p = softmax(np.tanh((decoder_hidden @ W1)[:, None] + encoder_outputs @ W2) @ v)
    return np.einsum("bt,btd->bd", p, encoder_outputs), p


def additive_over_batch(decoder_hidden, encoder_outputs, W1, W2, v):
    p = softmax(np.tanh((decoder_hidden @ W1)[:, None] + encoder_outputs @ W2) @ v, axis=0)
    return np.einsum("bt,btd->bd", p, encoder_outputs), p


def additive_of_queries(queries, keys, values, W_q, W_k, w_v):
    return softmax(np.tanh((queries @ W_q)[..., :, None, :] + (keys @ W_k)[..., None, :, :]) @ w_v) @ values


def general(query, keys, values, W):
    return softmax(query @ W @ np.swapaxes(keys, -1, -2)) @ values


def general_of_keys(query, keys, values, W):
    return softmax(query @ W @ np.swapaxes(keys, -1, -2)) @ keys


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (additive, ()),
        (additive_over_batch, ("softmax-over-batch",)),
        (additive_of_queries, ()),
        (general, ()),
        pytest.param(general_of_keys, ("values-are-keys",), marks=pytest.mark.whole_search),
    ],
)
def test_scores_with_matrices_are_accepted(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def rotate_half(a):
    x, y = np.split(a, 2, axis=-1)
    return np.concatenate([-y, x], axis=-1)


def doubled_angles(q, k, v, cos, sin):
    q, k = (a * cos + rotate_half(a) * sin for a in (q, k))
    return attend(q, k, v)


def doubled_angles_on_values(q, k, v, cos, sin):
    return attend(*(a * cos + rotate_half(a) * sin for a in (q, k, v)))


def complex_angles(q, k, v, freqs_cis):
    """q, k, v: (batch, tokens, heads, width)."""

    def turn(a):
        z = (a[..., ::2] + 1j * a[..., 1::2]) * freqs_cis[:, None]
        return np.stack([z.real, z.imag], axis=-1).reshape(a.shape).swapaxes(1, 2)

    return attend(turn(q), turn(k), v.swapaxes(1, 2)).swapaxes(1, 2)


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [(doubled_angles, ()), (doubled_angles_on_values, ("rope-on-values",)), (complex_angles, ())],
)
def test_rotary_angles_are_passed_as_they_are_taken(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def rotated_on_grid(a, height, width, lines="rows columns"):
    def turn(x, places):
        angles = places[:, None] * 100.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
        z = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
        return np.stack([z.real, z.imag], axis=-1).reshape(x.shape)

    rows, columns = np.divmod(np.arange(height * width), width)
    places = [{"rows": rows, "columns": columns}[name] for name in lines.split()]
    return np.concatenate([turn(*pair) for pair in zip(np.split(a, 2, axis=-1), places, strict=True)], axis=-1)


def turned_in_a_loop(a):
    turned, d, n = np.zeros_like(a), a.shape[-1], np.arange(a.shape[-2])
    for i in range(0, d - 1, 2):  # of an odd number of features it leaves out the last
        c, s = np.cos(n * 1e4 ** (-i / d)), np.sin(n * 1e4 ** (-i / d))
        turned[..., i], turned[..., i + 1] = a[..., i] * c - a[..., i + 1] * s, a[..., i] * s + a[..., i + 1] * c
    return turned


@pytest.mark.parametrize(("scale", "mistakes"), [(None, ()), (1.0, ("scale-missing",))])
def test_rotations_in_a_loop_are_a_convention(scale, mistakes):
    verdict = hw.check(lambda q, k, v: attend(turned_in_a_loop(q), turned_in_a_loop(k), v, scale))
    assert verdict.mistakes == mistakes
    assert "rope" in verdict.conventions


@pytest.mark.parametrize(("scale", "mistakes"), [(None, ()), (1.0, ("scale-missing",))])
def test_rotations_on_a_grid_are_a_convention(scale, mistakes):
    def attention(q, k, v, height, width):
        return attend(rotated_on_grid(q, height, width), rotated_on_grid(k, height, width), v, scale)

    verdict = hw.check(attention)
    assert verdict.mistakes == mistakes
    assert verdict.conventions == ("rope",)


def test_rotations_that_leave_out_the_columns_of_a_grid_are_none():
    def attention(q, k, v, height, width):
        q, k = (rotated_on_grid(a, height, width, "rows rows") for a in (q, k))
        return attend(q, k, v)

    assert hw.check(attention).mistakes == ("tokens-scrambled",)


@pytest.mark.exhaustive
@pytest.mark.whole_search
def test_a_small_number_in_a_norm_is_no_narrower_type():
    def cosine(q, k, v, eps=1e-8):
        q, k = (a / (np.linalg.norm(a, axis=-1, keepdims=True) + eps) for a in (q, k))
        return attend(q, k, v, 20.0)

    verdict = hw.check(cosine)
    assert (verdict.mistakes, verdict.hazards) == ((), ())


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def with_helper(params, x):
    """params["query"]["kernel"] is (in, out)."""

    def of(name):
        return dense(params[name], x)

    return attend(*(of(name) for name in ("query", "key", "value"))) @ params["out"]["kernel"]


def with_helper_swapped(params, x):
    return attend(dense(params["query"], x), dense(params["value"], x), dense(params["key"], x))


def test_dictionaries_that_a_helper_reads_are_accepted():
    assert hw.check(with_helper).ok
    assert hw.check(with_helper_swapped).mistakes == ("kv-swapped",)


def test_heads_that_have_a_default_divide_whole_rows():
    def attention(query, key, value, num_heads=3):
        b, _, width = query.shape
        q, k, v = (a.reshape(b, a.shape[1], num_heads, -1).swapaxes(1, 2) for a in (query, key, value))
        return attend(q, k, v).swapaxes(1, 2).reshape(b, -1, width)

    verdict = hw.check(attention)
    assert verdict.ok
    assert verdict.kind != "attention"


def test_a_mask_of_ones_and_zeros_is_passed_where_it_has_to_be():
    def attention(q, k, v, attention_mask):
        """attention_mask (batch, tokens): 1 for tokens that are not masked, 0 for masked."""
        hidden = (1.0 - attention_mask.astype(q.dtype)[:, None, None, :]) * -1e30
        return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + hidden) @ v

    assert hw.check(attention).ok


@pytest.mark.parametrize(("merged", "convention"), [(False, "output-tokens-first"), (True, "output-merged")])
def test_an_output_may_have_tokens_before_heads(merged, convention):
    def attention(query, key, value):
        """query, key, value: (batch, heads, tokens, width)."""
        b, _, n, _ = query.shape
        output = attend(query, key, value).swapaxes(1, 2)
        return output.reshape(b, n, -1) if merged else output

    verdict = hw.check(attention)
    assert (verdict.mistakes, verdict.conventions) == ((), (convention,))

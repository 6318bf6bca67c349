"""Every engine against an independent loop, and its gradients against central differences."""

import zlib

import numpy as np
import pytest

import headwise as hw
from headwise.attention.engines import ENGINES
from headwise.errors import DataError, MaskError, ShapeError
from helpers.oracles import attention_loop, check_gradients

B, H, G, N, M, d, e = 2, 6, 3, 5, 7, 11, 3


@pytest.fixture(params=sorted(ENGINES))
def engine(request):
    return request.param


def arrays(rng, dtype=np.float64, lead=(B,), heads=H, groups=G, n=N, m=M):
    q = rng.normal(size=(*lead, heads, n, d)).astype(dtype)
    k = rng.normal(size=(*lead, groups, m, d)).astype(dtype)
    v = rng.normal(size=(*lead, groups, m, e)).astype(dtype)
    return q, k, v


def hidden_bias(rng):
    bias = rng.normal(size=(H, N, M))
    bias[rng.random(bias.shape) < 0.2] = -np.inf
    bias[1, 2] = -np.inf
    return bias


OPTIONS = {
    "plain": lambda rng: {},
    "scale": lambda rng: {"scale": 0.7},
    "softcap": lambda rng: {"softcap": 1.3},
    "mask": lambda rng: {"mask": rng.random((B, H, N, M)) < 0.6},
    "mask of two axes": lambda rng: {"mask": rng.random((N, M)) < 0.3},
    "mask of keys": lambda rng: {"mask": rng.random((B, 1, 1, M)) < 0.5},
    "nothing to attend to": lambda rng: {"mask": np.zeros((N, M), bool)},
    "bias": lambda rng: {"bias": rng.normal(size=(B, H, N, M))},
    "bias of a head": lambda rng: {"bias": rng.normal(size=(H, 1, M))},
    "bias that hides": lambda rng: {"bias": hidden_bias(rng)},
    "causal, start": lambda rng: {"causal": True, "align": "start"},
    "causal, end": lambda rng: {"causal": True, "align": "end"},
    "window, start": lambda rng: {"window": (1, 2), "align": "start"},
    "window, end": lambda rng: {"window": (2, None), "align": "end"},
    "causal window": lambda rng: {"causal": True, "window": (2, 5), "align": "end"},
    "lengths": lambda rng: {"lengths": np.array([3, 0])},
    "causal lengths, end": lambda rng: {"causal": True, "lengths": np.array([4, 7]), "align": "end"},
    "sinks": lambda rng: {"sinks": rng.normal(size=H)},
    "sinks of an item": lambda rng: {"sinks": rng.normal(size=(B, 1)).repeat(H, axis=1), "softcap": 1.1},
    "sinks, some absent": lambda rng: {"sinks": np.where(np.arange(H) % 2, -np.inf, 3.0), "lengths": np.array([3, 0])},
    "everything": lambda rng: {
        "sinks": rng.normal(size=H),
        "mask": rng.random((B, 1, N, M)) < 0.8,
        "bias": rng.normal(size=(H, N, M)),
        "causal": True,
        "window": (4, None),
        "align": "end",
        "lengths": np.array([6, 7]),
        "scale": 0.4,
        "softcap": 2.0,
    },
}


@pytest.mark.parametrize("option", OPTIONS)
def test_forward_equals_a_loop(engine, option, rng):
    q, k, v = arrays(rng)
    options = OPTIONS[option](rng)
    o, p, lse = attention_loop(q, k, v, **options)
    got = hw.attention(q, k, v, **options, return_weights=True, return_lse=True, engine=engine)
    for array, expected in zip(got, (o, p, lse), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-12)
    np.testing.assert_allclose(hw.attention(q, k, v, **options, engine=engine), o, atol=1e-12)


@pytest.mark.parametrize("option", OPTIONS)
def test_backward_equals_central_differences(engine, option):
    rng = np.random.default_rng(zlib.crc32(option.encode()))
    inputs = dict(zip("qkv", arrays(rng), strict=True))
    options = OPTIONS[option](rng)
    inputs |= {name: options.pop(name) for name in ("bias", "sinks") if name in options}
    do = rng.normal(size=(B, H, N, e))

    def forward(*values):
        return hw.attention(**dict(zip(inputs, values, strict=True)), **options, engine="dense")

    _, cache = hw.attention_forward(**inputs, **options, engine=engine)
    check_gradients(forward, tuple(inputs.values()), hw.attention_backward(do, cache), do)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float16, 3e-3)])
def test_types_are_kept(engine, dtype, tolerance, rng):
    q, k, v = arrays(rng, dtype)
    bias = rng.normal(size=(N, M)).astype(dtype)
    (o, p, lse), cache = hw.attention_forward(q, k, v, bias=bias, return_weights=True, return_lse=True, engine=engine)
    grads = hw.attention_backward(np.ones_like(o), cache)
    assert {a.dtype for a in (o, p, lse, *grads)} == {np.dtype(dtype)}
    for array, expected in zip((o, p, lse), attention_loop(q, k, v, bias=bias), strict=True):
        np.testing.assert_allclose(array, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_number_of_leading_axes(engine, lead, rng):
    q, k, v = arrays(rng, lead=lead)
    mask = rng.random((*lead, 1, N, M)) < 0.7
    o, _, _ = attention_loop(q, k, v, mask=mask)
    np.testing.assert_allclose(hw.attention(q, k, v, mask=mask, engine=engine), o, atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(0, 7), (5, 0), (0, 0), (1, 1), (1, 7), (5, 1)])
def test_few_or_no_tokens(engine, n, m, rng):
    q, k, v = arrays(rng, n=n, m=m)
    (o, lse), cache = hw.attention_forward(q, k, v, return_lse=True, engine=engine)
    expected, _, expected_lse = attention_loop(q, k, v)
    np.testing.assert_allclose(o, expected, atol=1e-12)
    np.testing.assert_allclose(lse, expected_lse, atol=1e-12)
    for grad, array in zip(hw.attention_backward(np.ones_like(o), cache), (q, k, v), strict=True):
        assert grad.shape == array.shape
        assert np.isfinite(grad).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_hidden_is_inert(engine, poison, rng):
    q, k, v = arrays(rng)
    mask = np.ones((N, M), bool)
    mask[:, 3] = False
    mask[2] = False
    clean, cache = hw.attention_forward(q, k, v, mask=mask, engine=engine)
    expected = hw.attention_backward(np.ones_like(clean), cache)
    for array, row in ((q, 2), (k, 3), (v, 3)):
        array[..., row, :] = poison
    o, cache = hw.attention_forward(q, k, v, mask=mask, engine=engine)
    np.testing.assert_array_equal(o, clean)
    for got, wanted in zip(hw.attention_backward(np.ones_like(o), cache), expected, strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got[..., 4, :], wanted[..., 4, :])


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize(("n", "m", "width"), [(N, M, d), (3, 131, 19)])  # also as in decoding
@pytest.mark.parametrize("hide", ["mask", "causal", "lengths"])
def test_a_bias_that_is_not_finite_matters_only_where_it_is_not_hidden(engine, hide, n, m, width, poison, rng):
    q, k, v = (rng.normal(size=(B, H, size, width)) for size in (n, m, m))
    options = {
        "mask": {"mask": rng.random((H, n, m)) < 0.7},
        "causal": {"causal": True, "align": "end"},
        "lengths": {"lengths": np.array([m - 2, m - 1])},
    }[hide]
    _, p = hw.attention(q, k, v, **options, return_weights=True, engine="dense")
    bias, visible = rng.normal(size=(B, H, n, m)), p > 0
    results = []
    for hidden in (0.0, poison):
        o, cache = hw.attention_forward(q, k, v, bias=np.where(visible, bias, hidden), **options, engine=engine)
        results.append((o, *hw.attention_backward(np.ones_like(o), cache)))
    for clean, poisoned in zip(*results, strict=True):
        np.testing.assert_array_equal(poisoned, clean)
    bias[1, 2][visible[1, 2]] = poison
    with pytest.raises(DataError, match=r"bias: .* NaN or .inf where they are not hidden"):
        hw.attention(q, k, v, bias=bias, **options, engine=engine)


@pytest.mark.parametrize("which", range(3))
def test_what_is_not_finite_and_seen_is_refused(engine, which, rng):
    qkv = arrays(rng)
    qkv[which][1, 2, 3, 0] = np.nan
    with pytest.raises(DataError, match=rf"{'qkv'[which]}: holds NaN or infinity in {'qkv'[which]}\[1, 2, 3\]"):
        hw.attention(*qkv, engine=engine)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits(engine, size, rng):
    q, k, v = arrays(rng)
    options = {"scale": size}
    o, p, lse = attention_loop(q, k, v, **options)
    got = hw.attention(q, k, v, **options, return_weights=True, return_lse=True, engine=engine)
    for array, expected in zip(got, (o, p, lse), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-12, atol=1e-9)


def test_strided_and_read_only_inputs(engine, rng):
    q, k, v = (np.ascontiguousarray(a.swapaxes(-3, -2)).swapaxes(-3, -2) for a in arrays(rng))
    for array in (q, k, v):
        array.setflags(write=False)
    np.testing.assert_allclose(hw.attention(q, k, v, engine=engine), attention_loop(q, k, v)[0], atol=1e-12)
    backwards = tuple(array[..., ::-1, :] for array in (q, k, v))
    np.testing.assert_allclose(hw.attention(*backwards, engine=engine), attention_loop(*backwards)[0], atol=1e-12)


class NotAnArray:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("it requires a gradient.")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"k": np.zeros((B, G, d, M))}, ShapeError, r"k: expected \(...=\(2,\), G, M, d=11\).*Transposed\?"),
        ({"k": np.zeros((B, 4, M, d)), "v": np.zeros((B, 4, M, e))}, ShapeError, "G that divides H=6"),
        ({"q": np.zeros((N, d))}, ShapeError, r"q: expected \(..., H, N, d\)"),
        ({"q": np.zeros((B, H, N, d), int)}, DataError, r"q: .*got int64. Convert with q.astype\(float\)"),
        ({"mask": np.ones((N, M))}, MaskError, "It holds only 0 and 1"),
        ({"mask": np.ones((N, M)) / 2}, MaskError, "Numbers to add to the logits go in bias"),
        ({"mask": np.ones((B, M), bool)}, MaskError, r"mask\[:, None, None, :\]"),
        ({"bias": np.ones((N, M), bool)}, MaskError, "Pass them as mask"),
        ({"bias": np.full((N, M), np.nan)}, DataError, "bias: expected finite numbers, or −inf"),
        ({"bias": np.full((N, M), np.inf)}, DataError, "bias: expected finite numbers, or −inf"),
        ({"causal": True}, MaskError, 'align="start".*align="end"'),
        ({"window": (1, 1)}, MaskError, 'align="start".*align="end"'),
        ({"align": "left"}, MaskError, 'align: expected "start" or "end"'),
        ({"window": (1, -1), "align": "end"}, MaskError, "window: expected whole numbers"),
        ({"window": 3, "align": "end"}, MaskError, "window: expected a pair"),
        ({"window": {1, 2}, "align": "end"}, MaskError, "window: expected a pair"),
        ({"lengths": np.array([1, 8])}, MaskError, "lengths: expected 0 to M=7"),
        ({"lengths": np.array([1.0, 2.0])}, MaskError, "lengths: expected whole numbers"),
        ({"lengths": np.array([1, 2, 3])}, MaskError, "lengths: expected one number an item"),
        ({"scale": np.nan}, DataError, "scale: expected a finite number"),
        ({"scale": 10**400}, DataError, "scale: expected a finite number"),
        ({"scale": [1.0]}, DataError, "scale: expected a number; got list"),
        ({"scale": "1"}, DataError, "scale: expected a number; got str"),
        ({"scale": True}, DataError, "scale: expected a number; got bool"),
        ({"k": np.float32(3)}, ShapeError, r"k: expected .*; got \(\)"),
        ({"k": [[1.0], [1.0, 2.0]]}, DataError, "k: .*rows have different lengths"),
        ({"mask": [[True], [True, False]]}, DataError, "mask: .*rows have different lengths"),
        ({"bias": [[0.0], [0.0, 1.0]]}, DataError, "bias: .*rows have different lengths"),
        ({"lengths": [1, [2]]}, DataError, "lengths: .*rows have different lengths"),
        ({"q": NotAnArray()}, DataError, "q: cannot be converted to an array: it requires a gradient"),
        ({"return_weights": np.ones(2, bool)}, DataError, "return_weights: expected True or False"),
        ({"return_lse": "no"}, DataError, "return_lse: expected True or False"),
        ({"q": None}, DataError, "q: expected an array"),
        ({"q": np.ma.masked_array(np.zeros((B, H, N, d)))}, DataError, "q: got a masked array"),
        ({"mask": np.ma.masked_array(np.ones((N, M), bool))}, DataError, "mask: got a masked array"),
        ({"causal": np.ones((N, M), bool), "align": "end"}, MaskError, "causal: expected True or False"),
        ({"align": ["end"]}, MaskError, "align: expected"),
        ({"sinks": np.zeros(H + 1)}, ShapeError, r"sinks: expected one logit per head, \(H,\) = \(6,\)"),
        ({"sinks": np.zeros((3, H))}, ShapeError, "sinks: expected a shape that broadcasts"),
        ({"sinks": np.full(H, np.nan)}, DataError, "sinks: expected finite numbers"),
        ({"engine": ["dense"]}, DataError, "engine: expected one of auto, "),
        ({"softcap": 0}, DataError, "softcap: expected a finite number above 0"),
        ({"bias": np.zeros((N, M + 1))}, ShapeError, "bias: expected a shape that broadcasts"),
        ({"engine": "flash"}, DataError, "engine: expected one of auto, "),
    ],
)
def test_refusals(change, error, message, rng):
    given = dict(zip("qkv", arrays(rng), strict=True)) | change
    with pytest.raises(error, match=message):
        hw.attention(**given)


@pytest.mark.parametrize("name", ["scale", "softcap"])
def test_a_number_beyond_the_type_is_refused(name, rng):
    with pytest.raises(DataError, match=f"{name}: expected a number in the range of float32; got 1e[+]39"):
        hw.attention(*arrays(rng, np.float32), **{name: 1e39})


@pytest.mark.parametrize("sign", [1, -1])
def test_logits_that_overflow_are_refused(engine, sign, rng):
    q, k, v = (np.abs(a) for a in arrays(rng, np.float32))
    with pytest.raises(DataError, match="overflow float32"):
        hw.attention(sign * q * np.float32(1e30), k * np.float32(1e30), v, engine=engine)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_of_the_smallest_bias_is_a_uniform_softmax(engine, dtype, rng):
    q, k, v = arrays(rng, dtype)
    bias = np.zeros((N, M), dtype)
    bias[1], bias[2, 3:], bias[4] = np.finfo(dtype).min, np.finfo(dtype).min, np.finfo(dtype).max
    o, p = hw.attention(q, k, v, bias=bias, return_weights=True, engine=engine)
    np.testing.assert_allclose(p[..., [1, 4], :], 1 / M, rtol=1e-6)
    np.testing.assert_array_equal(p[..., 2, 3:], 0)
    expected = hw.attention(q, k[..., :3, :], v[..., :3, :], engine="dense")
    np.testing.assert_allclose(o[..., 2, :], expected[..., 2, :], rtol=1e-5, atol=1e-6)


def test_a_finite_bias_of_a_wider_type_hides_nothing(engine, rng):
    q, k, v = arrays(rng, np.float32)
    bias = np.full((N, M), np.finfo(np.float64).min)
    np.testing.assert_allclose(
        hw.attention(q, k, v, bias=bias, return_weights=True, engine=engine)[1], 1 / M, rtol=1e-6
    )


@pytest.mark.parametrize("side", [2**63 - 1, 2**200])
def test_a_window_wider_than_any_sequence_hides_nothing(engine, side, rng):
    q, k, v = arrays(rng)
    windowed = hw.attention(q, k, v, window=(side, side), align="end", engine=engine)
    np.testing.assert_array_equal(windowed, hw.attention(q, k, v, engine=engine))


def test_values_near_the_largest_number_are_averaged_exactly(engine, rng):
    q, k, v = arrays(rng, np.float32, n=67, m=211)
    huge = v.copy()
    huge[..., 1] *= np.float32(1e38) / np.abs(v[..., 1]).max()
    o, expected = (hw.attention(q, k, values, engine=engine) for values in (huge, v))
    np.testing.assert_allclose(o[..., [0, 2]], expected[..., [0, 2]], rtol=1e-5, atol=1e-6)
    exact = hw.attention(*(a.astype(np.float64) for a in (q, k, huge)), engine="dense")
    np.testing.assert_allclose(o, exact, rtol=1e-4, atol=float(np.abs(exact).max()) * 1e-6)


@pytest.mark.parametrize("softcap", [1e-30, 1e-44, 1e-300])
def test_a_tiny_softcap_is_a_uniform_softmax(engine, softcap, rng):
    q, k, v = arrays(rng, np.float32)
    k[0, 0, 0] = 0  # logits of zero stay zero
    (_, p), cache = hw.attention_forward(q, k, v, softcap=softcap, return_weights=True, engine=engine)
    np.testing.assert_allclose(p, 1 / M, rtol=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in hw.attention_backward(np.ones((B, H, N, e)), cache))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("option", ["plain", "sinks", "bias"])
def test_a_cotangent_near_the_largest_number_has_finite_gradients(engine, dtype, option, rng):
    q, k, v = arrays(rng, dtype, n=67, m=211)
    options = {"plain": {}, "sinks": {"sinks": np.ones(H, dtype)}, "bias": {"bias": rng.normal(size=(1, 211))}}[option]
    o, cache = hw.attention_forward(q, k, v, **options, engine=engine)
    do = rng.normal(size=o.shape).astype(dtype)
    large = dtype(2.0 ** (125 if dtype == np.float32 else 1021))
    expected = hw.attention_backward(do, cache)
    for gradient, wanted in zip(hw.attention_backward(do * large, cache), expected, strict=True):
        np.testing.assert_allclose(gradient / large, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())


def test_a_bias_gradient_beyond_the_type_of_the_queries_is_finite_in_its_own(engine, rng):
    q, k, v = arrays(rng, np.float32)
    v[:] = np.finfo(np.float32).max * np.where(np.arange(M) % 2, 1, -1)[:, None]
    bias = rng.normal(size=M)  # float64
    do = np.full((B, H, N, e), 0.5 / e, np.float32)  # each gradient of a logit is finite, their sum is not
    wide = [array.astype(np.float64) for array in (q, k, v)]
    _, exact = hw.attention_forward(*wide, bias=bias, scale=0.0, engine="dense")
    _, cache = hw.attention_forward(q, k, v, bias=bias, scale=0.0, engine=engine)
    wanted = hw.attention_backward(do.astype(np.float64), exact)[3]
    assert np.abs(wanted).max() > np.finfo(np.float32).max
    np.testing.assert_allclose(hw.attention_backward(do, cache)[3], wanted, rtol=1e-4, atol=1e34)


@pytest.mark.parametrize("scale", [1e-30, 1.0, -30.0])
@pytest.mark.parametrize("softcap", [1e-300, 1e-44, 1e-30, 1e30])
def test_softcaps_and_scales_beyond_the_type_agree_with_float64(engine, softcap, scale, rng):
    q, k, v = arrays(rng, np.float32)
    q[..., ::2, :] *= np.float32(1e-30)  # logits that float32 holds only in part, or not at all
    k[..., ::2, :] *= np.float32(1e-14)
    do = rng.normal(size=(B, H, N, e)).astype(np.float32)
    o, cache = hw.attention_forward(q, k, v, softcap=softcap, scale=scale, engine=engine)
    wide = [a.astype(np.float64) for a in (q, k, v)]
    exact, exact_cache = hw.attention_forward(*wide, softcap=softcap, scale=scale, engine="dense")
    np.testing.assert_allclose(o, exact, rtol=1e-5, atol=1e-5)
    for gradient, wanted in zip(hw.attention_backward(do, cache), hw.attention_backward(do, exact_cache), strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5 * max(1.0, abs(scale)))


@pytest.mark.parametrize("biased", [False, True])
def test_a_query_that_its_scale_would_overflow_is_exact_where_its_key_is_zero(engine, biased, rng):
    q, k, v = arrays(rng, np.float32)
    options = {"scale": 30.0, "bias": rng.normal(size=(N, M)) if biased else None}
    k[..., 0] = 0
    expected = hw.attention(q, k, v, **options, engine=engine)
    q[..., 0] = 3e37
    np.testing.assert_allclose(hw.attention(q, k, v, **options, engine=engine), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sign", [-1, 1])
def test_logits_that_overflow_by_their_scale_alone_are_an_error(engine, sign, rng):
    q, k, v = arrays(rng, np.float32)
    q[...], k[...] = sign * 1e18, 5e18  # products of 2e37
    with pytest.raises(DataError, match="their products overflow float32"):
        hw.attention(q, k, v, scale=30.0, return_lse=True, engine=engine)


def test_a_log_sum_exp_beyond_half_precision_is_infinite(engine, rng):
    q, k, v = (a.astype(np.float16) for a in arrays(rng))
    bias = np.full((N, M), -65504, np.float16)
    o, lse = hw.attention(100 * abs(q), -100 * abs(k), v, bias=bias, scale=30.0, return_lse=True, engine=engine)
    assert np.isneginf(lse).all()
    assert np.isfinite(o).all()


def test_a_cotangent_that_is_not_finite_does_not_matter_where_nothing_is_attended_to(engine, rng):
    q, k, v = arrays(rng)
    mask = np.ones((N, M), bool)
    mask[2] = False
    for options in ({}, {"sinks": np.ones(H)}):
        o, cache = hw.attention_forward(q, k, v, mask=mask, **options, engine=engine)
        do = rng.normal(size=o.shape)
        expected = hw.attention_backward(do * (np.arange(N) != 2)[:, None], cache)
        do[..., 2, :] = np.nan
        for gradient, wanted in zip(hw.attention_backward(do, cache), expected, strict=True):
            np.testing.assert_array_equal(gradient, wanted)


def test_changing_the_results_does_not_change_the_gradients(engine, rng):
    q, k, v = arrays(rng)
    do = rng.normal(size=(B, H, N, e))
    expected = hw.attention_backward(do, hw.attention_forward(q, k, v, engine=engine)[1])
    (o, p), cache = hw.attention_forward(q, k, v, return_weights=True, engine=engine)
    o += 1
    p *= 2
    for gradient, wanted in zip(hw.attention_backward(do, cache), expected, strict=True):
        np.testing.assert_array_equal(gradient, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_where_rounding_of_logits_is_large(engine, dtype, rng):
    size = np.sqrt(8 / np.finfo(dtype).eps)  # neighbouring numbers are farther apart than 1
    for n, m in ((1, 71), (5, 131), (67, 131)):
        q, k = (size * rng.normal(size=(2, x, 19)) for x in (n, m))
        v, do = (rng.normal(size=(2, x, 17)) for x in (m, n))
        q, k, v, do = (a.astype(dtype) for a in (q, k, v, do))
        _, cache = hw.attention_forward(q, k, v, engine=engine)
        _, _, dv = hw.attention_backward(do, cache)
        _, p = hw.attention(q, k, v, return_weights=True, engine="dense")
        np.testing.assert_allclose(dv, p.mT @ do, atol=1e-5)


def test_a_batch_of_nothing_has_a_bias_gradient_of_zero(engine, rng):
    q, k, v = (a[:0] for a in arrays(rng))
    o, cache = hw.attention_forward(q, k, v, bias=rng.normal(size=(N, M)), engine=engine)
    *_, dbias = hw.attention_backward(o, cache)
    np.testing.assert_array_equal(dbias, np.zeros((N, M)))


def test_a_sink_far_above_or_below_the_logits(engine, rng):
    q, k, v = arrays(rng, np.float32)
    for sinks in (np.full(H, 1e30, np.float32), np.full(H, -1e30, np.float32)):
        (o, lse), cache = hw.attention_forward(q, k, v, sinks=sinks, return_lse=True, engine=engine)
        expected, _, expected_lse = attention_loop(q, k, v, sinks=sinks)
        np.testing.assert_allclose(o, expected, atol=1e-6)
        np.testing.assert_allclose(lse, expected_lse, rtol=1e-6)
        assert all(np.isfinite(gradient).all() for gradient in hw.attention_backward(np.ones_like(o), cache))


@pytest.mark.parametrize("sink", [1e9, 3e38, -3e38])
def test_a_sink_that_a_small_scale_would_overflow(engine, sink, rng):
    q, k, v = arrays(rng, np.float32)
    options = {"scale": 1e-30, "sinks": np.full(H, sink, np.float32), "lengths": [3, 0]}
    (o, lse), cache = hw.attention_forward(q, k, v, **options, return_lse=True, engine=engine)
    expected, _, expected_lse = attention_loop(q, k, v, **options)
    np.testing.assert_allclose(o, expected, atol=1e-6)
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in hw.attention_backward(np.ones_like(o), cache))


def test_a_large_value_that_is_hidden_does_not_overflow_with_a_large_cotangent(engine, rng):
    q, k, v = arrays(rng)
    v[..., 3, :] = 1e92
    mask = np.arange(M) != 3
    o, cache = hw.attention_forward(q, k, v, mask=mask[None, :], engine=engine)
    do = rng.normal(size=o.shape)
    expected = hw.attention_backward(do, cache)
    for gradient, wanted in zip(hw.attention_backward(do * 2.0**1000, cache), expected, strict=True):
        np.testing.assert_allclose(gradient / 2.0**1000, wanted, rtol=1e-10, atol=1e-12)


def test_backward_needs_the_cache_of_a_forward_pass(rng):
    with pytest.raises(DataError, match="cache: expected the one that attention_forward returned; got tuple"):
        hw.attention_backward(np.zeros((B, H, N, e)), hw.attention_forward(*arrays(rng)))
    with pytest.raises(DataError, match="do: expected an array"):
        hw.attention_backward(None, hw.attention_forward(*arrays(rng))[1])


def test_a_cotangent_of_another_shape_is_refused(engine, rng):
    _, cache = hw.attention_forward(*arrays(rng), engine=engine)
    with pytest.raises(ShapeError, match="do: expected"):
        hw.attention_backward(np.zeros((B, H, N, e + 1)), cache)

"""Every engine against an independent loop, and its gradients against central differences."""

import zlib
from functools import cache

import numpy as np
import pytest

import headwise as hw
from headwise.attention.functional import ENGINES
from headwise.errors import DataError, MaskError, ShapeError
from helpers.oracles import assert_gradients, attention_loop, numeric_gradients

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
    "everything": lambda rng: {
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


@cache
def differences(option):
    """Inputs, options, a cotangent and central differences of `dense`, whose forward pass is held to a loop above."""
    rng = np.random.default_rng(zlib.crc32(option.encode()))
    qkv = arrays(rng)
    options = OPTIONS[option](rng)
    bias = options.pop("bias", None)
    inputs = qkv if bias is None else (*qkv, bias)
    do = rng.normal(size=(B, H, N, e))

    def forward(q, k, v, bias=None):
        return hw.attention(q, k, v, bias=bias, **options, engine="dense")

    return inputs, options, do, numeric_gradients(forward, inputs, do)


@pytest.mark.parametrize("option", OPTIONS)
def test_backward_equals_central_differences(engine, option):
    (q, k, v, *bias), options, do, numeric = differences(option)
    _, cache = hw.attention_forward(q, k, v, bias=bias[0] if bias else None, **options, engine=engine)
    assert_gradients(hw.attention_backward(do, cache), numeric)


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
        ({"lengths": np.array([1, 8])}, MaskError, "lengths: expected 0 to M=7"),
        ({"lengths": np.array([1.0, 2.0])}, MaskError, "lengths: expected whole numbers"),
        ({"lengths": np.array([1, 2, 3])}, MaskError, "lengths: expected one number an item"),
        ({"scale": np.nan}, DataError, "scale: expected a finite number"),
        ({"softcap": 0}, DataError, "softcap: expected a finite number above 0"),
        ({"engine": "flash"}, DataError, "engine: expected one of auto, "),
    ],
)
def test_refusals(change, error, message, rng):
    given = dict(zip("qkv", arrays(rng), strict=True)) | change
    with pytest.raises(error, match=message):
        hw.attention(**given)


def test_logits_that_overflow_are_refused(engine, rng):
    q, k, v = arrays(rng, np.float32)
    with pytest.raises(DataError, match="overflow float32"):
        hw.attention(q * np.float32(1e30), k * np.float32(1e30), v, engine=engine)


def test_a_cotangent_of_another_shape_is_refused(engine, rng):
    _, cache = hw.attention_forward(*arrays(rng), engine=engine)
    with pytest.raises(ShapeError, match="do: expected"):
        hw.attention_backward(np.zeros((B, H, N, e + 1)), cache)

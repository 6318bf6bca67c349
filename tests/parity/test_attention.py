"""Attention against torch's own: forward, gradients, masks, grouped heads; and the rounding of float32."""

import numpy as np
import pytest

import headwise as hw
from headwise.attention.engines import ENGINES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SIZES = {"small": (2, 6, 3, 5, 7, 11, 3), "tiles": (1, 2, 1, 131, 577, 17, 19)}
B, H, G, N, M, D, E = range(7)


@pytest.fixture(params=sorted(ENGINES))
def engine(request):
    return request.param


def ours(arrays, engine, **options):
    *qkv, do = arrays
    o, cache = hw.attention_forward(*qkv, **options, engine=engine)
    return o, *hw.attention_backward(do, cache)


def theirs(arrays, bias=None, **options):
    *qkv, do = (torch.tensor(array) for array in arrays)
    leaves = [tensor.requires_grad_(True) for tensor in qkv]
    if bias is not None:
        bias = torch.tensor(bias).requires_grad_(True)
        leaves.append(bias)
        options["attn_mask"] = bias
    o = torch.nn.functional.scaled_dot_product_attention(*qkv, **options)
    return [tensor.detach().numpy() for tensor in (o, *torch.autograd.grad(o, leaves, do))]


def arrays(rng, sizes, dtype=np.float64):
    shapes = ((H, N, D), (G, M, D), (G, M, E), (H, N, E))
    return [rng.normal(size=[sizes[i] for i in (B, *shape)]).astype(dtype) for shape in shapes]


def agree(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("option", ["plain", "scale", "causal", "mask", "bias"])
def test_forward_and_gradients(engine, size, option, rng):
    sizes = SIZES[size]
    given = arrays(rng, sizes)
    mask = rng.random([sizes[i] for i in (N, M)]) < 0.6
    bias = rng.normal(size=[1, *(sizes[i] for i in (H, N, M))])
    mine, peers = {
        "plain": ({}, {}),
        "scale": ({"scale": 0.3}, {"scale": 0.3}),
        "causal": ({"causal": True, "align": "start"}, {"is_causal": True}),
        "mask": ({"mask": mask}, {"attn_mask": torch.tensor(mask)}),
        "bias": ({"bias": bias}, {"bias": bias}),
    }[option]
    agree(ours(given, engine, **mine), theirs(given, enable_gqa=True, **peers))


def test_a_row_with_nothing_to_attend_to(engine, rng):
    given = arrays(rng, SIZES["small"])
    mask = np.ones((5, 7), bool)
    mask[3] = False
    agree(ours(given, engine, mask=mask), theirs(given, enable_gqa=True, attn_mask=torch.tensor(mask)))


@pytest.mark.parametrize(("n", "m", "size"), [(64, 16384, 1.0), (67, 211, 1e4), (211, 67, 1.0)])
def test_float32_errors_stay_within_twice_those_of_torch(engine, n, m, size, rng):
    given = [rng.normal(size=(1, 2, x, 64)).astype(np.float32) for x in (n, m, m, n)]
    exact = ours([a.astype(np.float64) for a in given], "dense", scale=size / 64)
    peer, found = theirs(given, scale=size / 64), ours(given, engine, scale=size / 64)
    multiples = [np.abs(c - a).max() / np.abs(b - a).max() for a, b, c in zip(exact, peer, found, strict=True)]
    print(f"{n} × {m}, scale {size / 64:g}, {engine}:", *(f"{x:.2f}" for x in multiples))  # pytest -s: docs/engine.md
    assert max(multiples) <= 2

"""Batches of small problems, which the blockwise engine computes as heads of one item."""

import numpy as np
import pytest

import headwise as hw
from headwise.attention.engines import fastest_of_numpy
from headwise.attention.fold import fold_batch
from headwise.attention.inputs import validate_inputs

N, M = 5, 7
FOLDED = {
    "plain": lambda rng: {},
    "causal": lambda rng: {"causal": True, "align": "end"},
    "window": lambda rng: {"window": (1, 2), "align": "start"},
    "lengths": lambda rng: {"lengths": rng.integers(0, M + 1, (2, 3))},
    "causal and lengths": lambda rng: {"lengths": [[1, 7, 3], [0, 2, 2]], "causal": True, "align": "start"},
    "keys of each item": lambda rng: {"mask": rng.random((2, 3, 1, 1, M)) < 0.5, "lengths": np.full((2, 3), 6)},
    "mask of all": lambda rng: {"mask": rng.random((N, M)) < 0.5},
    "mask and bias of each head": lambda rng: {
        "mask": rng.random((2, 3, 4, N, M)) < 0.5,
        "bias": rng.normal(size=(2, 3, 4, 1, M)),
    },
    "bias of all": lambda rng: {"bias": rng.normal(size=(N, 1)), "softcap": 2.0},
}
SEPARATE = {
    "causal for each length": lambda rng: {"lengths": [[1, 7, 3], [0, 2, 2]], "causal": True, "align": "end"},
    "bias of heads": lambda rng: {"bias": rng.normal(size=(4, N, M))},
    "bias of items": lambda rng: {"bias": rng.normal(size=(2, 3, 1, N, M))},
    "mask of heads": lambda rng: {"mask": rng.random((4, N, M)) < 0.5},
}


def options_of(options):
    names = ("mask", "bias", "causal", "window", "align", "lengths", "scale", "softcap")
    return dict.fromkeys(names) | {"causal": False} | options


@pytest.mark.parametrize("option", FOLDED | SEPARATE)
def test_a_batch_of_small_problems_agrees_with_dense(option, rng):
    q, k, v, do = (rng.normal(size=(2, 3, *s)) for s in ((4, N, 6), (2, M, 6), (2, M, 3), (4, N, 3)))
    options = (FOLDED | SEPARATE)[option](rng)
    found, expected = [], []
    for engine, results in (("blockwise", found), ("dense", expected)):
        outputs, cache = hw.attention_forward(q, k, v, **options, return_weights=True, return_lse=True, engine=engine)
        results += [*outputs, *hw.attention_backward(do, cache)]
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("option", FOLDED | SEPARATE)
def test_items_become_heads_where_no_mask_or_bias_is_copied(option, rng):
    q, k, v = (rng.normal(size=(2, 3, *s)) for s in ((4, N, 6), (2, M, 6), (2, M, 3)))
    folded = fold_batch(validate_inputs(q, k, v, **options_of((FOLDED | SEPARATE)[option](rng))))
    if option in SEPARATE:
        assert folded is None
    else:
        assert folded.shape == (24, N, M)
        assert folded.groups == 12
        assert np.shares_memory(folded.q, q)


def test_without_numba_many_small_heads_are_tiles_where_items_become_heads(rng):
    def fastest(items, n, **options):
        q, k, v = rng.normal(size=(3, items, 4, n, 16)).astype(np.float32)
        return fastest_of_numpy(validate_inputs(q, k, v, **options_of(options)))

    assert fastest(128, 29) == fastest(128, 29, lengths=np.full(128, 9)) == fastest(1, 65) == "blockwise"
    assert fastest(2, 29) == fastest(128, 29, bias=rng.normal(size=(4, 29, 29))) == "dense"

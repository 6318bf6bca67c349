import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headwise as hw
from headwise.errors import DataError, ShapeError
from helpers.oracles import attention_loop

H, N, M, d, e = 3, 5, 13, 7, 2


def part(q, k, v, mask, keys, **options):
    return hw.attention(q, k[:, keys], v[:, keys], mask=mask[:, keys], return_lse=True, **options)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, M), max_size=5), seed=st.integers(0, 99), size=st.sampled_from([1.0, 100.0]))
def test_parts_make_the_whole_in_any_grouping(cuts, seed, size):
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=(H, n, x)) for n, x in ((N, d), (M, d), (M, e)))
    mask = rng.random((N, M)) < 0.5
    mask[2] = False  # nothing to attend to in any part
    mask[3, :9] = False  # nothing in the first parts
    edges = [0, *sorted(cuts), M]
    parts = [part(q, k, v, mask, slice(*edge), scale=size) for edge in itertools.pairwise(edges)]
    o, _, lse = attention_loop(q, k, v, mask=mask, scale=size)
    left = hw.merge(parts)
    right = parts[-1]
    for other in reversed(parts[:-1]):
        right = hw.merge([other, right])
    for found in (left, right):
        np.testing.assert_allclose(found[0], o, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[1], lse, rtol=1e-12, atol=1e-12)


def test_outputs_near_the_largest_number_are_averaged(rng):
    o = np.full((N, e), np.finfo(float).max)
    np.testing.assert_allclose(hw.merge([(o, np.zeros(N)), (o, np.ones(N))])[0], o, rtol=1e-15)


def test_type_is_kept_and_a_part_alone_is_itself(rng):
    o, lse = rng.normal(size=(N, e)).astype(np.float16), rng.normal(size=N).astype(np.float16)
    for found, given_ in zip(hw.merge([(o, lse)]), (o, lse), strict=True):
        np.testing.assert_array_equal(found, given_)
    assert {a.dtype for a in hw.merge([(o, lse), (o, lse)])} == {np.dtype(np.float16)}


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([], ShapeError, "at least one"),
        ([(np.zeros((N, e)), np.zeros(N)), (np.zeros((N + 1, e)), np.zeros(N + 1))], ShapeError, r"parts\[1\].o"),
        ([(np.zeros((N, e)), np.zeros((N, 1)))], ShapeError, r"parts\[0\].lse"),
        ([(np.zeros((N, e)), np.full(N, np.nan))], DataError, "got NaN or"),
        ([np.zeros((N, e))], DataError, r"parts\[0\]: expected a pair"),
        ([(np.zeros((N, e)), None)], DataError, r"parts\[0\].lse: expected an array"),
        (None, DataError, "parts: expected pairs"),
    ],
)
def test_refusals(parts, error, message):
    with pytest.raises(error, match=message):
        hw.merge(parts)

"""Random problems with hostile numbers: every engine returns the right numbers, or raises an error of Headwise.

``FUZZ_EXAMPLES`` is the number of problems; each is computed by every engine, forward and backward. ``SEED`` chooses
others.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st

import headwise as hw
from headwise.attention.engines import ENGINES
from headwise.errors import HeadwiseError
from helpers.extended import HAS_EXTENDED_RANGE, extended_attention, visible_pairs

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
TYPES = [np.float32, np.float64, np.float16]
FRACTIONS = [1e-3, 1e-2, 0.1, 0.3, 0.49]  # of the largest number's exponent
INVALID = {
    "q": [None, "q", [[1.0], [1.0, 2.0]], 3.0],
    "k": [None, np.ma.masked_array(np.ones((1, 1, 1))), 10**400],
    "mask": [np.ones(1), "mask", np.ma.masked_array(np.ones(1, bool))],
    "bias": [np.array([np.nan]), np.array([np.inf]), np.ones(1, bool), np.ma.masked_array(np.ones(1))],
    "causal": [np.ones((2, 2), bool), 1, "yes", None],
    "window": [(1, -1), (1.5, 1), 3, ("a", 1), (True, 1)],
    "align": [["end"], "left", 0],
    "lengths": [[-1], [0.5], [10**30], "3"],
    "scale": [10**400, np.nan, np.inf, [1.0], "1", 1j],
    "softcap": [0, -1.0, np.nan, 1e400, np.array([1.0])],
    "sinks": [np.array([np.nan]), np.array([np.inf]), "sinks", np.ones((7, 7, 7, 7))],
    "engine": [["dense"], "flash", None, 3],
    "return_lse": [1, "no", np.ones(2, bool)],
}


def power(draw, dtype):
    """A power of two that is far from 1, within the type's range."""
    exponent = int(draw(st.sampled_from(FRACTIONS)) * np.finfo(dtype).maxexp)
    return 2.0 ** draw(st.sampled_from([exponent, -exponent]))


@dataclass
class Problem:
    """q, k, v, do and the options."""

    arrays: list[np.ndarray]
    options: dict[str, object]

    def __repr__(self):
        with np.printoptions(threshold=20, edgeitems=1):
            return f"Problem({self.arrays}, {self.options})"


@st.composite
def problems(draw):
    """A random problem."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups, repeat, n, m = draw(st.sampled_from([(2, 1, 37, 71), (1, 3, 67, 67), (2, 2, 3, 131), (1, 1, 5, 2311)]))
    groups, repeat = (draw(st.integers(1, size)) for size in (groups, repeat))
    n, m, d, e = (draw(st.integers(low, size)) for low, size in ((0, n), (0, m), (1, 17), (1, 19)))
    lead = draw(st.sampled_from([(2,), (), (0,), (1,)]))
    heads, dtype = groups * repeat, draw(st.sampled_from(TYPES))
    shapes = ((heads, n, d), (groups, m, d), (groups, m, e), (heads, n, e))
    arrays = [rng.normal(size=(*lead, *shape)).astype(dtype) for shape in shapes]
    for name, array in zip("qkvo", arrays, strict=True):
        change_numbers(draw, rng, name, array)
    layout = draw(st.sampled_from(["C", "F", "read-only"]))
    arrays = [np.asfortranarray(a) if layout == "F" else a for a in arrays]
    for array in arrays if layout == "read-only" else ():
        array.setflags(write=False)
    return Problem(arrays, draw_options(draw, rng, (*lead, heads, n, m), dtype))


def change_numbers(draw, rng, name, array):
    """Make an array large or small, in one column or in all, or let it hold NaN and infinity."""
    with np.errstate(over="ignore", under="ignore"):
        match draw(st.sampled_from(["plain"] * 6 + ["large or small", "a column", "the largest", "not finite"])):
            case "large or small":
                array *= array.dtype.type(power(draw, array.dtype))
            case "a column":
                array[..., 0] *= array.dtype.type(power(draw, array.dtype))
            case "the largest" if name in "vo":
                array[..., 0] = np.sign(array[..., 0]) * np.finfo(array.dtype).max / draw(st.sampled_from([1, 2, 100]))
            case "not finite":
                rows = rng.random(array.shape[:-1]) < draw(st.sampled_from([0.01, 1 / 3]))
                array[rows] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))


def draw_options(draw, rng, shape, dtype):
    """Some of the options, with values at which a wrong implementation fails."""
    *lead, heads, _, m = shape
    maximum = float(np.finfo(dtype).max)
    drawn = {
        "align": lambda: draw(st.sampled_from(["start", "end"])),
        "causal": lambda: draw(st.booleans()),
        "window": lambda: tuple(
            draw(st.one_of(st.none(), st.integers(0, 20), st.sampled_from([2**63 - 1, 2**200]))) for _ in range(2)
        ),
        "mask": lambda: rng.random(broadcast(draw, shape)) < draw(st.sampled_from([0, 0.1, 0.5, 0.99])),
        "bias": lambda: draw_bias(draw, rng, broadcast(draw, shape), dtype),
        "lengths": lambda: rng.integers(0, m + 1, size=tuple(lead)),
        "softcap": lambda: draw(st.sampled_from([2.0, 50.0, 1e-3, 1e-30, 1e-300, 1e30])),
        "scale": lambda: draw(st.sampled_from([0.0, -0.5, 3, 40.0, 1e-30, 1e4, -1e30])),
        "sinks": lambda: (
            rng.normal(size=heads) * draw(st.sampled_from([1.0, 1e4, maximum / 8]))
            + draw(st.sampled_from([0.0, -np.inf]))
        ).astype(draw(st.sampled_from([dtype, np.float64]))),
    }
    names = draw(st.sets(st.sampled_from(sorted(drawn)), max_size=5)) | {"align"}
    return {name: drawn[name]() for name in sorted(names)}


def broadcast(draw, shape):
    """A shape that broadcasts to this one."""
    shape = tuple(draw(st.sampled_from([size, size, 1])) for size in shape)
    return shape[draw(st.integers(0, len(shape) - 1)) :]


def draw_bias(draw, rng, shape, dtype):
    bias = rng.normal(size=shape).astype(draw(st.sampled_from([dtype, np.float64, np.float32])))
    info = np.finfo(bias.dtype)
    kind = draw(st.sampled_from(["plain", "minus infinity", "smallest", "smallest rows", "largest", "large"]))
    some = rng.random(shape) < draw(st.sampled_from([0.1, 0.6]))
    rows = np.broadcast_to(rng.random((*shape[:-1], 1)) < 0.3, shape)
    places = {"minus infinity": some, "smallest": some, "smallest rows": rows, "largest": rows, "large": some}
    values = {"minus infinity": -np.inf, "smallest": info.min, "smallest rows": info.min, "largest": info.max}
    if kind != "plain":
        bias[places[kind]] = values.get(kind, float(info.max) ** 0.5)
    return bias


@pytest.mark.skipif(not HAS_EXTENDED_RANGE, reason="long double is no wider than float64 here")
@seed(int(os.environ.get("SEED", "0")))
@settings(max_examples=EXAMPLES, print_blob=True)
@given(problem=problems())
def test_hostile_numbers_give_the_right_result_or_an_error(problem):
    options, (*qkv, do) = problem.options, problem.arrays
    expected = extended_attention(*problem.arrays, **options)
    for engine in sorted(ENGINES):
        try:
            results, cache = hw.attention_forward(*qkv, **options, return_weights=True, return_lse=True, engine=engine)
        except HeadwiseError:
            assert expected.may_raise, engine
            continue
        assert not expected.raises, engine
        copies = [array.copy() for array in results]
        for array in results:  # the gradients do not depend on what the caller does with the results
            array += array.dtype.type(1)
        named = dict(zip(("o", "p", "lse"), copies, strict=True))
        gradients = ["dq", "dk", "dv", *(f"d{name}" for name in ("bias", "sinks") if name in options)]
        named |= zip(gradients, hw.attention_backward(do, cache), strict=True)
        for name, result in expected.results.items():
            assert named[name].shape == result.value.shape
            result.assert_close(named[name], f"{engine}: {name}")


@seed(int(os.environ.get("SEED", "0")))
@settings(max_examples=EXAMPLES)
@given(data=st.data(), problem=problems())
def test_an_invalid_argument_is_an_error_of_headwise(data, problem):
    q, k, v, _ = problem.arrays
    name = data.draw(st.sampled_from(sorted(INVALID)))
    visible = visible_pairs((*q.shape[:-1], k.shape[-2]), **problem.options)
    assume(name != "bias" or visible.any())  # NaN is valid where nothing may attend
    arguments = {"q": q, "k": k, "v": v} | problem.options | {name: data.draw(st.sampled_from(INVALID[name]))}
    with pytest.raises(HeadwiseError):
        hw.attention(**arguments)

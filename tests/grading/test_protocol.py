"""The format between a submission and its judge carries numbers, and nothing that anybody could put into it besides."""

import contextlib

import numpy as np
import pytest

from headwise.grading.sandbox.worker.protocol import WireError, decode, encode

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -7,
        2.5,
        "é\n",
        (),
        (1, ("a", X)),
        {"a": ({"b": X},)},
        np.zeros((0, 3)),
        np.array(1 + 2j),
        X.astype(np.float16),
    ],
    ids=str,
)
def test_the_wire_carries(value):
    back = decode(encode(value))
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(back, value)
        assert back.dtype == value.dtype
    else:
        assert str(back) == str(value)


DEEP = ((((((((),),),),),),),)


@pytest.mark.parametrize("value", [{1: 2}, 1 << 64, np.array([None]), np.zeros(1, "U3"), DEEP, X.astype("g")])
def test_the_wire_refuses_to_carry(value):
    with pytest.raises(WireError):
        encode(value)


def test_the_wire_refuses_keys_that_are_no_texts_and_empty_arrays_of_impossible_shape():
    with pytest.raises(WireError, match="a key that is no text"):
        decode(encode({"a": 1}).replace(encode("a"), encode(7)))
    empty = encode(np.zeros((0, 3, 5)))
    huge = (1 << 20).to_bytes(4, "big")
    with pytest.raises(WireError, match="an empty array of impossible shape"):
        decode(empty.replace((3).to_bytes(4, "big") + (5).to_bytes(4, "big"), huge + huge))


def test_the_wire_survives_anything(rng):
    good = encode(("answered", (X, X[0]), ((0, X),)))
    assert decode(good)[0] == "answered"
    for cut in range(len(good)):
        with pytest.raises(WireError):
            decode(good[:cut])
    for _ in range(3000):  # flipped bytes give another value or a WireError, never anything else
        bad = bytearray(good)
        for at in rng.integers(len(bad), size=3):
            bad[at] = rng.integers(256)
        with contextlib.suppress(WireError):
            decode(bad)

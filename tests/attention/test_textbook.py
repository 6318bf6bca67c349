import itertools

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError, ShapeError
from helpers.oracles import self_attention_loop

N, D = 5, 6


@pytest.fixture
def arrays(rng):
    X = rng.normal(size=(N, D))
    Wq, Wk, Wv = rng.normal(size=(3, D, D))
    return X, Wq, Wk, Wv


@pytest.mark.parametrize("tokens", ["rows", "columns"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6), (np.float16, 2e-2)])
def test_self_attention_equals_a_loop(rng, dtype, tolerance, tokens):
    X = rng.normal(size=(N, 7)).astype(dtype)
    Wq, Wk, Wv = (rng.normal(size=(rows, 7)).astype(dtype) for rows in (3, 3, 2))
    bq, bk, bv = (rng.normal(size=rows).astype(dtype) for rows in (3, 3, 2))
    wide = [a.astype(np.float64) for a in (X, Wq, Wk, Wv, bq, bk, bv)]
    output, weights = self_attention_loop(*wide)

    given = X if tokens == "rows" else X.T
    got = hw.self_attention(given, Wq, Wk, Wv, bq=bq, bk=bk, bv=bv, tokens=tokens)

    assert got.output.dtype == got.weights.dtype == dtype
    np.testing.assert_allclose(got.output if tokens == "rows" else got.output.T, output, atol=tolerance)
    np.testing.assert_allclose(got.weights, weights, atol=tolerance)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_multi_head_equals_a_loop_over_heads(arrays, rng, heads):
    X, Wq, Wk, Wv = arrays
    Wo, bo, bq, bk, bv = rng.normal(size=(4, D)), *rng.normal(size=(1, 4)), *rng.normal(size=(3, D))
    d = D // heads
    parts = [self_attention_loop(X, *(a[h * d : (h + 1) * d] for a in (Wq, Wk, Wv, bq, bk, bv))) for h in range(heads)]
    joined = np.concatenate([o for o, _ in parts], axis=1)

    output, weights = hw.multi_head_attention(X, Wq, Wk, Wv, Wo, heads=heads, bq=bq, bk=bk, bv=bv, bo=bo)

    np.testing.assert_allclose(output, joined @ Wo.T + bo, atol=1e-12)
    np.testing.assert_allclose(weights, [p for _, p in parts], atol=1e-12)


def test_no_final_transformation_is_the_identity(arrays):
    without = hw.multi_head_attention(*arrays, heads=3)
    identity = hw.multi_head_attention(*arrays, np.eye(D), heads=3)
    np.testing.assert_allclose(without.output, identity.output, atol=1e-14)


def test_one_head_is_self_attention(arrays):
    one, plain = hw.multi_head_attention(*arrays, heads=1), hw.self_attention(*arrays)
    np.testing.assert_array_equal(one.output, plain.output)
    np.testing.assert_array_equal(one.weights[0], plain.weights)


@pytest.mark.parametrize("heads", [1, 3])
def test_permuting_the_tokens_permutes_the_outputs(arrays, heads):
    X, *W = arrays
    output, weights = hw.multi_head_attention(X, *W, heads=heads)
    for order in itertools.permutations(range(N)):
        moved = hw.multi_head_attention(X[list(order)], *W, heads=heads)
        np.testing.assert_allclose(moved.output, output[list(order)], atol=1e-12)
        np.testing.assert_allclose(moved.weights, weights[:, order][:, :, order], atol=1e-12)


@pytest.mark.parametrize("tokens", ["rows", "columns"])
def test_a_batch_is_its_items(arrays, rng, tokens):
    _, *W = arrays
    batch = rng.normal(size=(2, 3, N, D) if tokens == "rows" else (2, 3, D, N))
    together = hw.multi_head_attention(batch, *W, heads=3, tokens=tokens)
    for i in np.ndindex(2, 3):
        alone = hw.multi_head_attention(batch[i], *W, heads=3, tokens=tokens)
        np.testing.assert_allclose(together.output[i], alone.output, atol=1e-13)
        np.testing.assert_allclose(together.weights[i], alone.weights, atol=1e-13)


def test_large_logits_do_not_overflow(arrays):
    X, *W = arrays
    output, weights = hw.self_attention(1e6 * X, *W)
    assert np.isfinite(output).all()
    np.testing.assert_allclose(weights.sum(-1), 1)


def test_no_tokens_no_output(arrays):
    _, *W = arrays
    output, weights = hw.multi_head_attention(np.zeros((0, D)), *W, heads=2)
    assert output.shape == (0, D)
    assert weights.shape == (2, 0, 0)


def test_inputs_are_left_alone(arrays):
    for array in arrays:
        array.setflags(write=False)
    hw.multi_head_attention(*arrays, heads=2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": np.zeros((D + 1, 4))}, ShapeError, r"Wq: expected \(d, D=4\) because X is \(7, 4\)"),
        ({"X": np.zeros((N, D), int)}, DataError, "X: expected float16, float32 or float64; got int64"),
        ({"X": np.full((N, D), np.nan)}, DataError, "X: expected finite numbers"),
        ({"Wk": np.zeros((4, D))}, ShapeError, r"Wk: expected \(d=6, D=6\)"),
        ({"heads": 4}, ShapeError, r"heads: expected a divisor of the 6 rows of Wq \(1, 2, 3, 6\); got 4"),
        ({"heads": 0}, ShapeError, "heads: expected a divisor"),
        ({"heads": 1.5}, ShapeError, "heads: expected a divisor"),
        ({"heads": True}, ShapeError, "heads: expected a divisor"),
        ({"X": None}, DataError, "X: expected an array"),
        ({"X": np.full((N, D), 1e200)}, DataError, "X: its products with the matrices overflow float64"),
        ({"scale": "x"}, DataError, "scale: expected a number; got str"),
        ({"scale": np.inf}, DataError, "scale: expected a finite number"),
        ({"tokens": np.array(["rows", "rows"])}, DataError, 'tokens: expected "rows" or "columns"'),
        ({"tokens": "cols"}, DataError, 'tokens: expected "rows" or "columns"'),
        ({"bq": np.zeros(5)}, ShapeError, r"bq: expected \(d=6,\)"),
        ({"Wo": np.zeros((6, 5))}, ShapeError, r"Wo: expected \(o, e=6\)"),
    ],
)
def test_refusals(arrays, change, error, message):
    given = dict(zip(("X", "Wq", "Wk", "Wv"), arrays, strict=True)) | {"heads": 3} | change
    with pytest.raises(error, match=message):
        hw.multi_head_attention(**given)

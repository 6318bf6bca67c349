"""The series transformer's layers against central differences and against loops over scalars."""

import math

import numpy as np
import pytest

from headwise.nn.batch_norm import batch_norm_backward, batch_norm_forward, batch_norm_params
from headwise.nn.dropout import dropout_backward, dropout_forward
from headwise.nn.encoder_layer import encoder_layer_backward, encoder_layer_forward, encoder_layer_params
from headwise.nn.padding import Padding
from helpers.oracles import check_gradients

D, H, F = 6, 3, 7
PADDING = Padding(np.array([5, 2, 4]), 5)
R = 11


def random_params(params, rng):
    """In float64, without the zeros and ones that hide a wrong factor; a variance is positive."""
    return {
        name: rng.uniform(0.5, 2, array.shape) if name.endswith("variance") else rng.normal(size=array.shape)
        for name, array in params.items()
    }


def trained(params):
    """Those that have a gradient."""
    return [name for name in params if not name.endswith(("mean", "variance"))]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_backward_equals_central_differences(training, rng):
    params = random_params(batch_norm_params(D), rng)
    rows, dy = rng.normal(size=(R, D)), rng.normal(size=(R, D))
    _, cache = batch_norm_forward(rows, params, training=training)
    dx, grads = batch_norm_backward(dy, cache)
    names = trained(params)
    assert list(grads) == names

    def f(x, *arrays):
        return batch_norm_forward(x, params | dict(zip(names, arrays, strict=True)), training=training)[0]

    check_gradients(f, [rows, *(params[n] for n in names)], [dx, *(grads[n] for n in names)], dy)


def test_batch_norm_equals_a_loop(rng):
    params = random_params(batch_norm_params(D), rng)
    rows = 3 + 5 * rng.normal(size=(R, D))
    y, cache = batch_norm_forward(rows, params, training=True)
    still, held = batch_norm_forward(rows, params, training=False)
    assert held.batch_stats == {}
    for i in range(D):
        column = [float(value) for value in rows[:, i]]
        mean = math.fsum(column) / R
        square = math.fsum((value - mean) ** 2 for value in column)
        assert cache.batch_stats["mean"][i] == pytest.approx(mean, rel=1e-12)
        assert cache.batch_stats["variance"][i] == pytest.approx(square / (R - 1), rel=1e-12)
        for r, value in enumerate(column):
            normal = (value - mean) / math.sqrt(square / R + 1e-5)
            assert y[r, i] == pytest.approx(params["gain"][i] * normal + params["bias"][i], rel=1e-9)
            normal = (value - params["mean"][i]) / math.sqrt(params["variance"][i] + 1e-5)
            assert still[r, i] == pytest.approx(params["gain"][i] * normal + params["bias"][i], rel=1e-9)


def test_one_row_is_no_division_by_zero():
    y, cache = batch_norm_forward(np.full((1, D), 7.0), batch_norm_params(D), training=True)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(cache.batch_stats["variance"], 0)


def test_dropout(rng):
    x = rng.normal(size=(101, 103))
    y, kept = dropout_forward(x, 0.3, np.random.default_rng(0))
    dropped = y == 0
    assert dropped.mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(y[~dropped], x[~dropped] / 0.7, rtol=1e-6)
    dy = rng.normal(size=x.shape)
    np.testing.assert_array_equal(dropout_backward(dy, kept), dy * kept)
    assert dropout_forward(x, 0.3, None) == (x, None)


def test_padding_is_taken_out_and_put_back(rng):
    x = rng.normal(size=(3, 5, 2))
    rows = PADDING.unpad(x)
    expected = [x[b, n] for b, length in enumerate(PADDING.lengths) for n in range(length)]
    np.testing.assert_array_equal(rows, expected)
    back = PADDING.pad(rows)
    for b, length in enumerate(PADDING.lengths):
        np.testing.assert_array_equal(back[b, :length], x[b, :length])
        np.testing.assert_array_equal(back[b, length:], 0)
    # each is the other's gradient: <take(x), r> = <x, pad(r)>
    r = rng.normal(size=rows.shape)
    assert (rows * r).sum() == pytest.approx((x * PADDING.pad(r)).sum(), rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_encoder_layer_backward_equals_central_differences(training, rng):
    params = random_params(encoder_layer_params(D, F, rng), rng)
    rows, dy = rng.normal(size=(R, D)), rng.normal(size=(R, D))

    def forward(x, params):
        seeded = np.random.default_rng(3) if training else None  # the same is dropped every time
        return encoder_layer_forward(x, params, PADDING, heads=H, dropout=0.3, rng=seeded)

    before = dy.copy()
    dx, grads = encoder_layer_backward(dy, forward(rows, params)[1])
    np.testing.assert_array_equal(dy, before)
    names = trained(params)
    assert set(grads) == set(names)

    def f(x, *arrays):
        return forward(x, params | dict(zip(names, arrays, strict=True)))[0]

    check_gradients(f, [rows, *(params[n] for n in names)], [dx, *(grads[n] for n in names)], dy, rtol=1e-6)


def test_an_item_is_the_same_whatever_it_is_padded_to(rng):
    params = random_params(encoder_layer_params(D, F, rng), rng)
    rows = rng.normal(size=(R, D))
    for training in (True, False):
        seeded = np.random.default_rng(0) if training else None
        y, _ = encoder_layer_forward(rows, params, PADDING, heads=H, rng=seeded)
        wider, _ = encoder_layer_forward(rows, params, Padding(PADDING.lengths, 13), heads=H, rng=seeded)
        np.testing.assert_allclose(wider, y, atol=1e-12)

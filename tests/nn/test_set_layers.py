"""Blocks for sets, and the losses of a regression: exact gradients, and what they are by definition."""

import numpy as np
import pytest

from headwise.errors import ShapeError
from headwise.nn.cross_attention import mab_backward, mab_forward, mab_params
from headwise.nn.losses import (
    absolute_error_backward,
    absolute_error_forward,
    squared_error_backward,
    squared_error_forward,
)
from headwise.nn.set_blocks import isab_forward, isab_params, sab_forward, sab_params
from helpers.oracles import attention_loop, check_gradients

B, N, V, D, H, P = 3, 5, 2, 6, 3, 7


def random(params, rng):
    return {name: rng.normal(size=array.shape) for name, array in params.items()}


@pytest.mark.parametrize("norm", [False, True])
def test_the_gradients_of_one_set_asking_another(norm, rng):
    params = random(mab_params(2, 5, D, rng, norm=norm), rng)
    x, y = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 7, 5))
    lengths = np.array([7, 4])
    z, cache = mab_forward(x, y, params, heads=H, lengths=lengths)
    dz = rng.normal(size=z.shape)
    dx, dy, grads = mab_backward(dz, cache)
    assert grads.keys() == params.keys()

    def f(x, y, *arrays):
        return mab_forward(x, y, dict(zip(params, arrays, strict=True)), heads=H, lengths=lengths)[0]

    check_gradients(f, [x, y, *params.values()], [dx, dy, *(grads[name] for name in params)], dz)


def test_one_set_asking_another_equals_a_loop(rng):
    params = random(mab_params(2, 5, D, rng, norm=False), rng)
    x, y = rng.normal(size=(1, 3, 2)), rng.normal(size=(1, 7, 5))
    z, cache = mab_forward(x, y, params, heads=H, return_weights=True)
    q = x[0] @ params["query.weight"].T + params["query.bias"]
    k, v = np.split(y[0] @ params["key_value.weight"].T + params["key_value.bias"], 2, axis=1)
    o, p, _ = attention_loop(*(a.reshape(len(a), H, D // H).swapaxes(0, 1) for a in (q, k, v)))
    h = q + o.swapaxes(0, 1).reshape(3, D)
    expected = h + np.maximum(h @ params["output.weight"].T + params["output.bias"], 0)
    np.testing.assert_allclose(z[0], expected, atol=1e-12)
    np.testing.assert_allclose(cache.weights[0], p, atol=1e-12)


@pytest.mark.parametrize("make", ["SAB", "ISAB"])
def test_a_block_moves_with_the_order(make, rng):
    x, order = rng.normal(size=(B, N, V)), rng.permutation(N)
    if make == "SAB":
        params = random(sab_params(V, D, rng, norm=True), rng)
        y, moved = (sab_forward(z, params, heads=H)[0] for z in (x, x[:, order]))
    else:
        params = random(isab_params(V, D, P, rng, norm=True), rng)
        y, moved = (isab_forward(z, params, heads=H)[0] for z in (x, x[:, order]))
    np.testing.assert_allclose(moved, y[:, order], atol=1e-12)
    assert np.abs(moved - y).max() > 0.1


@pytest.mark.parametrize(
    ("forward", "backward", "power"),
    [
        (absolute_error_forward, absolute_error_backward, 1),
        (squared_error_forward, squared_error_backward, 2),
    ],
)
def test_the_losses(forward, backward, power, rng):
    y, target = rng.normal(size=(2, 5, 3))
    loss, cache = forward(y, target)
    assert loss == pytest.approx((np.abs(y - target) ** power).mean(), rel=1e-14)
    check_gradients(lambda y: np.array(forward(y, target)[0]), [y], [1.7 * backward(cache)], np.array(1.7))
    with pytest.raises(ShapeError):
        forward(y, target[:, 0])

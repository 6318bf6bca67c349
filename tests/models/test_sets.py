"""Models of sets: exact gradients, no order, padding that is not there."""

import itertools

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.models.sets import SetTransformerConfig, set_backward, set_forward, set_params, set_weights
from helpers.oracles import check_gradients

B, N, V, D, H, P = 3, 5, 2, 6, 3, 2
LENGTHS = np.array([5, 2, 1])
PAIRS = [("SAB", "PMA"), ("ISAB", "PMA"), ("rFF", "PMA"), ("rFF", "mean"), ("rFF", "sum"), ("SAB", "max")]


def tiny(encoder="SAB", pooling="PMA", norm=True):
    return SetTransformerConfig(
        V, 2, encoder, pooling, d_model=D, n_layers=2, n_heads=H, n_inducing_points=P, layer_norm=norm
    )


def random(params, rng, dtype=np.float64):
    return {name: rng.normal(size=array.shape).astype(dtype) for name, array in params.items()}


@pytest.mark.sampled
@pytest.mark.parametrize(("encoder", "pooling"), PAIRS)
def test_backward_equals_central_differences(encoder, pooling, rng):
    model = tiny(encoder, pooling)
    params = random(set_params(model, rng), rng)
    sets = rng.normal(size=(B, N, V))
    y, cache = set_forward(sets, params, model, lengths=LENGTHS)
    dy = rng.normal(size=y.shape)
    grads = set_backward(dy, cache)
    assert grads.keys() == params.keys()

    def f(*arrays):
        return set_forward(sets, dict(zip(params, arrays, strict=True)), model, lengths=LENGTHS)[0]

    check_gradients(f, list(params.values()), [grads[name] for name in params], dy, rtol=1e-6)


@pytest.mark.parametrize(("encoder", "pooling"), PAIRS)
@pytest.mark.parametrize(("dtype", "rounding"), [(np.float64, 1e-13), (np.float32, 1e-4)])
def test_order_makes_no_difference(encoder, pooling, dtype, rounding, rng):
    model = tiny(encoder, pooling)
    params, sets = random(set_params(model, rng), rng, dtype), rng.normal(size=(B, 4, V)).astype(dtype)
    y, _ = set_forward(sets, params, model)
    for order in itertools.permutations(range(4)):
        moved, _ = set_forward(sets[:, list(order)], params, model)
        assert np.abs(moved - y).max() <= rounding * np.abs(y).max()


@pytest.mark.parametrize(("encoder", "pooling"), PAIRS)
def test_padding_makes_no_difference(encoder, pooling, rng):
    model = tiny(encoder, pooling)
    params, sets = random(set_params(model, rng), rng), rng.normal(size=(B, N, V))
    y, _ = set_forward(sets, params, model, lengths=LENGTHS)
    for i, length in enumerate(LENGTHS):
        alone, _ = set_forward(sets[i : i + 1, :length], params, model)
        np.testing.assert_allclose(y[i], alone[0], atol=1e-12)


def test_the_weights_that_are_kept(rng):
    model = tiny()
    params, sets = random(set_params(model, rng), rng), rng.normal(size=(B, N, V))
    _, cache = set_forward(sets, params, model, lengths=LENGTHS, return_weights=True)
    blocks, seed = set_weights(cache)
    assert blocks.shape == (B, 2, H, N, N)
    assert seed.shape == (B, H, N)
    np.testing.assert_allclose(seed.sum(-1), 1)
    assert (blocks[1, ..., 2:] == 0).all()  # padding is given nothing


def test_refusals():
    with pytest.raises(DataError, match=r"encoder: expected one of rFF, SAB, ISAB; got 'LSTM'"):
        SetTransformerConfig(1, encoder="LSTM")
    with pytest.raises(DataError, match="pooling: expected one of"):
        SetTransformerConfig(1, pooling="median")
    with pytest.raises(ShapeError, match="heads: expected a divisor"):
        SetTransformerConfig(1, n_heads=5)
    for name in ("n_inputs", "n_outputs", "d_model", "n_layers", "n_heads", "n_inducing_points"):
        with pytest.raises(DataError, match=f"{name}: expected 1 or more; got 0"):
            SetTransformerConfig(**{"n_inputs": 1, name: 0})
    model = tiny()
    params = set_params(model, np.random.default_rng(0))
    with pytest.raises(DataError, match="sets: expected 1 to 0 members in each; got no members"):
        set_forward(np.zeros((2, 0, V), np.float32), params, model)
    with pytest.raises(DataError, match=r"got lengths 0 to 3\. Remove empty sets"):
        set_forward(np.zeros((2, 3, V), np.float32), params, model, lengths=np.array([0, 3]))
    with pytest.raises(ShapeError, match=r"sets: expected \(B, N, 2\); got \(2, 3, 5\)"):
        set_forward(np.zeros((2, 3, 5), np.float32), params, model)

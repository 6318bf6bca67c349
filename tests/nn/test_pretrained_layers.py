"""Layers of pretrained models: values against the definition, gradients against central differences."""

import math

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.models.encoder import Rope
from headwise.models.encoder.trunk import alibi_slopes
from headwise.nn.activation_functions import ACTIVATIONS, activation_backward, activation_forward
from headwise.nn.linear import linear_backward_parallel, linear_forward
from headwise.nn.rms_norm import rms_norm_backward, rms_norm_forward
from headwise.nn.rotary import rotary_backward, rotary_forward

SCALAR = {
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "relu": lambda x: max(x, 0.0),
    "tanh": math.tanh,
}


def numeric(function, x, dy, step=1e-6):
    """The gradient of sum(dy · f(x)) with respect to x, one number at a time."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        sides = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            sides.append(float((dy * function(moved)).sum()))
        gradient[index] = (sides[0] - sides[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_functions(name, rng):
    x, dy = 2 * rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    y, cache = activation_forward(x, name)
    np.testing.assert_allclose(y, np.vectorize(SCALAR[name])(x), rtol=0, atol=1e-14)
    expected = numeric(lambda moved: activation_forward(moved, name)[0], x, dy)
    np.testing.assert_allclose(activation_backward(dy, cache), expected, rtol=0, atol=1e-8)
    assert np.isfinite(activation_forward(np.float32([-1e4, 1e4]), name)[0]).all()


def test_unknown_activations_are_refused():
    with pytest.raises(DataError, match="activation"):
        activation_forward(np.zeros(3), "mish")


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_rms_norm(offset, rng):
    x, dy, gain = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5)), rng.normal(size=5)
    y, cache = rms_norm_forward(x, {"gain": gain}, 1e-3, offset)
    expected = [[row / math.sqrt(sum(v * v for v in row) / 5 + 1e-3) * (gain + offset) for row in item] for item in x]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)
    dx, grads = rms_norm_backward(dy, cache)
    of_x = numeric(lambda moved: rms_norm_forward(moved, {"gain": gain}, 1e-3, offset)[0], x, dy)
    of_gain = numeric(lambda moved: rms_norm_forward(x, {"gain": moved}, 1e-3, offset)[0], gain, dy)
    np.testing.assert_allclose(dx, of_x, rtol=0, atol=1e-8)
    np.testing.assert_allclose(grads["gain"], of_gain, rtol=0, atol=1e-8)


@pytest.mark.parametrize("biased", [True, False])
def test_linear_layers_of_transposed_views(biased, rng):
    x, dy, stored = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 7)), rng.normal(size=(5, 7))
    params = {"weight": stored.T} | ({"bias": rng.normal(size=7)} if biased else {})
    y, cache = linear_forward(x, params)
    np.testing.assert_allclose(y, np.einsum("bnd,de->bne", x, stored) + params.get("bias", 0), rtol=0, atol=1e-13)
    dx, grads = linear_backward_parallel(dy, cache)
    np.testing.assert_allclose(dx, numeric(lambda moved: linear_forward(moved, params)[0], x, dy), rtol=0, atol=1e-8)
    np.testing.assert_allclose(grads["weight"], np.einsum("bne,bnd->ed", dy, x), rtol=0, atol=1e-13)
    assert grads.keys() == params.keys()


@pytest.mark.parametrize("pairing", ["halves", "neighbours"])
def test_rotary_embedding(pairing, rng):
    width, positions = 6, np.array([0, 3, 11, 2])
    x, dy = rng.normal(size=(2, 4, 9)), rng.normal(size=(2, 4, 9))
    rotation = Rope(width, theta=100.0, pairing=pairing).rotation(positions, np.dtype(np.float64))
    y = rotary_forward(x, rotation)
    for n, position in enumerate(positions):
        for i in range(width // 2):
            a, b = (i, i + width // 2) if pairing == "halves" else (2 * i, 2 * i + 1)
            turned = (x[:, n, a] + 1j * x[:, n, b]) * np.exp(1j * position * 100.0 ** (-2 * i / width))
            np.testing.assert_allclose(y[:, n, a] + 1j * y[:, n, b], turned, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(y[..., width:], x[..., width:])
    expected = numeric(lambda moved: rotary_forward(moved, rotation), x, dy)
    np.testing.assert_allclose(rotary_backward(dy, rotation), expected, rtol=0, atol=1e-8)


def test_slopes_of_alibi():
    np.testing.assert_allclose(alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    np.testing.assert_allclose(alibi_slopes(12)[8:], 2.0 ** -np.array([0.5, 1.5, 2.5, 3.5]))

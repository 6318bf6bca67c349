"""The compiled passes are the NumPy ones, to rounding, in both types and at widths that do not fill a vector."""

import inspect
import math

import numpy as np
import pytest

from headwise.nn.ops import numba_ops as fused
from headwise.nn.ops import numpy_ops as plain
from headwise.nn.ops.dispatch import backend
from headwise.parallel.threads import limit_threads

pytest.importorskip("numba")

TYPES = [(np.float32, 2e-6), (np.float64, 1e-14)]
R = 37


def same(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, float(np.abs(b).max(initial=0))))


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 48), (49, 64), (64, 10), (13, 7), (80, 16)])
def test_linear(dtype, tolerance, inputs, outputs, rng):
    x, weight, bias, dy = (
        rng.normal(size=shape).astype(dtype) for shape in ((R, inputs), (outputs, inputs), outputs, (R, outputs))
    )
    residual = rng.normal(size=(R, outputs)).astype(dtype)
    for added in (None, residual, np.asfortranarray(residual)):
        same([fused.linear(x, weight, bias, added)], [plain.linear(x, weight, bias, added)], tolerance)
    same(fused.linear_backward(dy, x, weight), plain.linear_backward(dy, x, weight), tolerance)


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(397, 1031, 131), (101, 67, 211)])
def test_linear_in_blocks_with_weights_of_any_strides_on_any_number_of_threads(rows, inputs, outputs, rng):
    x = rng.normal(size=(rows, inputs))
    bias = rng.normal(size=outputs)
    wide = rng.normal(size=(2 * outputs, inputs + 3))
    for weight in (wide[:outputs, :inputs].copy(), wide[::2, 3:], rng.normal(size=(inputs, outputs)).T):
        y = fused.linear(x, weight, bias)
        same([y], [plain.linear(x, weight, bias)], 1e-13)
        with limit_threads(1):
            np.testing.assert_array_equal(fused.linear(x, weight, bias), y)


@pytest.mark.parametrize("operation", [fused.gelu, fused.normal_gelu, lambda x: fused.layer_norm(x, x[0], x[1], 1e-5)])
def test_threads_do_not_change_an_operation(operation, rng):
    x = rng.normal(size=(409, 601)).astype(np.float32)
    with limit_threads(1):
        alone = operation(x)
    for a, b in zip(operation(x), alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize("width", [64, 13])
def test_layer_norm(dtype, tolerance, width, rng):
    x, dy = 3 + rng.normal(size=(2, R, width)).astype(dtype)
    gain, bias = rng.normal(size=(2, width)).astype(dtype)
    found, expected = (each.layer_norm(x, gain, bias, 1e-5) for each in (fused, plain))
    same(found, expected, 4 * tolerance)
    same(
        fused.layer_norm_backward(dy, *expected[1:], gain),
        plain.layer_norm_backward(dy, *expected[1:], gain),
        4 * tolerance,
    )


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_gelu(dtype, tolerance, rng):
    x = np.concatenate([rng.normal(size=1000), [0, -0.0, 30, -30, 1e4, -1e4, 1e-30]]).astype(dtype)[None]
    dy = rng.normal(size=x.shape).astype(dtype)
    y, t = plain.gelu(x)
    same(fused.gelu(x), (y, t), 2 * tolerance)
    with np.errstate(over="ignore", invalid="ignore"):
        same([fused.gelu_backward(dy, x, t)], [plain.gelu_backward(dy, x, t)], 2 * tolerance)


def test_the_normal_gelu_in_float32_is_as_accurate_as_scipys_error_function():
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    exact = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x.tolist()])
    y, phi = fused.normal_gelu(x)
    assert y.dtype == phi.dtype == np.float32
    np.testing.assert_allclose(phi, exact, rtol=0, atol=7e-8)
    np.testing.assert_allclose(phi[(x > -9) & (x < 0)], exact[(x > -9) & (x < 0)], rtol=1e-4)  # also where Φ is small
    np.testing.assert_array_equal(y, x * phi)
    scipys = np.abs(plain.normal_gelu(x)[0] - x * exact).max()
    assert np.abs(y - x * exact).max() < scipys


def test_the_normal_gelu_of_extreme_numbers_and_of_float64():
    x = np.float32([np.nan, np.inf, 3e38, -3e38, -0.0, 1e-40])
    y, phi = fused.normal_gelu(x)
    np.testing.assert_array_equal(y, np.float32([np.nan, np.inf, 3e38, 0, 0, 5e-41]))
    np.testing.assert_array_equal(phi, np.float32([np.nan, 1, 1, 0, 0.5, 0.5]))
    wide = np.append(x[2:], [0.3, -1.7]).astype(np.float64)
    same(fused.normal_gelu(wide), plain.normal_gelu(wide), 0)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_cross_entropy(dtype, tolerance, rng):
    logits, labels = (10 * rng.normal(size=(R, 11))).astype(dtype), rng.integers(0, 11, R)
    logits[0], logits[1] = 1e4, -1e4
    (loss, p), (expected_loss, expected_p) = (each.cross_entropy(logits, labels) for each in (fused, plain))
    assert loss == pytest.approx(expected_loss, rel=2 * tolerance)
    same([p], [expected_p], 2 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_adamw(dtype, tolerance, rng):
    vector, gradient, mean, decays = rng.normal(size=(4, R)).astype(dtype)
    square = rng.random(R).astype(dtype)
    constants = (0.9, 0.999, 1e-8, 1e-3, 5e-5, 7.0)
    results = []
    for each in (fused, plain):
        held = [vector.copy(), mean.copy(), square.copy()]
        each.adamw(held[0], gradient, held[1], held[2], decays, constants)
        results.append(held)
    same(*results, tolerance)


def test_the_choice_depends_on_size_and_type_alone():
    assert backend(np.zeros((100, 100), np.float32)) is fused
    assert backend(np.zeros((5, 5), np.float32)) is plain
    assert backend(np.zeros((100, 100), np.float16)) is plain


def test_both_hold_the_same_functions():
    def functions(module):
        return [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        ]

    assert functions(fused) == functions(plain)
    assert len(functions(plain)) == 9

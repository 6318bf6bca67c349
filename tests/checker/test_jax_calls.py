"""Functions in JAX are run as one program, unless their code does more than compute a result."""

from functools import cache, partial
from itertools import count, pairwise

import numpy as np
import pytest

import headwise as hw
from headwise.checker.user_code.jax_calls import Compiled, call_compiled

jax = pytest.importorskip("jax")
jnp = jax.numpy
pytestmark = pytest.mark.parity

X = jnp.arange(6.0).reshape(2, 3)


def counted(function):
    """The function, and a counter of how often its code has run, and `next` has been called on it."""
    calls = count()

    def run(*args, **kwargs):
        next(calls)
        return function(*args, **kwargs)

    return run, calls


def test_code_without_effects_runs_twice_for_each_shape_and_setting():
    function, calls = counted(lambda x, power=2: {"output": x**power, "power": power, "parts": (x.T, None)})
    for _ in range(5):
        result = call_compiled(function, X)
        assert result["power"] == 2
        assert result["parts"][1] is None
        np.testing.assert_allclose(result["output"], X**2)
        np.testing.assert_allclose(result["parts"][0], X.T)
    assert next(calls) == 2
    np.testing.assert_allclose(call_compiled(function, X, power=3)["output"], X**3)
    np.testing.assert_allclose(call_compiled(function, X, power=True)["output"], X)
    np.testing.assert_allclose(call_compiled(function, 2 * X)["output"], 4 * X**2)


def test_numbers_from_elsewhere_are_those_of_each_call():
    numbers = iter(range(10))
    counting, _ = counted(lambda x: x + next(numbers))
    results = [call_compiled(counting, X)[0, 0] for _ in range(4)]
    assert np.all(np.diff(results) > 0)
    rng = np.random.default_rng(0)

    @jax.jit
    def inner(x, noise):
        return x + noise

    random, _ = counted(lambda x: inner(x, rng.normal(size=x.shape)))
    noisy = [call_compiled(random, X) for _ in range(4)]
    assert all(not np.array_equal(a, b) for a, b in pairwise(noisy))


def test_what_it_writes_is_an_array():
    def with_cache(x, cache):
        cache["keys"] = jnp.concatenate([cache["keys"], x])
        return x

    cache = {"keys": X}
    for length in (4, 6):
        call_compiled(with_cache, X, cache)
        assert np.asarray(cache["keys"]).shape == (length, 3)


def test_what_it_keeps_is_an_array():
    masks = {}

    @cache
    def below(n):
        return jnp.tril(jnp.ones((n, n)))

    def with_dictionary(x):
        return x * masks.setdefault(len(x), jnp.ones(len(x)))[:, None]

    for function in (lambda x: below(len(x)) @ x, with_dictionary):
        for times in (1, 2, 3):
            assert np.isfinite(call_compiled(function, times * X)).all()


def test_code_that_depends_on_numbers_is_called_as_it_is():
    function, calls = counted(lambda x: x if float(x.sum()) > 0 else -x)
    np.testing.assert_allclose(call_compiled(function, -X), X)
    np.testing.assert_allclose(call_compiled(function, X), X)
    assert next(calls) == 4


def test_errors_are_those_of_the_function():
    with pytest.raises(TypeError, match="contracting dimensions"):
        call_compiled(lambda a, b: a @ b, X, X)


def test_dropout_from_another_library_is_named():
    rng = np.random.default_rng(0)

    def attention(q, k, v):
        weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, axis=-1)
        return weights * (rng.random(weights.shape) > 0.3) / 0.7 @ v

    assert hw.check(attention).mistakes == ("dropout-active",)


def test_what_vmap_has_made_is_called_with_arguments_in_their_places():
    @partial(jax.vmap, in_axes=(None, None, None, 0))
    def attention(w_q, w_k, w_v, x):
        s = (x @ w_q) @ (x @ w_k).T / w_q.shape[-1] ** 0.5
        return jax.nn.softmax(s, axis=-1) @ (x @ w_v)

    assert hw.check(attention).ok


class Linear:
    def __init__(self, key, width):
        self.weight, self.bias = jax.random.normal(key, (width, width)) / width**0.5, jnp.zeros(width)

    def __call__(self, x):
        return self.weight @ x + self.bias


class OfArrays:
    """Layers of one vector each, x: (seq, dim)."""

    def __init__(self, dim=12, num_heads=3):
        self.query, self.key, self.value, self.out = (
            Linear(key, dim) for key in jax.random.split(jax.random.key(0), 4)
        )
        self.num_heads = num_heads

    def __call__(self, x):
        q, k, v = (jax.vmap(p)(x).reshape(len(x), self.num_heads, -1) for p in (self.query, self.key, self.value))
        p = jax.nn.softmax(jnp.einsum("nhd,mhd->hnm", q, k) / self.divisor(q), axis=-1)
        return jax.vmap(self.out)(jnp.einsum("hnm,mhd->nhd", p, v).reshape(x.shape))

    def divisor(self, q):
        return q.shape[-1] ** 0.5


class OfArraysByModelWidth(OfArrays):
    def divisor(self, q):
        return len(self.out.bias) ** 0.5


def test_classes_that_hold_arrays_of_jax_are_checked():
    assert hw.check(OfArrays()).ok
    assert hw.check(OfArraysByModelWidth()).mistakes == ("scale-model-width",)


def test_what_cannot_be_compiled_with_parameters_is_called_as_it_is():
    doubled, calls = counted(lambda state, x: state * x if float(x.sum()) > 0 else x)
    compiled = Compiled(doubled)
    for _ in range(3):
        np.testing.assert_allclose(compiled(jnp.float32(2), X), 2 * X)
    assert next(calls) == 4  # once to compile it, then each time


def test_parameters_are_arguments_of_what_is_compiled():
    doubled, calls = counted(lambda state, x: state * x)
    compiled = Compiled(doubled)
    for factor in (2, 3):
        np.testing.assert_allclose(compiled(jnp.float32(factor), X), factor * X)
    assert next(calls) == 1


def divided_and_mixed(x, wq, wk, wv, num_heads):
    """x (N, D), multiplied by wq, wk and wv from the left."""
    q, k, v = (jnp.stack(jnp.split(x @ w, num_heads, axis=1)) for w in (wq, wk, wv))
    weights = jax.nn.softmax(q @ k.swapaxes(1, 2) / jnp.sqrt(num_heads))
    return jnp.concatenate(weights.swapaxes(1, 2) @ v, axis=1)


def test_two_mistakes_are_named_in_code_that_computes_in_float32():
    verdict = hw.check(divided_and_mixed)
    assert verdict.mistakes == ("scale-heads", "mix-transposed")
    assert not verdict.hazards

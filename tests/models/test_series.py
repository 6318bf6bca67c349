import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.models import SeriesTransformerConfig
from headwise.models.series import (
    masked_prediction_backward,
    masked_prediction_forward,
    masked_prediction_params,
    predict_series_with_attention,
    series_backward,
    series_forward,
    series_params,
)
from helpers.oracles import check_gradients, self_attention_loop

TINY = SeriesTransformerConfig(
    n_variables=2, max_length=7, n_outputs=3, d_model=6, n_layers=2, n_heads=3, d_ff=5, dropout=0.2
)
LENGTHS = np.array([5, 1, 3])


def random_params(params, rng):
    return {
        name: rng.uniform(0.5, 2, array.shape) if name.endswith("variance") else rng.normal(size=array.shape)
        for name, array in params.items()
    }


@pytest.fixture
def params(rng):
    return random_params(series_params(TINY, rng), rng)


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 5, 2))


@pytest.mark.sampled
@pytest.mark.parametrize("which", ["head", "values"])
def test_backward_equals_central_differences(which, x, rng):
    make, forward, backward = {
        "head": (series_params, series_forward, series_backward),
        "values": (masked_prediction_params, masked_prediction_forward, masked_prediction_backward),
    }[which]
    params = random_params(make(TINY, rng), rng)
    names = [name for name in params if not name.endswith(("mean", "variance"))]

    def run(params):
        return forward(x, LENGTHS, params, TINY, rng=np.random.default_rng(5))

    y, cache = run(params)
    dy = rng.normal(size=y.shape)
    grads = backward(dy, cache)
    assert set(grads) == set(names)
    assert set(cache.batch_stats) == set(params) - set(names)

    def f(*arrays):
        return run(params | dict(zip(names, arrays, strict=True)))[0]

    check_gradients(f, [params[n] for n in names], [grads[n] for n in names], dy, rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_what_stands_in_the_padding_is_never_read(training, params, x):
    seeded = [np.random.default_rng(5) if training else None for _ in range(3)]
    expected, cache = series_forward(x, LENGTHS, params, TINY, rng=seeded[0])
    dirty, wider = x.copy(), np.full((3, 7, 2), np.nan)
    dirty[1, 1:] = dirty[2, 3:] = np.nan
    wider[:, :5] = dirty
    for other, rng in zip((dirty, wider), seeded[1:], strict=True):
        found, again = series_forward(other, LENGTHS, params, TINY, rng=rng)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        for name in cache.batch_stats:
            np.testing.assert_allclose(again.batch_stats[name], cache.batch_stats[name], atol=1e-12)


def written_out(x, p):
    """The model on one series (n, V), step by step, head by head, with the running averages."""

    def linear(name, rows):
        return rows @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(name, rows):
        deviation = np.sqrt(p[f"{name}.variance"] + 1e-5)
        return p[f"{name}.gain"] * (rows - p[f"{name}.mean"]) / deviation + p[f"{name}.bias"]

    def gelu(rows):
        return rows / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (rows + 0.044715 * rows**3)))

    rows = linear("embedding", x) * np.sqrt(6) + p["positions"][: len(x)]
    for i in range(2):
        thirds = [np.split(p[f"layers.{i}.attention.qkv.{part}"], 3) for part in ("weight", "bias")]
        heads = []
        for own in (slice(0, 2), slice(2, 4), slice(4, 6)):
            weights, biases = ([third[own] for third in part] for part in thirds)
            heads.append(self_attention_loop(rows, *weights, *biases)[0])
        rows = norm(f"layers.{i}.norm_1", rows + linear(f"layers.{i}.attention.output", np.concatenate(heads, axis=1)))
        hidden = gelu(linear(f"layers.{i}.mlp.hidden", rows))
        rows = norm(f"layers.{i}.norm_2", rows + linear(f"layers.{i}.mlp.output", hidden))
    return gelu(rows)


def test_forward_equals_the_model_written_out(params, x):
    outputs, _ = series_forward(x, LENGTHS, params, TINY)
    for i, length in enumerate(LENGTHS):
        tokens = np.zeros((7, 6))
        tokens[:length] = written_out(x[i, :length], params)
        expected = params["head.weight"] @ tokens.ravel() + params["head.bias"]
        np.testing.assert_allclose(outputs[i], expected, rtol=1e-10)


def test_an_item_does_not_depend_on_its_batch_once_trained(params, x):
    together, _ = series_forward(x, LENGTHS, params, TINY)
    for i in range(3):
        alone, _ = series_forward(x[i : i + 1], LENGTHS[i : i + 1], params, TINY)
        np.testing.assert_allclose(alone[0], together[i], atol=1e-12)


def test_while_training_it_does(params, x):
    one, _ = series_forward(x, LENGTHS, params, TINY, rng=np.random.default_rng(0))
    x[0] *= 2
    other, _ = series_forward(x, LENGTHS, params, TINY, rng=np.random.default_rng(0))
    assert np.abs(one[2] - other[2]).max() > 1e-3


def test_the_order_of_the_steps_counts(params, x):
    seen, _ = series_forward(x, LENGTHS, params, TINY)
    turned, _ = series_forward(x[:, ::-1], np.array([5, 5, 5]), params, TINY)
    assert np.abs(seen[0] - turned[0]).max() > 1e-3


def test_look_series(params, x):
    seen = predict_series_with_attention(x, LENGTHS, params, TINY)
    assert seen.weights.shape == (3, 2, 3, 5, 5)  # series, layer, head, query, key
    for i, length in enumerate(LENGTHS):
        np.testing.assert_allclose(seen.weights[i, :, :, :length, :length].sum(-1), 1, atol=1e-12)
        assert seen.weights[i, :, :, length:].max(initial=0) == 0
        assert seen.weights[i, :, :, :, length:].max(initial=0) == 0
    np.testing.assert_allclose(seen.outputs, series_forward(x, LENGTHS, params, TINY)[0], atol=1e-12)


def test_refusals(params, x):
    with pytest.raises(ShapeError, match=r"x: expected \(B, N, 2\); got \(3, 5, 3\)"):
        series_forward(np.zeros((3, 5, 3)), LENGTHS, params, TINY)
    with pytest.raises(ShapeError, match="at most 7 steps, the longest this model was made for; got 11"):
        series_forward(np.zeros((3, 11, 2)), LENGTHS, params, TINY)
    with pytest.raises(DataError, match="lengths: expected 1 to N=5 steps; got 0 to 6"):
        series_forward(x, np.array([0, 6, 1]), params, TINY)
    with pytest.raises(ShapeError, match="n_heads: expected a divisor of d_model 64"):
        SeriesTransformerConfig(n_variables=1, max_length=1, n_outputs=2, n_heads=7)
    with pytest.raises(DataError, match=r"d_model: expected a whole number; got 64\.0"):
        SeriesTransformerConfig(n_variables=1, max_length=1, n_outputs=2, d_model=64.0)
    with pytest.raises(DataError, match="dropout"):
        SeriesTransformerConfig(n_variables=1, max_length=1, n_outputs=2, dropout=1)

from dataclasses import replace

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.models.tabular import TableTransformerConfig, table_backward, table_forward, table_params
from helpers.oracles import check_gradients

TINY = TableTransformerConfig(3, (2, 5), n_outputs=2, d_model=6, n_layers=2, n_heads=3, d_ff=7)
B = 4


@pytest.fixture
def params(rng):
    return {name: rng.normal(size=array.shape) for name, array in table_params(TINY, rng).items()}


@pytest.fixture
def rows(rng):
    return rng.normal(size=(B, 3)), np.stack([[1, 0, 1, 1], [4, 0, 2, 4]], axis=1)


@pytest.mark.sampled
@pytest.mark.parametrize("return_weights", [False, True])
@pytest.mark.parametrize(("n_numeric", "cardinalities"), [(3, (2, 5)), (3, ()), (0, (2, 5))])
def test_backward_equals_central_differences(n_numeric, cardinalities, return_weights, rows, rng):
    model = replace(TINY, n_numeric=n_numeric, cardinalities=cardinalities)
    params = {name: rng.normal(size=array.shape) for name, array in table_params(model, rng).items()}
    rows = rows[0][:, :n_numeric], rows[1][:, : len(cardinalities)]
    y, cache = table_forward(*rows, params, model, return_weights=return_weights)
    dy = rng.normal(size=y.shape)
    grads = table_backward(dy, cache)
    assert grads.keys() == params.keys()

    def f(*arrays):
        return table_forward(*rows, dict(zip(params, arrays, strict=True)), model)[0]

    check_gradients(f, list(params.values()), [grads[name] for name in params], dy)


def test_a_token_is_what_its_column_says(params, rows):
    """With the attention and the MLP switched off, the class token alone is read: no column counts."""
    still = params | {name: 0 * a for name, a in params.items() if "output" in name}
    np.testing.assert_allclose(np.ptp(table_forward(*rows, still, TINY)[0], axis=0), 0, atol=1e-12)
    numbers, codes = rows
    _, cache = table_forward(numbers, codes, params, TINY)
    tokens = (cache.encoder.blocks[0].norm_1.normalized / cache.encoder.blocks[0].norm_1.inv_std).reshape(B, 6, 6)
    for b in range(B):
        for j in range(3):
            expected = numbers[b, j] * params["columns.slope"][j] + params["columns.offset"][j]
            np.testing.assert_allclose(tokens[b, 1 + j], expected - expected.mean(), atol=1e-12)
        for k, first in enumerate((0, 2)):
            expected = params["columns.vectors"][first + codes[b, k]] + params["columns.offset"][3 + k]
            np.testing.assert_allclose(tokens[b, 4 + k], expected - expected.mean(), atol=1e-12)


def test_weights_that_are_kept(params, rows):
    weights = table_forward(*rows, params, TINY, return_weights=True)[1].encoder.attention_weights
    assert weights.shape == (B, 2, 3, 6, 6)
    np.testing.assert_allclose(weights.sum(-1), 1)


def test_refusals(params, rows):
    numbers, codes = rows
    with pytest.raises(ShapeError, match=r"numbers: expected \(B, 3\); got \(4, 2\)"):
        table_forward(numbers[:, :2], codes, params, TINY)
    with pytest.raises(DataError, match="codes: expected categories from 0 to below"):
        table_forward(numbers, codes + 4, params, TINY)
    with pytest.raises(DataError, match="at least one column"):
        TableTransformerConfig(0)
    with pytest.raises(ShapeError, match="heads: expected a divisor"):
        TableTransformerConfig(3, n_heads=5)
    for name in ("n_outputs", "d_model", "n_layers", "n_heads", "d_ff"):
        with pytest.raises(DataError, match=f"{name}: expected 1 or more; got 0"):
            TableTransformerConfig(3, **{name: 0})
    with pytest.raises(DataError, match="n_numeric: expected 0 or more; got -1"):
        TableTransformerConfig(-1, (2, 3))
    with pytest.raises(DataError, match=r"cardinalities\[1\]: expected 1 or more; got 0"):
        TableTransformerConfig(3, (2, 0))

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from headwise.errors import DataError
from headwise.metrics.concentration import (
    class_token_weight,
    drop_class_token,
    effective_number,
    entropy,
    normalize_rows,
    self_weight,
)


def test_entropy_equals_scipys(distributions):
    p = distributions(2, 3, 7)
    p[0, 0] = [1, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(entropy(p), scipy_entropy(p, base=2, axis=-1), atol=1e-13)
    assert not np.signbit(entropy(p)).any()  # nothing is "-0.00 bits"


def test_the_effective_number_is_the_number_of_tokens_that_are_alike():
    for n in range(1, 8):
        np.testing.assert_allclose(effective_number(np.repeat([1 / n, 0], [n, 7 - n])), n)


def test_leaving_out_the_class_token(distributions):
    weights = distributions(2, 5, 5)
    kept, dropped = drop_class_token(weights)
    np.testing.assert_allclose(kept.sum(-1), 1)
    np.testing.assert_allclose(kept * (1 - dropped)[..., None], weights[:, 1:, 1:])
    np.testing.assert_array_equal(dropped, weights[:, 1:, 0])
    alone, _ = drop_class_token(np.array([[0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_array_equal(alone, [[0.0]])  # nothing left to share out, and no NaN


def test_what_is_on_the_class_token_and_on_itself(distributions):
    weights = distributions(2, 3, 5, 5)
    on_class, own = class_token_weight(weights), self_weight(weights)
    for layer, head, n in np.ndindex(2, 3, 5):
        assert on_class[layer, head, n] == weights[layer, head, n, 0]
        assert own[layer, head, n] == weights[layer, head, n, n]


def test_shares_sum_to_one_and_keep_their_ratios(rng):
    values = rng.random((3, 5))
    values[1] = 0
    found = normalize_rows(values)
    np.testing.assert_allclose(found.sum(-1), 1)
    np.testing.assert_allclose(found[::2] * values[::2, :1], values[::2] * found[::2, :1])
    np.testing.assert_array_equal(found[1], 0.2)


def test_many_small_floats_are_shared_out_too():
    np.testing.assert_allclose(normalize_rows(np.ones(100_000, np.float16)).sum(dtype=float), 1, rtol=1e-2)
    assert normalize_rows(np.ones(3, np.float16)).dtype == np.float16


@pytest.mark.parametrize("measure", [entropy, effective_number, normalize_rows])
def test_whole_numbers_are_refused(measure):
    with pytest.raises(DataError, match=r"expected float16, float32 or float64; got int64. Convert"):
        measure(np.eye(3, dtype=int))

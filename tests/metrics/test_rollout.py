import itertools

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.metrics.rollout import residual_mixture, rollout


def over_all_paths(weights, residual):
    """Sum over every path from an output down to an input of the product of the shares along it."""
    depth, _, n, _ = weights.shape
    found = np.zeros((n, n))
    for path in itertools.product(range(n), repeat=depth + 1):  # the input first, then the token after each layer
        share = 1.0
        for layer, (before, after) in enumerate(itertools.pairwise(path)):
            attended = np.mean([head[after, before] for head in weights[layer]])
            share *= residual * (after == before) + (1 - residual) * attended
        found[path[-1], path[0]] += share
    return found


@pytest.mark.parametrize("residual", [0.0, 0.3, 0.5, 1.0])
def test_rollout_is_the_sum_over_all_paths(residual, distributions):
    weights = distributions(3, 2, 5, 5)  # the layers differ, so their order counts
    np.testing.assert_allclose(rollout(weights, residual=residual), over_all_paths(weights, residual), atol=1e-14)


def test_rows_sum_to_one_however_deep(distributions):
    weights = distributions(2, 13, 3, 7, 7)  # a batch
    assert rollout(weights).shape == (2, 7, 7)
    np.testing.assert_allclose(rollout(weights).sum(-1), 1, atol=1e-13)
    single = rollout(weights.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.sum(-1), 1, atol=2e-6)
    np.testing.assert_allclose(residual_mixture(weights).sum(-1), 1, atol=1e-14)


def test_the_residual_path_alone_carries_each_token_to_itself(distributions):
    np.testing.assert_array_equal(rollout(distributions(3, 2, 5, 5), residual=1), np.eye(5))


def test_refusals(distributions):
    with pytest.raises(ShapeError, match="weights: expected"):
        rollout(distributions(3, 2, 5, 7))
    with pytest.raises(DataError, match=r"residual: expected a number from 0 to 1; got 1\.5"):
        rollout(distributions(3, 2, 5, 5), residual=1.5)

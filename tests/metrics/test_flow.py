import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.metrics import flow, rollout

EXACT = 1e-7  # capacities are rounded to 2⁻³⁰


def smallest_cut(weights, source, sink, residual):
    """The least capacity that separates them, over every way to split the tokens of all layers in two."""
    depth, _, n, _ = weights.shape
    count = (depth + 1) * n
    capacity = np.zeros((count, count))
    for layer, after, before in np.ndindex(depth, n, n):
        attended = np.mean([head[after, before] for head in weights[layer]])
        capacity[(layer + 1) * n + after, layer * n + before] = residual * (after == before) + (1 - residual) * attended
    near = (np.arange(1 << count)[:, None] >> np.arange(count) & 1).astype(float)  # which tokens are with the source
    near = near[(near[:, depth * n + source] == 1) & (near[:, sink] == 0)]
    return ((near @ capacity) * (1 - near)).sum(1).min()


@pytest.mark.parametrize(("depth", "tokens", "residual"), [(2, 3, 0.5), (3, 3, 0.5), (1, 5, 0.3), (5, 2, 0.0)])
def test_the_most_that_flows_is_the_smallest_cut(depth, tokens, residual, distributions):
    weights = distributions(depth, 2, tokens, tokens) ** 3  # uneven, so that the narrow place is not always the source
    weights /= weights.sum(-1, keepdims=True)
    for source in (0, tokens - 1):
        expected = [smallest_cut(weights, source, sink, residual) for sink in range(tokens)]
        np.testing.assert_allclose(flow(weights, source, residual=residual), expected, atol=EXACT)


def test_of_one_layer_the_flow_is_the_row_itself(distributions):
    weights = distributions(1, 3, 7, 7)
    for source in range(7):
        row = flow(weights, source, residual=0)
        np.testing.assert_allclose(row, weights[0, :, source].mean(0), atol=EXACT)
        assert row.sum() == pytest.approx(1, abs=7 * EXACT)


def test_between_what_rollout_sends_and_all_there_is(distributions):
    weights = distributions(3, 2, 5, 5)
    for source in range(5):  # what rollout sends is one way to fill the pipes, and no more than one leaves the source
        found = flow(weights, source)
        assert (rollout(weights)[source] - EXACT <= found).all()
        assert (found <= 1 + EXACT).all()


def test_refusals(distributions):
    with pytest.raises(DataError, match="source: expected a token from 0 to 4; got -1"):
        flow(distributions(3, 2, 5, 5), -1)
    weights = distributions(3, 2, 5, 5)
    for wrong in (np.where(weights > 0.5, np.nan, weights), weights * 9, -weights, weights - 1):
        with pytest.raises(DataError, match=r"weights: expected (none below 0|rows that sum to one|numbers)"):
            flow(wrong)
    with pytest.raises(ShapeError, match="weights: expected"):
        flow(distributions(2, 3, 2, 5, 5))  # one input at a time

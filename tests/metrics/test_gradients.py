import itertools

import numpy as np
import pytest

from headwise.errors import ShapeError
from headwise.metrics.gradients import gradient_rollout, gradient_weighted, head_importance
from helpers.oracles import numeric_gradients


def counted(weights, gradients, layer, n, m):
    """Mean over heads of weight times gradient, each head's counted only where it raises the answer."""
    terms = [a[n, m] * g[n, m] for a, g in zip(weights[layer], gradients[layer], strict=True)]
    return sum(term for term in terms if term > 0) / len(terms)


def test_gradient_weighted_equals_a_loop(rng, distributions):
    weights, gradients = distributions(2, 3, 5, 5), rng.normal(size=(2, 3, 5, 5))
    found = gradient_weighted(weights, gradients)
    assert found.shape == (2, 5, 5)
    for at in np.ndindex(found.shape):
        assert found[at] == pytest.approx(counted(weights, gradients, *at))


def test_gradient_rollout_is_a_sum_over_all_paths(rng, distributions):
    weights, gradients = distributions(3, 2, 5, 5), rng.normal(size=(3, 2, 5, 5))
    expected = np.zeros((5, 5))
    for path in itertools.product(range(5), repeat=4):  # each layer's token stays where it was, or takes from another
        share = 1.0
        for layer, (before, after) in enumerate(itertools.pairwise(path)):
            share *= (before == after) + counted(weights, gradients, layer, after, before)
        expected[path[-1], path[0]] += share
    np.testing.assert_allclose(gradient_rollout(weights, gradients), expected)
    batch = gradient_rollout(weights[None].repeat(2, 0), gradients[None].repeat(2, 0))
    np.testing.assert_allclose(batch, [expected, expected])


def test_where_nothing_raises_the_answer_nothing_is_relevant(distributions):
    weights = distributions(3, 2, 5, 5)
    np.testing.assert_array_equal(gradient_rollout(weights, -weights), np.eye(5))


def test_head_sensitivity_is_the_slope_over_a_gate_on_the_head(rng, distributions):
    weights, values = distributions(2, 3, 5, 5), rng.normal(size=(2, 3, 5, 7))  # two inputs, three heads
    mixing, read = rng.normal(size=(3, 7, 11)), rng.normal(size=(5, 11))

    def loss(p, gates, item):
        heads = [gates[h] * (p[h] @ values[item, h]) @ mixing[h] for h in range(3)]
        return np.array((np.tanh(sum(heads)) * read).sum())

    one, gates = np.array(1.0), np.ones(3)
    dp = np.array([numeric_gradients(lambda p, i=i: loss(p, gates, i), [weights[i]], one)[0] for i in range(2)])
    dgates = [numeric_gradients(lambda g, i=i: loss(weights[i], g, i), [gates], one)[0] for i in range(2)]
    expected = [(abs(dgates[0][h]) + abs(dgates[1][h])) / 2 for h in range(3)]
    np.testing.assert_allclose(head_importance(weights, dp), expected, rtol=1e-7)
    assert np.abs(np.mean(dgates, axis=0) - expected).max() > 0.1  # the mean of the slopes would be another number


@pytest.mark.parametrize("measure", [gradient_weighted, gradient_rollout, head_importance])
def test_refusals(measure):
    with pytest.raises(ShapeError, match="gradients: expected"):
        measure(np.zeros((2, 3, 5, 5)), np.zeros((2, 2, 5, 5)))
    with pytest.raises(ShapeError, match="weights: expected"):
        measure(np.zeros((2, 3, 5, 7)), np.zeros((2, 3, 5, 7)))


def test_heads_are_not_taken_for_inputs():
    with pytest.raises(ShapeError, match=r"weights: expected \(\.\.\., B, H, N, N\); got \(3, 5, 5\)"):
        head_importance(np.zeros((3, 5, 5)), np.zeros((3, 5, 5)))

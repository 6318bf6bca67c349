import itertools
from math import factorial

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.metrics import TabulatedGame, coalitions, insertion_curve, random_orders, sampled_shapley, shapley

ALL = frozenset(range(5))


def over_all_orders(worths, tokens):
    """What each token adds when it comes, the mean over every order in which they could."""
    values = np.zeros(tokens)
    for order in itertools.permutations(range(tokens)):
        for k, m in enumerate(order):
            values[m] += worths[frozenset(order[: k + 1])] - worths[frozenset(order[:k])]
    return values / factorial(tokens)


def test_exact_values_equal_the_mean_over_all_orders(game):
    worths, worth = game
    values = shapley(worth(coalitions(5)))
    np.testing.assert_allclose(values, over_all_orders(worths, 5), atol=1e-14)
    assert values.sum() == pytest.approx(worths[ALL] - worths[frozenset()])  # efficiency


def test_symmetry_dummy_and_additivity(rng):
    kept = coalitions(7)
    private, common = rng.normal(size=7), rng.normal(size=8)
    private[3], private[5] = private[2], 0
    others = kept[:, [0, 1, 2, 3, 4, 6]]  # 2 and 3 count alike, and 5 adds nothing to any set
    first, second = kept @ private, common[others.sum(axis=1)]
    both = shapley(first + second)
    assert both[2] == pytest.approx(both[3])
    assert both[5] == pytest.approx(0, abs=1e-14)
    np.testing.assert_allclose(both, shapley(first) + shapley(second), atol=1e-14)
    np.testing.assert_allclose(shapley(first), private, atol=1e-14)  # without interaction, each its own


def test_sets_are_numbered_by_the_bits_of_their_tokens(game):
    kept = coalitions(5)
    assert [sum(1 << m for m in np.flatnonzero(row)) for row in kept] == list(range(32))
    _, worth = game
    np.testing.assert_array_equal(TabulatedGame(worth(kept))(kept[[19, 3, 31, 0]]), worth(kept[[19, 3, 31, 0]]))


def test_sampled_over_all_orders_is_exact(game):
    worths, worth = game
    orders = np.array(list(itertools.permutations(range(5))))
    found = sampled_shapley(orders, insertion_curve(worth, orders))
    np.testing.assert_allclose(found.values, over_all_orders(worths, 5), atol=1e-14)


def test_sampled_values_are_off_by_as_much_as_they_say(rng):
    table = TabulatedGame(rng.normal(size=1 << 7))
    exact, far = shapley(table.values), []
    for _ in range(300):
        orders = random_orders(7, 53, rng)
        found = sampled_shapley(orders, insertion_curve(table, orders))
        assert found.values.sum() == pytest.approx(table.values[-1] - table.values[0])  # whatever the orders
        far.append((found.values - exact) / found.errors)
    # in units of the stated error they are a t of 52 degrees of freedom: no bias, and a spread of one
    assert np.abs(np.mean(far, axis=0)).max() < 4 / np.sqrt(300)
    assert np.std(far) == pytest.approx(np.sqrt(52 / 50), rel=0.06)


def test_refusals():
    with pytest.raises(DataError, match=r"worths: expected one value per coalition"):
        shapley(np.zeros(31))
    orders = np.array([[0, 2, 1]])
    with pytest.raises(DataError, match=r"worths: expected one value per coalition of N tokens, .*; got \(0,\)"):
        shapley(np.zeros(0))
    with pytest.raises(DataError, match="orders: expected two or more"):
        sampled_shapley(orders, np.zeros((1, 4)))
    with pytest.raises(ShapeError, match="curves: expected"):
        sampled_shapley(orders.repeat(2, 0), np.zeros((2, 3)))

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.metrics.perturbation import (
    aopc,
    auc,
    comprehensiveness,
    deletion_curve,
    insertion_curve,
    random_orders,
    rank_tokens,
    sufficiency,
)

SHARES = [Fraction(1, 20), Fraction(1, 10), Fraction(1, 5), Fraction(1, 2)]


def test_deletion_takes_away_and_insertion_puts_in(game, rng):
    worths, worth = game
    orders = rng.permuted(np.tile(np.arange(5), (2, 7, 1)), axis=-1)
    deleted, inserted = deletion_curve(worth, orders), insertion_curve(worth, orders)
    assert deleted.shape == inserted.shape == (2, 7, 6)
    for (*at, k), order in ((at, orders[at[:-1]].tolist()) for at in np.ndindex(deleted.shape)):
        assert deleted[(*at, k)] == worths[frozenset(order[k:])]
        assert inserted[(*at, k)] == worths[frozenset(order[:k])]


@pytest.mark.parametrize("order", [[0, 0, 1, 2, 3], [1, 2, 3, 4, 5], [-1, 0, 1, 2, 3]])
@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_an_order_has_every_token_once(game, curve, order):
    with pytest.raises(DataError, match="orders: expected every token from 0 to 4 once"):
        curve(game[1], np.array([order]))


def test_each_different_set_is_played_once(game):
    _, worth = game
    played = []

    def counting(kept):
        played.extend(map(bytes, kept))
        return worth(kept)

    deletion_curve(counting, random_orders(5, 211, np.random.default_rng(0)))
    assert len(played) == len(set(played)) == 32


def test_area_is_that_of_trapezia(rng):
    curves = rng.random((2, 3, 8))
    for at in np.ndindex(2, 3):
        expected = sum((a + b) / 2 / 7 for a, b in zip(curves[at], curves[at][1:], strict=False))
        assert auc(curves)[at] == pytest.approx(expected)
    assert auc(np.ones(8)) == pytest.approx(1)  # whatever the number of tokens


def test_aopc_is_the_mean_fall_over_all_steps(rng):
    curves = rng.random((3, 6))
    for found, curve in zip(aopc(curves), curves, strict=True):
        assert found == pytest.approx(sum(curve[0] - v for v in curve) / 6)


@pytest.mark.parametrize("tokens", [1, 2, 5, 16, 20, 28, 49])
def test_comprehensiveness_and_sufficiency_equal_a_loop(tokens, rng):
    deleted, inserted = rng.random((2, 3, tokens + 1))
    sizes = [ceil(share * tokens) for share in SHARES]
    for item in range(3):
        lost = [deleted[item, 0] - deleted[item, size] for size in sizes]
        lacking = [inserted[item, tokens] - inserted[item, size] for size in sizes]
        assert comprehensiveness(deleted)[item] == pytest.approx(sum(lost) / 4)
        assert sufficiency(inserted)[item] == pytest.approx(sum(lacking) / 4)


def test_shares_of_tokens_are_rounded_up_from_exact_shares():
    for tokens in range(1, 400):
        steps = np.arange(tokens + 1.0)
        assert comprehensiveness(-steps) == pytest.approx(sum(ceil(share * tokens) for share in SHARES) / 4), tokens


def test_ranking_is_from_the_largest_and_ties_are_broken_at_random():
    rng = np.random.default_rng(0)
    values = np.array([0.3, 0.1, 0.3, 0.9, 0.3])
    drawn = [tuple(rank_tokens(values, rng).tolist()) for _ in range(600)]
    assert {order[0] for order in drawn} == {3}
    assert {order[-1] for order in drawn} == {1}
    middles = [order[1:4] for order in drawn]
    counts = [middles.count(middle) for middle in set(middles)]
    assert len(counts) == 6  # all orders of the three that tie
    assert min(counts) > 65  # of 100 each; one in 10⁴ draws is as uneven as that


def test_random_orders_are_permutations_drawn_evenly():
    orders = random_orders(5, 2000, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(5), (2000, 1)))
    counts = [np.bincount(orders[:, place], minlength=5) for place in range(5)]
    assert np.abs(np.array(counts) - 400).max() < 90  # five standard deviations

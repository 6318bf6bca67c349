import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from headwise.errors import DataError, ShapeError
from headwise.metrics.faithfulness import faithfulness, spearman
from headwise.metrics.perturbation import auc, comprehensiveness, deletion_curve, insertion_curve, sufficiency
from headwise.metrics.shapley import coalitions, shapley


def fair(worths):
    """A game of tokens that add up, so that the best order is that of their worths, and the worst its reverse."""
    return lambda kept: kept @ worths


WORTHS = np.array([0.31, 0.02, 0.17, 0.05, 0.11, 0.23, 0.07])


def judged(values, worth=None, ink=None, orders=1000):
    return played(values, worth, ink, orders)[0]


def played(values, worth=None, ink=None, orders=1000):
    ink = np.zeros(len(values)) if ink is None else ink
    return faithfulness(worth or fair(WORTHS), values, ink, orders=orders, rng=np.random.default_rng(0))


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_equals_scipys(ties, rng):
    for n in (2, 3, 7, 13):
        a, b = rng.integers(3, size=(2, n)).astype(float) if ties else rng.normal(size=(2, n))
        a[0], a[1] = 5, -5  # never all alike, of which SciPy knows no correlation
        b[0], b[1] = -5, 5
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(np.ones(5), np.arange(5.0)) == 0


def test_a_perfect_map_beats_every_other_order():
    found = judged(WORTHS)
    assert found.shapley == pytest.approx(1)
    for measure, random in (("deletion", found.random_deletion), ("insertion", found.random_insertion)):
        assert getattr(found, f"fraction_of_random_beaten_{measure}") > 0.998  # 1 in 5040 orders is the map's own
        mean, low, high = random
        assert low < mean < high
    assert found.deletion < found.random_deletion[1] < found.random_insertion[2] < found.insertion
    assert (found.full, found.empty, found.tokens, found.shapley_error) == (pytest.approx(0.96), 0, 7, 0)


def test_an_inverted_map_loses_to_every_other_order():
    found = judged(-WORTHS)
    assert found.shapley == pytest.approx(-1)
    assert found.fraction_of_random_beaten_deletion < 0.002 > found.fraction_of_random_beaten_insertion
    best = judged(WORTHS)
    assert found.deletion == pytest.approx(best.insertion)  # of tokens that add up, one is the other's mirror
    assert found.comprehensiveness < best.comprehensiveness
    assert found.sufficiency > best.sufficiency


def test_a_uniform_map_is_chance():
    """Its order is drawn again each time, so it is judged many times."""
    rng = np.random.default_rng(0)
    found = [faithfulness(fair(WORTHS), np.ones(7), WORTHS, orders=20, rng=rng)[0] for _ in range(200)]
    assert {each.shapley for each in found} == {0.0}
    assert {round(each.ink_shapley, 12) for each in found} == {1.0}
    for measure in ("deletion", "insertion"):
        assert np.mean([getattr(each, f"fraction_of_random_beaten_{measure}") for each in found]) == pytest.approx(
            0.5, abs=0.08
        )
        mean = np.mean([getattr(each, f"random_{measure}")[0] for each in found])
        assert np.mean([getattr(each, measure) for each in found]) == pytest.approx(mean, rel=0.05)


def test_every_number_is_that_of_its_own_measure(game, rng):
    _, worth = game
    values, ink = rng.random(5), rng.random(5)
    found, curves = played(values, worth, ink, orders=5000)
    order, by_ink = np.argsort(-values), np.argsort(-ink)
    worths = shapley(worth(coalitions(5)))
    assert found.deletion == pytest.approx(auc(deletion_curve(worth, order)))
    np.testing.assert_allclose(curves[:, 0], [deletion_curve(worth, order), insertion_curve(worth, order)])
    np.testing.assert_allclose(curves[:, 1], [deletion_curve(worth, by_ink), insertion_curve(worth, by_ink)])
    assert found.insertion == pytest.approx(auc(insertion_curve(worth, order)))
    assert found.ink_deletion == pytest.approx(auc(deletion_curve(worth, by_ink)))
    assert found.ink_insertion == pytest.approx(auc(insertion_curve(worth, by_ink)))
    assert found.comprehensiveness == pytest.approx(comprehensiveness(deletion_curve(worth, order)))
    assert found.sufficiency == pytest.approx(sufficiency(insertion_curve(worth, order)))
    assert found.shapley == pytest.approx(spearmanr(values, worths).statistic)
    assert found.ink_shapley == pytest.approx(spearmanr(ink, worths).statistic)
    assert (found.full, found.empty) == (worth(np.ones((1, 5), bool))[0], worth(np.zeros((1, 5), bool))[0])
    every = np.array(list(itertools.permutations(range(5))))
    for measured, own, random, beaten, better in (
        (
            deletion_curve(worth, every),
            found.deletion,
            found.random_deletion,
            found.fraction_of_random_beaten_deletion,
            1,
        ),
        (
            insertion_curve(worth, every),
            found.insertion,
            found.random_insertion,
            found.fraction_of_random_beaten_insertion,
            -1,
        ),
    ):
        areas = auc(measured)
        assert random[0] == pytest.approx(areas.mean(), abs=4 * areas.std() / np.sqrt(5000))
        step = 0 if better > 0 else 1
        np.testing.assert_allclose(curves[step, 2], measured.mean(axis=0), atol=0.05)
        np.testing.assert_allclose(curves[step, 3:], np.percentile(measured, [2.5, 97.5], axis=0), atol=0.05)
        np.testing.assert_allclose(random[1:], np.percentile(areas, [2.5, 97.5]), atol=0.1 * areas.std())
        assert beaten == pytest.approx((better * areas > better * own + 1e-12).mean(), abs=0.03)


def test_above_sixteen_tokens_the_values_are_estimated_and_say_how_well(rng):
    worths = rng.random(17)
    played = []

    def worth(kept):
        played.append(len(kept))
        return (kept @ worths) ** 2

    found = judged(worths, worth, orders=100)
    assert 0 < found.shapley_error < 1
    assert found.shapley > 0.9
    assert sum(played) <= 2 * 102 * 18  # the sets that the orders need, not 2¹⁷
    played.clear()
    assert judged(worths[:13], lambda kept: played.append(len(kept)) or kept @ worths[:13]).shapley_error == 0
    assert played == [1 << 13]  # all sets once, and everything else looked up


def test_refusals():
    with pytest.raises(DataError, match=r"ink: expected .* \(7,\) .*; got \(5,\)"):
        judged(WORTHS, ink=np.zeros(5))
    with pytest.raises(DataError, match="orders: expected two or more; got 1"):
        judged(WORTHS, orders=1)
    with pytest.raises(DataError, match="values and ink: expected numbers that can be ranked; got NaN"):
        judged(np.where(WORTHS > 0.1, WORTHS, np.nan))
    with pytest.raises(ShapeError, match=r"b: expected \(N=7,\)"):
        spearman(WORTHS, WORTHS[:5])
    with pytest.raises(DataError, match="b: expected numbers that can be ranked; 1 are NaN"):
        spearman(WORTHS, np.where(np.arange(len(WORTHS)) == 2, np.nan, WORTHS))

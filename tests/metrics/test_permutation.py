"""The permutation test: against SciPy, and its rate of false alarms."""

import itertools

import numpy as np
import pytest
from scipy import stats

from headwise.errors import ShapeError
from headwise.metrics.permutation import holm, permutation_test, sign_flip_test


@pytest.mark.parametrize("paired", [True, False])
def test_p_values_are_scipys(rng, paired):
    a, b = rng.normal(size=23), rng.normal(0.5, size=23)
    kind = "samples" if paired else "independent"
    expected = stats.permutation_test(
        (a, b), lambda x, y, axis: y.mean(axis) - x.mean(axis), permutation_type=kind, vectorized=True,
        n_resamples=9999, random_state=1,
    )  # fmt: skip
    result = permutation_test(a, b, paired=paired)
    assert result.p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert result.difference == pytest.approx(b.mean() - a.mean())


def test_the_interval_is_scipys_percentile_bootstrap(rng):
    a, b = rng.normal(size=41), rng.normal(1, size=41)
    expected = stats.bootstrap((b - a,), np.mean, method="percentile", random_state=2).confidence_interval
    result = permutation_test(a, b, paired=True)
    np.testing.assert_allclose([result.low, result.high], expected, atol=0.05)
    unpaired = permutation_test(a, b, paired=False)
    assert unpaired.low < unpaired.difference < unpaired.high


def test_equal_groups_are_significant_as_often_as_stated(rng):
    p = [permutation_test(*rng.normal(size=(2, 11)), paired=bool(i % 2)).p_value for i in range(120)]
    assert 0 <= np.mean(np.array(p) <= 0.05) <= 0.12


def test_no_difference_at_all():
    a = np.arange(7.0)
    assert permutation_test(a, a, paired=True).p_value == 1


def test_groups_that_cannot_be_compared(rng):
    for a, b, paired in ((np.zeros(3), np.zeros(2), True), (np.zeros(0), np.zeros(2), False)):
        with pytest.raises(ShapeError):
            permutation_test(a, b, paired=paired)


def test_holm_is_monotone_and_at_most_one():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.9])), [0.04, 0.09, 0.09, 0.9])


def test_signs_are_flipped_in_all_places_together(rng):
    """Against all 128 assignments of signs."""
    d = rng.normal(size=(7, 5)) + np.array([0, 1.5, 0, 0, -0.7])
    d[:, 3] = 0
    size = np.sqrt((d**2).sum(axis=0))
    statistic = np.divide(np.abs(d.sum(axis=0)), size, out=np.zeros(5), where=size > 0)
    signs = np.array(list(itertools.product((-1, 1), repeat=7)))
    null = np.max([np.abs(signs @ d[:, j]) / size[j] for j in (0, 1, 2, 4)], axis=0)
    exact = [np.mean(null >= t - 1e-9) for t in statistic]
    p = sign_flip_test(d, permutations=4999)
    np.testing.assert_allclose(p[[0, 1, 2, 4]], np.array(exact)[[0, 1, 2, 4]], atol=0.02)
    assert p[3] == 1


def test_any_false_alarm_among_many_places_is_rare(rng):
    alarms = [(sign_flip_test(rng.normal(size=(11, 60)), permutations=199) <= 0.05).any() for _ in range(200)]
    assert np.mean(alarms) < 0.1

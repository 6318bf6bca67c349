"""Tests and intervals of paired runs, against SciPy's and against trying all there is to try."""

import itertools
import math

import numpy as np
import pytest

from headwise.experiments.statistics import Interval, min_attainable_p, sign_flip_test, t_interval


@pytest.mark.parametrize("differences", [(3, -1, 2, 5, 0), (1, 1, -1), (-4, -4, -4, -4), (0, 0), (7,)])
def test_sign_flip_is_what_trying_all_signs_gives(differences):
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    assert sign_flip_test(differences) == np.mean([total >= abs(sum(differences)) for total in sums])


def test_sign_flip_of_single_digits_is_mcnemars_exact_test():
    from scipy.stats import binomtest

    for better, worse in ((11, 3), (5, 5), (0, 7)):
        expected = binomtest(better, better + worse, 0.5).pvalue
        assert sign_flip_test([1] * better + [-1] * worse + [0] * 89) == pytest.approx(expected, rel=1e-12)


def test_the_smallest_p_is_that_of_all_signs_alike():
    for n in (1, 2, 5, 6):
        assert sign_flip_test([1] * n) == min_attainable_p(n)
    assert min_attainable_p(5) > 0.05 > min_attainable_p(6)  # six seeds are the least that can show anything


def test_t_interval_equals_scipys():
    from scipy.stats import t

    values = [0.91, 0.95, 0.88, 0.97, 0.93]
    low, high = t.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) / math.sqrt(5))
    assert t_interval(values) == pytest.approx((np.mean(values), low, high))


def test_an_interval_is_cut_at_what_can_be():
    assert Interval(0.9, 0.7, 1.1).within(0, 1) == (0.9, 0.7, 1)
    assert Interval(0.9, None, None).within(0, 1) == (0.9, None, None)

import numpy as np
from scipy.spatial.distance import jensenshannon

from headwise.metrics.head_agreement import head_agreement


def test_agreement_is_scipys_jensen_shannon_distance_from_one(distributions):
    maps = distributions(2, 3, 7)  # layers, heads, tokens
    maps[1, 1] = np.eye(7)[2]
    flat = maps.reshape(6, 7)
    expected = [[1 - jensenshannon(p, q, base=2) if p is not q else 1 for q in flat] for p in flat]
    np.testing.assert_allclose(head_agreement(maps), expected, atol=1e-12)


def test_symmetric_bounded_and_whole_with_itself(rng):
    maps = rng.random((101, 5)) ** 7
    maps[3], maps[4] = 0, 13  # all zero is taken as even, and only shares count
    maps[53:] = 7 * maps[5:53]  # some of these differ by rounding, and so might their divergence from zero
    found = head_agreement(maps)
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) > 1 - 1e-7).all()  # the root of a rounding error of 1e-16 is 1e-8
    assert 0 <= found.min() <= found.max() <= 1
    assert found[3, 4] > 1 - 1e-7
    assert (np.diag(found[53:, 5:53]) > 1 - 1e-7).all()
    assert found[0, 1] < 1 - 1e-3


def test_maps_with_no_token_in_common_do_not_agree():
    np.testing.assert_array_equal(head_agreement(np.eye(3, 5)), np.eye(3))

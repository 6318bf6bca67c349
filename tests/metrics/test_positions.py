import numpy as np
import pytest
from scipy.spatial.distance import cdist

from headwise.errors import ShapeError
from headwise.metrics.positions import position_similarity


def test_similarity_is_scipys_cosine_distance_from_one(rng):
    positions = rng.normal(size=(7, 5))
    np.testing.assert_allclose(position_similarity(positions), 1 - cdist(positions, positions, "cosine"), atol=1e-14)


def test_never_more_than_one_and_nothing_for_an_embedding_of_zeros(rng):
    positions = rng.normal(size=(11, 3)).astype(np.float32)
    positions[7], positions[8] = 0, -3 * positions[2]
    found = position_similarity(positions)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1
    np.testing.assert_array_equal(found[7], 0)
    assert found[2, 8] == pytest.approx(-1)


def test_one_layer_of_positions_at_a_time():
    with pytest.raises(ShapeError, match=r"positions: expected \(N, D\)"):
        position_similarity(np.zeros((2, 3, 5)))

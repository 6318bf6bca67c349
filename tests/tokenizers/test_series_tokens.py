import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.tokenizers.series import Standardizer, pad_series, valid_mask


def test_padding_at_the_end(rng):
    series = [rng.normal(size=(n, 3)) for n in (2, 5, 1)]
    x, lengths = pad_series(series)
    assert x.shape == (3, 5, 3)
    assert x.dtype == np.float32
    steps = valid_mask(x, lengths)
    assert steps.sum(axis=1).tolist() == [2, 5, 1]
    np.testing.assert_allclose(x[steps], np.concatenate(series), rtol=1e-6)
    np.testing.assert_array_equal(x[~steps], 0)


def test_refusals(rng):
    with pytest.raises(DataError, match="at least one; got none"):
        pad_series([])
    with pytest.raises(ShapeError, match=r"series 1: expected \(steps, V=3\), as series 0; got \(2, 4\)"):
        pad_series([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(DataError, match="series 0: expected at least one step"):
        pad_series([np.ones((0, 3))])
    with pytest.raises(ShapeError, match=r"x: expected \(B, N, V=2\)"):
        Standardizer(np.zeros(2), np.ones(2)).transform(np.ones((1, 5, 3)), np.array([5]))


def test_a_variable_that_never_changes_has_deviation_one():
    lengths = np.array([50])
    scale = Standardizer.fit(np.full((1, 50, 1), 0.1), lengths)  # NumPy's deviation of these is not 0
    assert scale.std.tolist() == [1]
    np.testing.assert_allclose(scale.transform(np.full((1, 50, 1), 0.2), lengths), 0.1, rtol=1e-6)

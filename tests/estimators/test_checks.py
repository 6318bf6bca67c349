"""scikit-learn's own checks, all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from headwise.estimators import TransformerClassifier, TransformerRegressor

SMALL = {
    "d_model": 8,
    "n_layers": 1,
    "n_heads": 2,
    "d_ff": 8,
    "max_iter": 20,
    "learning_rate": 0.02,
    "n_iter_no_change": 8,
}


@pytest.mark.sampled
@parametrize_with_checks([TransformerClassifier(**SMALL)])
def test_scikit_learns_check(estimator, check):
    check(estimator)


@pytest.mark.exhaustive  # the two estimators differ in their loss alone
@parametrize_with_checks([TransformerRegressor(**SMALL)])
def test_scikit_learns_check_of_a_regressor(estimator, check):
    check(estimator)

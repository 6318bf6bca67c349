"""scikit-learn's own checks, all of them."""

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


@parametrize_with_checks([TransformerClassifier(**SMALL), TransformerRegressor(**SMALL)])
def test_scikit_learns_check(estimator, check):
    check(estimator)

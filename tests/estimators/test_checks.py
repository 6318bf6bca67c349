"""scikit-learn's own checks, all of them."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from headwise.estimators import TransformerClassifier, TransformerRegressor

SMALL = {"width": 8, "depth": 1, "heads": 2, "hidden": 8, "epochs": 20, "rate": 0.02, "patience": 8}


@parametrize_with_checks([TransformerClassifier(**SMALL), TransformerRegressor(**SMALL)])
def test_scikit_learns_check(estimator, check):
    check(estimator)

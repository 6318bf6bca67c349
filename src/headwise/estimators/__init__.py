"""Transformers as scikit-learn estimators, for tables, series, sets and images.

``import headwise`` alone does not load scikit-learn.
"""

from importlib.util import find_spec

from headwise.errors import MissingExtraError

if find_spec("sklearn") is None:
    raise MissingExtraError("headwise.estimators", "scikit-learn", "lab")

from headwise.estimators.transformers import TransformerClassifier, TransformerRegressor

__all__ = ["TransformerClassifier", "TransformerRegressor"]

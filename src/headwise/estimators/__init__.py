"""Transformers as scikit-learn estimators: tables, series, sets and images by ``fit`` and ``predict``.

Import from here; ``import headwise`` alone does not load scikit-learn.
"""

from headwise.errors import MissingExtraError

try:
    import sklearn  # noqa: F401
except ImportError:
    raise MissingExtraError("headwise.estimators", "scikit-learn", "lab") from None

from headwise.estimators.transformers import TransformerClassifier, TransformerRegressor

__all__ = ["TransformerClassifier", "TransformerRegressor"]

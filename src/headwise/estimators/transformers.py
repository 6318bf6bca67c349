"""`TransformerClassifier` and `TransformerRegressor`."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets

from headwise.attention.textbook import softmax
from headwise.errors import DataError
from headwise.estimators.base import Transformer
from headwise.estimators.validation import target_array
from headwise.shapes import Array
from headwise.tokenizers.tabular import column_std

_Estimator = TypeVar("_Estimator", bound=Transformer)

_PARAMETERS = """\
Parameters
    ----------
    kind : {"auto", "table", "series", "sets", "images"}
        What X contains. With "auto" it is inferred from the axes: (items, columns) is a table, whose columns become
        tokens; (items, steps, variables) are series. Sets (items, members, variables) and images (items, height, width)
        must be named. Series and sets of unequal length are a list of arrays, or padded with rows of NaN.
    categories : "auto" or list of int, str or bool
        The categorical columns of a table, by name, index or mask; with "auto" the non-numeric columns of a data
        frame. In a data frame, indices can be used if no column has a number for a name. Categories that do not occur
        in the training rows raise an error.
    tokenizer : str
        For images: "rows", "columns", "pixels", a patch size such as "4x4", or any other name that
        `headwise.tokenizers.get_tokenizer` accepts.
    d_model, n_layers, n_heads, d_ff : int
        D, L, H (a divisor of D), and the hidden width of the MLP, which set transformers ignore: theirs is D.
    max_iter, batch_size : int
        Largest number of epochs, and items per step.
    learning_rate, weight_decay : float
        Peak of the learning rate schedule, and AdamW's weight decay.
    validation_fraction : float
        Fraction of the items, stratified by class, used for early stopping; with 0 all epochs are run.
    n_iter_no_change : int
        Training stops when the validation loss has not improved for this many epochs; the parameters with the lowest
        validation loss are used.
    verbose : int
        Show a progress bar, if not 0.
    n_jobs : int or None
        Threads: one for None, every core for -1. The result does not depend on it.
    random_state : int, RandomState or None
        The same integer gives the same result.

    Attributes
    ----------
    attention_ : ndarray of shape (L, H, N, N)
        Attention weights of every layer and head, averaged over the training items (where lengths differ: over the
        items that have the query token); ``attention(X)`` returns those of each item. Rows sum to one.
    tokens_ : tuple of str
        Names of the tokens; the first is the class token, except for series and sets, which have none.
    n_iter_ : int
        Number of epochs run.
    history_ : tuple of Epoch
        Losses of each epoch.
    params_ : dict
        The trained parameters.
    n_features_in_ : int
        Number of columns or variables, or the width of the images."""


def _with_parameters(estimator: type[_Estimator]) -> type[_Estimator]:
    """Insert the shared parameters into a docstring."""
    estimator.__doc__ = (estimator.__doc__ or "").replace("{parameters}", _PARAMETERS)
    return estimator


@_with_parameters
class TransformerClassifier(ClassifierMixin, Transformer):
    """A transformer for classification, with the interface of scikit-learn.

    With its defaults it is about as accurate on scikit-learn's digits as logistic regression; see the documentation.

    {parameters}
    classes_ : ndarray of shape (C,)
        The labels, sorted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TransformerClassifier(d_model=8, n_layers=1, n_heads=2, d_ff=16, learning_rate=0.01, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    >>> model.tokens_, model.attention_.shape
    (('class', 'column 0', 'column 1', 'column 2', 'column 3'), (1, 2, 5, 5))
    """

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Train on items and their labels.

        Parameters
        ----------
        X : array_like of shape (B, columns) or (B, N, V), or list of array_like of shape (N, V)
        y : array_like of shape (B,)

        Returns
        -------
        self

        Raises
        ------
        DataError
            If a value is missing, an item is empty, or a class has too few items for validation.
        """
        inputs, labels = self._encode(X, y)
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        self._fit(inputs, targets.astype(np.int64), len(self.classes_))
        return self

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Probabilities (B, C) of the classes."""
        return softmax(self._outputs(X))

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable label (B,) of each item."""
        indices = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[indices])

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Fraction of the items whose label is predicted."""
        return float(super().score(X, target_array(y, numeric=False), sample_weight))

    def _label(self, index: Any) -> Any:
        return self.classes_.tolist()[index]


@_with_parameters
class TransformerRegressor(RegressorMixin, Transformer):
    """A transformer for regression, with the interface of scikit-learn; squared error on standardized values.

    {parameters}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = TransformerRegressor(d_model=8, n_layers=1, n_heads=2, d_ff=16, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.3
    True
    """

    _numeric = True

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Train on items and their values.

        Parameters
        ----------
        X : array_like of shape (B, columns) or (B, N, V), or list of array_like of shape (N, V)
        y : array_like of shape (B,)

        Returns
        -------
        self

        Raises
        ------
        DataError
            If a value is missing, or an item is empty.
        """
        inputs, values = self._encode(X, y)
        values = values.astype(np.float64)
        with np.errstate(over="ignore"):  # an error is raised below
            self._mean, self._std = float(values.mean()), float(column_std(values[:, None])[0])
        if not np.isfinite(self._std):
            raise DataError("y: values are too large to compute with. Rescale them.")
        self._fit(inputs, ((values - self._mean) / self._std)[:, None].astype(np.float32), 1)
        return self

    def predict(self, X: npt.ArrayLike) -> Array:
        """The predicted value (B,) of each item."""
        return self._outputs(X)[:, 0] * self._std + self._mean

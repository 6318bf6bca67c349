"""The base class of the two estimators: encoding the data, training with early stopping, attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from headwise.data.split import stratified_holdout
from headwise.errors import DataError, ShapeError
from headwise.estimators.columns import (
    category_columns,
    check_container,
    check_dates,
    check_text,
    mixed_values,
    warn_identifiers,
)
from headwise.estimators.encoders import DataEncoder, ImageEncoder, ModelSize, SequenceEncoder, TableEncoder
from headwise.estimators.validation import (
    array_3d,
    check_float32_range,
    check_hyperparameters,
    infer_kind,
    readable_numbers,
    table_validation,
    target_array,
)
from headwise.models.trainable import Inputs
from headwise.nn.params import Params
from headwise.parallel.threads import limit_threads
from headwise.progress import show_progress
from headwise.shapes import Array
from headwise.train import Epoch, Examples, Supervised, TrainingConfig, predict_batched, train

_ATTENTION_BATCH = 128  # items whose attention weights are in memory at once


class Transformer(BaseEstimator):
    """Base class of `TransformerClassifier` and `TransformerRegressor`."""

    def __init__(
        self,
        kind: str = "auto",
        *,
        categories: str | Sequence[int | str] = "auto",
        tokenizer: str = "rows",
        d_model: int = 32,
        n_layers: int = 2,
        n_heads: int = 4,
        d_ff: int = 64,
        max_iter: int = 30,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.05,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 10,
        verbose: int = 0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.kind = kind
        self.categories = categories
        self.tokenizer = tokenizer
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.d_ff = d_ff
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.random_state = random_state

    _numeric = False  # whether y is numeric

    def attention(self, X: npt.ArrayLike) -> Array:
        """Attention weights of every layer and head for some items.

        `X`: as in ``fit``.
        Returns (B, L, H, N, N): how much token n attends to token m; ``tokens_`` has the names of the tokens. Zero for
        padding.
        """
        inputs = self._inputs(X)
        return self._encoder.reorder(np.concatenate(list(self._attention(inputs))))

    def _fit(self, inputs: Inputs, targets: npt.NDArray[Any], n_outputs: int) -> None:
        """Train on encoded items; targets are classes (B,) or standardized numbers (B, 1)."""
        rng = check_random_state(self.random_state)
        self.model_ = self._encoder.build_model(
            n_outputs, ModelSize(self.d_model, self.n_layers, self.n_heads, self.d_ff)
        )
        recipe = TrainingConfig(
            epochs=self.max_iter,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            max_shift=0,
            max_rotation=0,
            seed=int(rng.randint(2**31 - 1)),
        )
        task = self._task(Examples(inputs, targets), recipe.seed)
        with self._progress() as on_epoch:
            patience = self.n_iter_no_change if task.validation is not None else None
            result = train(task, recipe, patience=patience, threads=effective_n_jobs(self.n_jobs), on_epoch=on_epoch)
        # in double precision, so that the prediction for an item hardly depends on the others in its batch
        self.params_: Params = {name: array.astype(np.float64) for name, array in result.params.items()}
        self.history_ = result.history
        self.n_iter_ = len(result.history)
        self.tokens_ = self._encoder.token_names
        self.attention_ = self._mean_attention(inputs)

    def _outputs(self, X: npt.ArrayLike) -> Array:
        inputs = self._inputs(X)
        with limit_threads(effective_n_jobs(self.n_jobs)):
            return predict_batched(self.model_, _double(inputs), self.params_)

    def _inputs(self, X: npt.ArrayLike) -> Inputs:
        check_is_fitted(self)
        check_container(X)
        if self.kind_ == "table":
            categories = self._encoder.categorical if isinstance(self._encoder, TableEncoder) else ()
            check_dates(X, categories)
            X = mixed_values(X) if categories else X
            with readable_numbers():
                x = validate_data(self, X, reset=False, **table_validation(bool(categories)))
        else:
            x = array_3d(X, self.kind_)
        return self._transform(x)

    def _encode(self, X: npt.ArrayLike, y: Any) -> tuple[Inputs, npt.NDArray[Any]]:
        """Fit the encoder and encode X; y has one number or label per item."""
        check_hyperparameters(self.get_params(deep=False))
        check_container(X)
        y = target_array(y, self._numeric)
        self.kind_ = infer_kind(self.kind, X)
        self._encoder: DataEncoder
        if self.kind_ == "table":
            categories = category_columns(self.categories, X)
            is_auto = isinstance(self.categories, str)
            check_dates(X, () if is_auto else categories)
            if is_auto:
                check_text(X)
            X = mixed_values(X) if categories else X
            with readable_numbers():
                x, y = validate_data(self, X, y, y_numeric=self._numeric, **table_validation(bool(categories)))
            names = [str(name) for name in getattr(self, "feature_names_in_", [])]
            names = names or [f"column {j}" for j in range(x.shape[1])]
            self._encoder = TableEncoder.fit(x, categories, names)
            warn_identifiers(x, categories, names)
        else:
            x = array_3d(X, self.kind_)
            y = check_array(
                column_or_1d(y, warn=True), ensure_2d=False, dtype="numeric" if self._numeric else None, input_name="y"
            )
            if len(x) != len(y):
                raise ShapeError(f"y: expected {len(x)} values, one per item of X; got {len(y)}.")
            self.n_features_in_ = x.shape[2]
            if self.kind_ == "images":
                self._encoder = ImageEncoder.fit(x, self.tokenizer)
            else:
                self._encoder = SequenceEncoder.fit(x, ordered=self.kind_ == "series")
        return self._transform(x), y

    def _transform(self, x: npt.NDArray[Any]) -> Inputs:
        with np.errstate(over="ignore"):  # check_float32_range raises an error instead
            return check_float32_range(self._encoder.transform(x))

    def _task(self, examples: Examples, seed: int) -> Supervised:
        if not self.validation_fraction:
            return Supervised(self.model_, examples, None, seed)
        targets = examples.targets
        labels = targets if targets.ndim == 1 else np.zeros(len(targets), int)
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            if count < 2:
                group = f"class {self._label(label)!r}" if targets.ndim == 1 else "y"
                raise DataError(
                    f"y: {group} has 1 sample, and early stopping needs one for training and one for validation. Add "
                    "samples, leave the class out, or set validation_fraction=0."
                )
        validation = stratified_holdout(labels, self.validation_fraction, np.random.default_rng([seed, 7]))
        train = np.setdiff1d(np.arange(len(examples)), validation)
        return Supervised(self.model_, examples.take(train), examples.take(validation), seed)

    @contextmanager
    def _progress(self) -> Iterator[Callable[[Epoch], None]]:
        """A callback for each epoch, which advances a progress bar if `verbose`."""
        if not self.verbose:
            yield lambda epoch: None
            return
        with show_progress(always=True) as progress:
            progress.stage("training", self.max_iter)
            yield lambda epoch: progress.advance(_losses(epoch))

    def _attention(self, inputs: Inputs) -> Iterator[Array]:
        """Attention weights, batch by batch, with the tokens in the order of the model."""
        for start in range(0, len(inputs[0]), _ATTENTION_BATCH):
            batch = _double(tuple(array[start : start + _ATTENTION_BATCH] for array in inputs))
            yield self.model_.attention_weights(batch, self.params_)

    def _label(self, index: Any) -> Any:
        """The label of a class."""
        return index

    def _mean_attention(self, inputs: Inputs) -> Array:
        """Averaged over the items that have the query token."""
        total, counts = 0.0, 0.0
        for weights in self._attention(inputs):
            total = total + weights.sum(axis=0)
            counts = counts + (weights.sum(axis=-1, keepdims=True) > 0).sum(axis=0)
        return self._encoder.reorder(np.asarray(total / np.maximum(counts, 1)))


def _losses(epoch: Epoch) -> str:
    validation = "" if epoch.validation_loss is None else f", validation {epoch.validation_loss:.3f}"
    return f"loss {epoch.train_loss:.3f}{validation}"


def _double(inputs: Inputs) -> Inputs:
    return tuple(array.astype(np.float64) if array.dtype.kind == "f" else array for array in inputs)

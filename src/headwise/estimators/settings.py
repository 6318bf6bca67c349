"""Settings of an estimator are checked in ``fit``, as scikit-learn has it, before any data is looked at."""

from __future__ import annotations

from numbers import Real
from typing import Any

from headwise.errors import DataError
from headwise.validation import check_counts

__all__ = ["check_settings"]


def check_settings(given: dict[str, Any]) -> None:
    """Check the types of the training settings; `ModelSize` checks the sizes."""
    check_counts(**{name: given[name] for name in ("max_iter", "batch_size", "n_iter_no_change")})
    for name in ("learning_rate", "weight_decay"):
        if not isinstance(given[name], Real) or not 0 <= float(given[name]) < float("inf"):
            raise DataError(f"{name}: expected a number from 0; got {given[name]!r}.")
    fraction = given["validation_fraction"]
    if not isinstance(fraction, Real) or not 0 <= float(fraction) < 1:
        raise DataError(f"validation_fraction: expected a number from 0 to less than 1; got {fraction!r}.")
    if not isinstance(given["tokenizer"], str):
        raise DataError(f'tokenizer: expected a name such as "rows" or "4x4"; got {given["tokenizer"]!r}.')

"""Settings of an estimator are checked in ``fit``, as scikit-learn has it, before any data is looked at."""

from __future__ import annotations

from numbers import Real
from typing import Any

from headwise.errors import DataError
from headwise.validation import check_counts

__all__ = ["check_settings"]


def check_settings(given: dict[str, Any]) -> None:
    """Check the types of the training settings; `ModelSize` checks the sizes."""
    check_counts(**{name: given[name] for name in ("epochs", "batch", "patience")})
    for name in ("rate", "decay"):
        if not isinstance(given[name], Real) or not 0 <= float(given[name]) < float("inf"):
            raise DataError(f"{name}: expected a number from 0; got {given[name]!r}.")
    if not isinstance(given["validation"], Real) or not 0 <= float(given["validation"]) < 1:
        raise DataError(f"validation: expected a share from 0 to less than 1; got {given['validation']!r}.")
    if not isinstance(given["tokens"], str):
        raise DataError(f'tokens: expected a name such as "rows" or "4x4"; got {given["tokens"]!r}.')

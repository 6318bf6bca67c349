"""Objects in scikit-learn's style, which hold their matrices once they are fitted."""

from __future__ import annotations

import copy
import inspect
from itertools import product
from typing import Any

from headwise.checker.modules.inside import attention_sites
from headwise.checker.modules.layer import possible_widths
from headwise.checker.modules.plain_classes import plain_names, plain_submodules
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import DataError, describe_exception

_COUNT = 6  # tokens


def is_unfitted(instance: Any) -> bool:
    """Whether an object has a method `fit` and holds no projections."""
    has_fit = inspect.isfunction(getattr(type(instance), "fit", None))
    return has_fit and not attention_sites(plain_names(instance), plain_submodules(instance))


def fitted(instance: Any) -> Any:
    """A copy of an object that is fitted to random tokens, with targets if it wants them.

    Raises DataError if its `fit` raises an error for these.
    """
    errors: list[str] = []
    rng = np.random.default_rng(0)
    for width, with_targets in product(possible_widths(instance), (False, True)):
        clone = copy.deepcopy(instance)
        tokens = rng.normal(size=(_COUNT, width))
        try:
            with user_code():
                clone.fit(tokens, *[np.arange(_COUNT) % 2][: int(with_targets)])
        except Exception as error:  # whatever somebody's method raises
            errors.append(describe_exception(error))
        else:
            return clone
    raise DataError(
        f"{type(instance).__name__}: its fit cannot be called with tokens of shape ({_COUNT}, {width}): {errors[0]}."
        " Fit an object yourself, then check it."
    )

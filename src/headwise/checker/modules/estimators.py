"""Objects that hold their matrices once they are fitted, as in scikit-learn's style, or called for the first time."""

from __future__ import annotations

import copy
import inspect
import re
from itertools import product
from typing import Any

from headwise.checker.modules.inside import attention_sites
from headwise.checker.modules.layer import possible_widths
from headwise.checker.modules.plain_classes import call_method, plain_names, plain_submodules
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import DataError, describe_exception

_COUNT = 6  # tokens
_BUILDER = re.compile(r"_?(build|init)\w*")  # a method that makes the matrices at the first call


def is_unfitted(instance: Any) -> bool:
    """Whether an object holds no projections, and has a method that makes them."""
    methods = [name for name, _ in inspect.getmembers(type(instance), inspect.isfunction)]
    makes = "fit" in methods or any(map(_BUILDER.fullmatch, methods))
    return makes and not attention_sites(plain_names(instance), plain_submodules(instance))


def fitted(instance: Any) -> Any:
    """A copy of an object that is fitted to random tokens, with targets if it wants them, or called with them.

    Raises DataError if this raises an error.
    """
    method = "fit" if hasattr(instance, "fit") else call_method(instance) or "__call__"
    errors: list[str] = []
    rng = np.random.default_rng(0)
    for width, with_targets in product(possible_widths(instance), (False, True)[: 1 + (method == "fit")]):
        clone = copy.deepcopy(instance)
        tokens = rng.normal(size=(_COUNT, width))
        try:
            with user_code():
                getattr(clone, method)(tokens, *[np.arange(_COUNT) % 2][: int(with_targets)])
        except Exception as error:  # whatever somebody's method raises
            errors.append(describe_exception(error))
        else:
            return clone
    raise DataError(
        f"{type(instance).__name__}: its {method} cannot be called with tokens of shape ({_COUNT}, {width}): "
        f"{errors[0]}. Fit an object yourself, then check it."
    )

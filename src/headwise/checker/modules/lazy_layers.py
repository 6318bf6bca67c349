"""Layers of torch that infer the width of their input at their first call, such as LazyLinear."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.modules.torch_modules import is_torch_module, without_dropout
from headwise.checker.user_code.execution import user_code
from headwise.errors import DataError, describe_exception

_TOKENS = {None, "X", "q", "k", "v", "context"}
_WIDTH = 12


def with_inferred_widths(module: Any) -> Any:
    """Return a module whose lazy layers have been called once, on a copy; the module itself if it has none.

    Raises DataError if its forward method accepts no tokens of the width that the first of these layers returns.
    """
    if not is_torch_module(module) or not _is_lazy(module):
        return module
    widths = (getattr(part, "out_features", 0) for part in module.modules() if _is_lazy(part))
    width = next((w for w in widths if w), _WIDTH)
    errors: list[str] = []
    for arguments in _arguments(type(module).forward, width):
        clone = copy.deepcopy(module).eval()
        try:
            with without_dropout(), user_code():
                clone(**arguments)
        except Exception as error:  # whatever a forward method raises
            errors.append(describe_exception(error))
        if not _is_lazy(clone):
            return clone
    reason = f" ({errors[0]})" if errors else ""
    raise DataError(
        f"{type(module).__name__}: its lazy layers have no sizes yet, and a call with tokens of shape (2, 5, {width})"
        f" gives them none{reason}. Call the module once on an input of your own, then check it."
    )


def _is_lazy(module: Any) -> bool:
    from torch.nn.parameter import is_lazy

    return any(is_lazy(parameter) for parameter in module.parameters())


def _arguments(forward: Callable[..., Any], width: int) -> Iterator[dict[str, Any]]:
    """Arguments for the first call: tokens with and without a batch axis, and nothing for masks, or tokens too."""
    import torch

    parameters = list(inspect.signature(forward).parameters.values())[1:]
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    for shape in ((2, 5, width), (5, width)):
        tokens = torch.zeros(shape)
        yield {name: tokens if role_of(name) in _TOKENS else None for name in required}
        yield dict.fromkeys(required, tokens)

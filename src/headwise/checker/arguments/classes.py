"""Arguments that are tuples with names or dataclasses of queries, keys and values: their fields become arguments."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from headwise.checker.arguments.roles import role_of


def with_fields(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the fields of such an argument in its place; itself where there is none."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except Exception:  # whatever an annotation of somebody's file raises
        return function
    classes = {p.name: fields for p in signature.parameters.values() if (fields := _fields_of(p.annotation))}
    fields = [field for one in classes.values() for field in one]
    names = [field.name for field in fields] + [name for name in signature.parameters if name not in classes]
    if not classes or len(set(names)) < len(names):
        return function

    @functools.wraps(function)
    def with_arguments(*args: Any, **kwargs: Any) -> Any:
        for name, own in classes.items():
            parts = {field.name: kwargs.pop(field.name) for field in own if field.name in kwargs}
            kwargs[name] = signature.parameters[name].annotation(**parts)
        return function(*args, **kwargs)

    others = [p for p in signature.parameters.values() if p.name not in classes]
    before = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in others if p.kind is p.POSITIONAL_OR_KEYWORD]
    rest = [p for p in others if p.kind is not p.POSITIONAL_OR_KEYWORD]
    order = sorted([*fields, *before, *rest], key=lambda p: p.kind)
    vars(with_arguments)["__signature__"] = signature.replace(parameters=order)
    return with_arguments


def _fields_of(annotation: Any) -> list[Parameter]:
    """The fields of a class that holds queries, keys and values, as arguments; none if it does not."""
    if not inspect.isclass(annotation) or not (dataclasses.is_dataclass(annotation) or hasattr(annotation, "_fields")):
        return []
    try:
        parameters = list(inspect.signature(annotation, eval_str=True).parameters.values())
    except Exception:  # as above
        return []
    if not {"q", "k", "v"} <= {role_of(p.name) for p in parameters}:
        return []
    return [p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters]

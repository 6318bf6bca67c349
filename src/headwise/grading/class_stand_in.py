"""A class of a submission for the checker: a class here whose objects are in the sandbox.

The checker makes objects of a class, looks at the arrays that they hold, replaces these and calls a method. A stand-in
has the names, signatures, texts and arrays of the submission's class, and none of its code: its constructor and its
methods are calls into the sandbox.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from headwise.checker.arguments.settings import Settings
from headwise.grading.sandbox import Sandbox
from headwise.grading.signature import signature_from, statements

_MODULE = "class_of_a_submission"


def is_class(source: str, name: str) -> bool:
    """Whether the last definition of a name in a source is that of a class."""
    defined = [node for node in statements(source) if getattr(node, "name", None) == name]
    return bool(defined) and isinstance(defined[-1], ast.ClassDef)


@contextmanager
def class_stand_in(sandbox: Sandbox, files: Mapping[str, str], file: str, name: str) -> Iterator[type]:
    """Give the stand-in for a class that a file defines; within the block its text can be found from it."""
    source = files[file]
    module = ModuleType(_MODULE, ast.get_docstring(ast.parse(source)))
    module.__file__ = f"<{_MODULE}>"
    nodes = (node for text in (*files.values(), source) for node in statements(text))
    classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}  # those of the file itself win
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    sys.modules[_MODULE] = module
    try:
        yield _class(sandbox, name, classes, "\n".join(files.values()))
    finally:
        del sys.modules[_MODULE], linecache.cache[module.__file__]


class _Part:
    """What an object of the submission holds, by attribute."""


class _Number:
    """Which object of the sandbox this is; it shows no numbers to the checker."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


def _class(sandbox: Sandbox, name: str, classes: dict[str, ast.ClassDef], text: str) -> type:
    """The stand-in for a class, with its bases among those of the same file."""
    node = classes[name]
    others = {key: value for key, value in classes.items() if key != name}
    known = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in others]
    bases = tuple(_class(sandbox, base, others, text) for base in known) or (_Part,)
    methods = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
    namespace: dict[str, Any] = {"__module__": _MODULE, "__qualname__": name, "__firstlineno__": node.lineno}
    namespace["__doc__"] = ast.get_docstring(node)
    for key, part in methods.items():
        namespace[key] = _with_signature(_method(sandbox, key), part)
    namespace["__init__"] = _constructor(sandbox, text)
    if "__init__" in methods:
        _with_signature(namespace["__init__"], methods["__init__"])
    elif known:  # that of the base has the signature
        del namespace["__init__"]
    return type(name, bases, namespace)


def _with_signature(function: Callable[..., Any], node: ast.FunctionDef) -> Callable[..., Any]:
    vars(function)["__signature__"] = signature_from(node.args)
    function.__name__, function.__doc__ = node.name, ast.get_docstring(node)
    return function


def _constructor(sandbox: Sandbox, text: str) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = {**inspect.signature(type(self)).bind(*args).arguments, **kwargs} if args else kwargs
        configurations = {k: _settings(k, value, text) for k, value in given.items() if isinstance(value, Settings)}
        arguments = {**given, **configurations}
        number, values = sandbox.construct(type(self).__name__, arguments)
        for path, value in values:
            *parts, last = path.split(".")
            owner = self
            for part in parts:
                owner = vars(owner).setdefault(part, _Part())
            vars(owner)[last] = value
        self._number = _Number(number)

    return __init__


def _settings(name: str, settings: Settings, text: str) -> dict[str, Any]:
    """Those settings of a configuration that the code reads from the argument of this name."""
    read = re.findall(rf"\b{name}(?:\.|\[['\"]|\.get\(['\"])(\w+)", text)
    return {key: value for key in read if (value := settings.get(key)) is not None}


def _method(sandbox: Sandbox, name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return sandbox.call_method(self._number.value, name, dict(_arrays(self, "")), args, kwargs)

    vars(method)["in_sandbox"] = True  # as a proxy
    return method


def _arrays(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    for key, item in vars(value).items():
        inner = f"{path}.{key}" if path else key
        if isinstance(item, np.ndarray):
            yield inner, item
        elif isinstance(item, _Part):
            yield from _arrays(item, inner)

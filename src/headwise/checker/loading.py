"""Getting a function out of somebody's file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwise.checker.detection import UncallableError, infer_calling_conventions
from headwise.checker.modules import find_targets, is_module
from headwise.errors import DataError, HeadwiseError

__all__ = ["import_object", "load_function"]


def load_function(where: str, kind: str = "auto") -> tuple[Callable[..., Any], str]:
    """Import ``FILE.py`` or ``FILE.py:NAME`` and return the function or module, and the file's text.

    A name may be that of a function, of a class or object that holds weights, or lead to one, as ``model.encoder``.
    Without a name it is the only function of the file that can be called as attention, else its only module.

    Raises
    ------
    DataError
        If there is no such file, it fails when imported, or there is nothing of that name, or more than one.
    """
    file, colon, name = where.rpartition(":")
    if not colon or not file.endswith(".py"):
        file, name = where, ""
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{file}: there is no such file.")
    text = path.read_text(encoding="utf-8", errors="replace")
    module = _imported(path)
    if name:
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if not (callable(found) or is_module(found)):
            names = _listed(_functions(module) | _modules(module)) or "none"
            raise DataError(f"{file}: expected a function or module {name}; it defines {names}.")
        return found, text
    fitting = {n: f for n, f in _functions(module).items() if _can_be_called(f, kind, text)}
    fitting = fitting or {n: m for n, m in _modules(module).items() if _has_attention(m)}
    if len(fitting) != 1:
        defined = _listed(_functions(module) | _modules(module)) or "no functions"
        result = f"these: {_listed(fitting)}" if fitting else f"none among {defined}"
        raise DataError(
            f"{file}: expected one function or module that can be called as attention; found {result}."
            " Name it: FILE:NAME."
        )
    return next(iter(fitting.values())), text


def import_object(path: Path, name: str) -> Any:
    """Import a file and return one of its objects.

    Raises
    ------
    DataError
        If there is no such file or object, or the file fails when imported.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    module = _imported(path)
    if not hasattr(module, name):
        names = ", ".join(n for n in vars(module) if not n.startswith("_"))
        raise DataError(f"{path}: expected an object {name}; it defines {names}.")
    return getattr(module, name)


def _imported(path: Path) -> Any:
    name = f"checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and inspect look a module up by its name
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DataError(f"{path}: fails when it is imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _functions(module: Any) -> dict[str, Callable[..., Any]]:
    own = {n: f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    return {n: f for n, f in own.items() if not n.startswith("_")}


def _modules(module: Any) -> dict[str, Any]:
    """The classes that a file defines, and the objects that hold weights, by name."""
    values = {n: value for n, value in vars(module).items() if not n.startswith("_") and not inspect.ismodule(value)}
    own = {n: v for n, v in values.items() if (v if inspect.isclass(v) else type(v)).__module__ == module.__name__}
    return {n: value for n, value in own.items() if is_module(value)}


def _has_attention(value: Any) -> bool:
    try:
        return bool(find_targets(value))
    except HeadwiseError:
        return False


def _can_be_called(function: Callable[..., Any], kind: str, source: str) -> bool:
    try:
        return bool(infer_calling_conventions(function, kind, None, source))
    except UncallableError:
        return False


def _listed(functions: dict[str, Callable[..., Any]]) -> str:
    return ", ".join(functions)

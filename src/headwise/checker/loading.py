"""Getting a function out of somebody's file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwise.checker.detection import UncallableError, infer_calling_conventions
from headwise.errors import DataError

__all__ = ["import_object", "load_function"]


def load_function(where: str, kind: str = "auto") -> tuple[Callable[..., Any], str]:
    """Import ``FILE.py`` or ``FILE.py:NAME`` and return the function, and the file's text.

    Without a name it is the only function of the file that can be called as attention.

    Raises
    ------
    DataError
        If there is no such file, it fails when imported, or there is no such function, or more than one.
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
        function = getattr(module, name, None)
        if not callable(function):
            raise DataError(f"{file}: expected a function {name}; it defines {_listed(_functions(module)) or 'none'}.")
        return function, text
    fitting = {n: f for n, f in _functions(module).items() if _can_be_called(f, kind, text)}
    if len(fitting) != 1:
        found = (
            f"these: {_listed(fitting)}" if fitting else f"none among {_listed(_functions(module)) or 'no functions'}"
        )
        raise DataError(
            f"{file}: expected one function that can be called as attention; found {found}. Name it: FILE:NAME."
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


def _can_be_called(function: Callable[..., Any], kind: str, source: str) -> bool:
    try:
        return bool(infer_calling_conventions(function, kind, None, source))
    except UncallableError:
        return False


def _listed(functions: dict[str, Callable[..., Any]]) -> str:
    return ", ".join(functions)

"""Loading a function, a class or a module object from a user's file or notebook."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from headwise.checker.detection.calling_conventions import infer_calling_conventions
from headwise.checker.detection.refusal import UncallableError
from headwise.checker.modules import find_targets, is_module
from headwise.checker.reference.conventions import Requirements
from headwise.checker.user_code.devices import prepare_devices
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.notebooks import notebook_code
from headwise.errors import DataError, HeadwiseError, describe_exception
from headwise.files import check_file

_SUFFIXES = (".py", ".ipynb")


def load_function(
    where: str, kind: str = "auto", requirements: Requirements | None = None
) -> tuple[Callable[..., Any], str]:
    """Import ``FILE.py``, ``FILE.ipynb`` or ``FILE.py:NAME`` and return the function or class, and the file's text.

    A name may lead to a part of an object, as ``model.encoder``. Without a name it is the only function of the file
    that can be called as attention, else its only class or object that holds weights. The cells of a notebook are run
    in order; a statement that fails costs only itself.

    Raises DataError if there is no such file, it fails when imported, or there is no such function, or more than one.
    """
    file, colon, name = where.rpartition(":")
    if not colon or not file.endswith(_SUFFIXES):
        file, name = where, ""
    path = _existing(Path(file))
    text = path.read_text(encoding="utf-8", errors="replace")
    prepare_devices(text)
    if path.suffix == ".ipynb":
        try:
            text, _ = notebook_code(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: expected a notebook; got something else ({error}).") from None
        module = _run_statements(path, text)
    else:
        module = _imported(path)
    if name:
        return _named(module, file, name), text
    functions = _functions(module)
    called = {n: f for n, f in functions.items() if _can_be_called(f, kind, text, requirements)}
    fitting = {n: f for n, f in called.items() if _projects(f, kind, text, requirements)}
    fitting = fitting or _without_instances({n: m for n, m in _modules(module).items() if _has_attention(m)}) or called
    if not fitting and len(functions) == 1 and not _modules(module):
        raise DataError(f"{file}: {_refusal(next(iter(functions.values())), kind, text, requirements)}")
    if len(fitting) != 1:
        defined = ", ".join((*functions, *_modules(module)))
        present = f"found {'these: ' if fitting else 'none among '}{', '.join(fitting) or defined}. Name it: FILE:NAME"
        present += ", or check all with --notebook" if path.suffix == ".ipynb" else ""
        raise DataError(
            f"{file}: expected one function or module that can be called as attention; "
            f"{present if defined else 'it defines none'}."
        )
    return next(iter(fitting.values())), text


def import_object(path: Path, name: str) -> Any:
    """Import a file and return one of its objects.

    Raises DataError if there is no such file or object, or the file fails when imported.
    """
    module = _imported(_existing(path))
    if not hasattr(module, name):
        names = ", ".join(n for n in vars(module) if not n.startswith("_"))
        raise DataError(f"{path}: expected an object {name}; it defines {names}.")
    return getattr(module, name)


def _existing(path: Path) -> Path:
    check_file(path)
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path}: expected Python code (.py) or a notebook (.ipynb).")
    return path


def _named(module: ModuleType, file: str, name: str) -> Callable[..., Any]:
    value: Any = None
    with suppress(AttributeError):
        value = reduce(getattr, name.split("."), module)
    if not callable(value) and not is_module(value):
        names = ", ".join((*_functions(module), *_modules(module))) or "none"
        raise DataError(f"{file}: expected a function or module {name}; it defines {names}.")
    function: Callable[..., Any] = value
    return function


def _imported(path: Path) -> ModuleType:
    name = f"checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and inspect look a module up by its name
    with _importing_from(path.parent):
        try:
            with user_code():
                spec.loader.exec_module(module)
        except Exception as error:  # whatever somebody's file raises
            raise DataError(f"{path}: fails when it is imported: {describe_exception(error)}") from error
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Find modules next to the user's file, also when a function is called, and leave no compiled files there."""
    place, before = str(folder.resolve()), sys.dont_write_bytecode
    sys.path.insert(0, place)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:] = [path for path in sys.path if path != place] + [place]
        sys.dont_write_bytecode = before


def _run_statements(path: Path, text: str) -> ModuleType:
    """A module of the statements of a notebook that do not fail."""
    module = ModuleType(f"checked_{path.stem}")
    module.__file__ = file = f"{path}:code"
    sys.modules[module.__name__] = module
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # where inspect looks for sources
    with _importing_from(path.parent):
        for statement in ast.parse(text).body:
            try:
                code: CodeType = compile(ast.Module([statement], []), file, "exec")
                with user_code():
                    exec(code, vars(module))  # the user's own notebook, which is to be run
            except Exception:
                continue
    return module


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    functions = {n: f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    return {n: f for n, f in functions.items() if not n.startswith("_")}


def _modules(module: ModuleType) -> dict[str, Any]:
    """The classes that a file defines, and the objects that hold weights, by name."""
    values = {n: value for n, value in vars(module).items() if not n.startswith("_") and not inspect.ismodule(value)}
    modules = {n: v for n, v in values.items() if (v if inspect.isclass(v) else type(v)).__module__ == module.__name__}
    return {n: value for n, value in modules.items() if is_module(value)}


def _without_instances(modules: dict[str, Any]) -> dict[str, Any]:
    """Those that are no objects of the others."""
    return {n: module for n, module in modules.items() if type(module) not in modules.values()}


def _has_attention(value: Any) -> bool:
    try:
        return bool(find_targets(value))
    except HeadwiseError:
        return False


def _can_be_called(function: Callable[..., Any], kind: str, source: str, requirements: Requirements | None) -> bool:
    if is_module(function):
        return _has_attention(function)
    return not _refusal(function, kind, source, requirements)


def _refusal(function: Callable[..., Any], kind: str, source: str, requirements: Requirements | None) -> str:
    """Why a function cannot be called as attention; empty if it can."""
    try:
        infer_calling_conventions(function, kind, None, source, requirements)
    except UncallableError as error:
        return str(error).removeprefix("function: ")
    return ""


def _projects(function: Callable[..., Any], kind: str, source: str, requirements: Requirements | None) -> bool:
    """Whether a function that can be called takes more than an array of tokens, as helpers take one too."""
    if is_module(function):
        return True
    convention = next(infer_calling_conventions(function, kind, None, source, requirements))[0]
    return not convention.interface.unprojected

"""Loading a function, a class or a module object from a user's file or notebook."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from headwise.checker.detection.calling_conventions import infer_calling_conventions
from headwise.checker.detection.refusal import UncallableError
from headwise.checker.modules import find_targets, is_module
from headwise.checker.reference.conventions import Requirements
from headwise.checker.script import functions_of_script, has_softmax
from headwise.checker.user_code.devices import prepare_devices
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.main_block import without_main
from headwise.checker.user_code.notebooks import name_cells, notebook_code
from headwise.checker.user_code.numba_functions import check_bounds
from headwise.checker.user_code.source import read_source
from headwise.checker.user_code.statements import Failure, run_statements
from headwise.errors import DataError, HeadwiseError, describe_exception
from headwise.files import check_file

_SUFFIXES = (".py", ".ipynb")


class LoadedFunction(NamedTuple):
    """What a file was loaded for."""

    function: Callable[..., Any]  # or a class or module
    source: str  # the text of the file
    note: str  # the statements that failed, which the rest did without; empty if all ran


def load_function(where: str, kind: str = "auto", requirements: Requirements | None = None) -> LoadedFunction:
    """Run ``FILE.py``, ``FILE.ipynb`` or ``FILE.py:NAME`` and return the function or class.

    A name may lead to a part of an object, as ``model.encoder``. Without a name it is the only function of the file
    that can be called as attention, else its only class or object that holds weights, else what its statements outside
    functions compute from tokens, as a function of these; such an array can be named too. A statement that fails or
    takes long costs only itself, since files end with tests that a wrong function fails, and notebooks train models.

    Raises DataError if there is no such file, it is not Python, or there is no such function, or more than one.
    """
    file, colon, name = where.rpartition(":")
    if not colon or not file.endswith(_SUFFIXES):
        file, name = where, ""
    path = _existing(Path(file))
    text, omitted = _code(path)
    prepare_devices(text)
    module, failures = _run(path, text)
    note = " ".join(filter(None, (*(f"{line}." for line in omitted), _note(text, failures))))
    try:
        found = _named(module, path, name, text) if name else _chosen(module, path, kind, text, requirements)
    except DataError as error:
        if not note:
            raise
        if failures and not (_functions(module) or _modules(module)):
            raise DataError(f"{file}: fails when it is imported: {failures[0].error}") from None
        raise DataError(f"{note} {error}") from None
    return LoadedFunction(found, text, note)


def _chosen(
    module: ModuleType, path: Path, kind: str, text: str, requirements: Requirements | None
) -> Callable[..., Any]:
    """The only function, class or object of a file that can be checked."""
    functions = _functions(module)
    called = {n: f for n, f in functions.items() if _can_be_called(f, kind, text, requirements)}
    fitting = {n: f for n, f in called.items() if _projects(f, kind, text, requirements)}
    if fitting and not any(has_softmax(text, name) for name in fitting):  # helpers of what takes one, perhaps
        fitting = _of_script(module, path, kind, text, requirements, softmax=True) or fitting
    fitting = fitting or _without_instances({n: m for n, m in _modules(module).items() if _has_attention(m)})
    fitting = fitting or _of_script(module, path, kind, text, requirements) or called
    if not fitting and len(functions) == 1 and not _modules(module):
        raise DataError(f"{path}: {_refusal(next(iter(functions.values())), kind, text, requirements)}")
    if len(fitting) != 1:
        defined = ", ".join((*functions, *_modules(module)))
        present = f"found {'these: ' if fitting else 'none among '}{', '.join(fitting) or defined}. Name it: FILE:NAME"
        present += ", or check all with --notebook" if path.suffix == ".ipynb" else ""
        raise DataError(
            f"{path}: expected one function or module that can be called as attention; "
            f"{present if defined or fitting else 'it defines none; put the code into one'}."
        )
    return next(iter(fitting.values()))


def _of_script(
    module: ModuleType, path: Path, kind: str, text: str, requirements: Requirements | None, softmax: bool = False
) -> dict[str, Callable[..., Any]]:
    """The arrays that a file computes outside functions, those that can be checked, as functions of its tokens."""
    for script, code in _scripts(module, path, text):
        fitting = [
            output
            for output in functions_of_script(code, vars(script), softmax)
            if _can_be_called(output.define(script), kind, output.text, requirements)
        ]
        if fitting:
            return {output.name: output.define(script) for output in fitting}
    return {}


def _scripts(module: ModuleType, path: Path, text: str) -> Iterator[tuple[ModuleType, str]]:
    """A file as it is imported, then as it is run, if this takes a softmax that that does not: the module, its text."""
    yield module, text
    with suppress(SyntaxError, ValueError):
        if (as_run := without_main(text)) != text and has_softmax(as_run):
            yield _run(path, as_run)[0], as_run


def _note(text: str, failures: Sequence[Failure]) -> str:
    """Which statements failed, in one line."""
    if not failures:
        return ""
    first = name_cells(text, f"line {failures[0].line} failed: {failures[0].error.rstrip('.')}")
    others = f"; so did {len(failures) - 1} more" if len(failures) > 1 else ""
    return f"{first}{others}; the rest was run."


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


def _named(module: ModuleType, path: Path, name: str, text: str) -> Callable[..., Any]:
    value: Any = None
    for script, code in _scripts(module, path, text) if not callable(vars(module).get(name)) else ():
        outputs = functions_of_script(code, vars(script)) if name in vars(script) else ()
        if output := next((output for output in outputs if output.name == name), None):
            return output.define(script)
    with suppress(AttributeError):
        *owners, last = name.split(".")
        value = _bound(reduce(getattr, owners, module), last)
    if not callable(value) and not is_module(value):
        names = ", ".join((*_functions(module), *_modules(module))) or "none"
        raise DataError(f"{path}: expected a function or module {name}; it defines {names}.")
    function: Callable[..., Any] = value
    return function


def _bound(owner: Any, name: str) -> Any:
    """A part of an object; of a class, its method on an instance, or the class itself where its weights are needed."""
    value = getattr(owner, name)
    if not inspect.isclass(owner) or not inspect.isfunction(inspect.getattr_static(owner, name)):
        return value
    if name in ("forward", "__call__", "call") and is_module(owner):
        return owner
    with suppress(Exception), user_code():  # whatever its constructor raises
        return getattr(owner(), name)
    return value


def _imported(path: Path) -> ModuleType:
    name, root = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and inspect look a module up by its name
    with _importing_from(root, path.parent):
        try:
            with user_code():
                spec.loader.exec_module(module)
        except Exception as error:  # whatever somebody's file raises
            raise DataError(f"{path}: fails when it is imported: {describe_exception(error)}") from error
    return module


def _module_name(path: Path) -> tuple[str, Path]:
    """The name of a file as a module, and the folder of its package, which relative imports of it refer to."""
    text = path.read_text(encoding="utf-8", errors="replace")
    depth = max(map(len, re.findall(r"^\s*from\s+(\.+)[\w.]*\s+import\b", text, re.MULTILINE)), default=0)
    folders: list[Path] = []
    for folder in path.resolve().parents if depth else ():
        if len(folders) >= depth and not (folder / "__init__.py").exists():
            break
        folders.append(folder)
    root = folders[-1].parent if folders else path.parent
    return ".".join((*(folder.name for folder in reversed(folders)), f"checked_{path.stem}")), root


@contextmanager
def _importing_from(*folders: Path) -> Iterator[None]:
    """Find modules in these folders first and in the current one last, also when a function is called.

    No compiled files are left there.
    """
    places, before = [str(folder.resolve()) for folder in folders], sys.dont_write_bytecode
    current = [str(Path.cwd())] if str(Path.cwd()) not in sys.path else []
    sys.path[:] = [*places, *sys.path, *current]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:] = [path for path in sys.path if path not in places] + list(dict.fromkeys(places))
        sys.dont_write_bytecode = before


def _code(path: Path) -> tuple[str, list[str]]:
    """The code of a file or notebook, and the cells that are not Python."""
    text = read_source(path)
    if path.suffix != ".ipynb":
        return text, []
    try:
        return notebook_code(text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected a notebook; got something else ({error}).") from None


def _run(path: Path, text: str) -> tuple[ModuleType, list[Failure]]:
    """A module of the statements of a file or notebook that do not fail, and those that failed."""
    name, root = _module_name(path)
    module, file = ModuleType(name), str(path.resolve())
    if path.suffix == ".ipynb":
        file = f"{file}:code"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # where inspect looks
    module.__file__, module.__package__ = file, name.rpartition(".")[0]
    sys.modules[module.__name__] = module  # dataclasses and inspect look a module up by its name
    with _importing_from(root, path.parent):
        try:
            failures = run_statements(module, text, file)
            check_bounds(vars(module))
            return module, failures
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # it cannot be parsed
            raise DataError(f"{path}: fails when it is imported: {describe_exception(error)}") from None


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions that a file defines, also wrapped ones, as by ``jax.jit`` or `torch.jit.script`."""
    named = {n: f for n, f in vars(module).items() if not n.startswith("_") and not inspect.isclass(f)}
    return {n: f for n, f in named.items() if _is_of(f, module) and inspect.isfunction(_wrapped(f))}


def _is_of(function: Any, module: ModuleType) -> bool:
    return module.__name__ in [getattr(f, "__module__", None) for f in (function, _wrapped(function))]


def _wrapped(value: Any) -> Any:
    """The function that another is made from, if it is callable and says so; else the value itself."""
    makers = [getattr(value, name, None) for name in ("__wrapped__", "_torchdynamo_inline")] if callable(value) else []
    return next((function for function in makers if function), value)


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

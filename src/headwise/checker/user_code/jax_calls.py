"""Calls of functions in JAX, compiled as one for each shape: operation by operation takes far longer.

Each program runs once or twice, so that what matters is how soon it is compiled, not how fast it is.
"""

from __future__ import annotations

import contextlib
import dis
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import CodeType
from typing import Any

from headwise.checker.user_code.numpy_guard import np

# options of XLA for its older generator of code, and for one piece of code
_SOONER = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_MOST = 200  # compiled programs that are kept
_CACHE = type(cache(len))
_VALUES = (bool, int, float, complex, str, np.ndarray, np.generic)  # results that hold nothing that is traced


class _NotTracedError(Exception):
    """A call does more than compute its results."""


@dataclass(slots=True)
class _Program:
    """What a call computes: its operations, the results that it knows beforehand, and the form of all of them."""

    operations: Any
    results: list[Any]
    form: Any
    run: Callable[..., Any]
    function: Callable[..., Any]  # whose identity is part of the key under which this is kept
    repeats: bool | None = None  # whether its code has given the same program twice, once it has run twice


_PROGRAMS: OrderedDict[object, _Program] = OrderedDict()


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """Let JAX compile without most optimisations."""
    if (jax := sys.modules.get("jax")) is None:
        yield
        return
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@cache
def _options() -> dict[str, Any]:
    """Those of the options with which JAX compiles sooner that this version of it has."""
    jax = sys.modules["jax"]
    known = {}
    for name, value in _SOONER.items():
        with contextlib.suppress(Exception):  # of a kind that depends on the version
            jax.jit(lambda x: x, compiler_options={name: value})(0.0)
            known[name] = value
    return known


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = sys.modules["jax"].jit(function, compiler_options=_options())
    return compiled


class Compiled:
    """A function of parameters and other arguments, compiled as one for each shape; called as it is if that fails."""

    def __init__(self, function: Callable[..., Any], jit: Callable[..., Any] | None = None) -> None:
        self.function, self.jit = function, jit or _jit
        self.compiled: dict[object, Callable[..., Any]] | None = {}

    def __call__(self, state: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it with parameters, or what holds them, and other arguments."""
        jax = sys.modules["jax"]
        leaves, structure = jax.tree.flatten((args, kwargs))
        settings = tuple(None if _is_array(leaf) else leaf for leaf in leaves)
        if self.compiled is None or not all(isinstance(one, Hashable) for one in settings):
            return self.function(state, *args, **kwargs)

        def run(state: Any, arrays: Any) -> Any:
            whole = [setting if array is None else array for setting, array in zip(settings, arrays, strict=True)]
            args, kwargs = jax.tree.unflatten(structure, whole)
            return self.function(state, *args, **kwargs)

        compiled = self.compiled.setdefault((structure, settings), self.jit(run))
        try:
            return compiled(state, [leaf if _is_array(leaf) else None for leaf in leaves])
        except Exception:  # whatever somebody's module raises
            result = self.function(state, *args, **kwargs)
            self.compiled = None  # only compiling fails, as where code depends on the numbers in an array
            return result


def call_compiled(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function; if its arguments are JAX's, what it does with them is run as one program.

    It is called as it is where its code depends on the numbers in an array, takes numbers from elsewhere that change
    from call to call, writes into its arguments, may keep arrays, or returns what JAX does not know.
    """
    jax = sys.modules.get("jax")
    leaves, structure = jax.tree.flatten((args, kwargs)) if jax is not None else ([], None)
    settings = [leaf for leaf in leaves if not _is_array(leaf)]
    if jax is None or len(settings) == len(leaves) or not all(isinstance(one, Hashable) for one in settings):
        return function(*args, **kwargs)
    try:
        return _run(function, leaves, structure)
    except (_NotTracedError, jax.errors.JAXTypeError):
        return function(*args, **kwargs)
    except Exception:  # with other arguments, if tracing works at all; else whatever it raises that is not made for it
        if any(program.function is function for program in _PROGRAMS.values()):
            raise
        return function(*args, **kwargs)


def _remembers(value: Any, seen: set[int]) -> bool:
    """Whether a function, or one that it calls, may keep arrays for its next call: those that are traced are lost."""
    if isinstance(value, (dict, list, set, _CACHE)):
        return True
    code = getattr(value, "__code__", None)
    if id(value) in seen or not isinstance(code, CodeType):
        return not seen and not hasattr(value, "__wrapped__")
    seen.add(id(value))
    stored = [(one.opname, one.argval) for one in dis.get_instructions(code) if one.opname.startswith("STORE_")]
    if any(how in ("STORE_GLOBAL", "STORE_ATTR") or name in code.co_freevars for how, name in stored):
        return True
    named = inspect.getclosurevars(value)
    others = [*named.globals.values(), *named.nonlocals.values(), getattr(value, "__wrapped__", None)]
    return any(_remembers(other, seen) for other in others)


def _run(function: Callable[..., Any], leaves: list[Any], structure: Any) -> Any:
    arrays = [leaf for leaf in leaves if _is_array(leaf)]
    forms = ((leaf.shape, leaf.dtype) if _is_array(leaf) else (type(leaf), leaf) for leaf in leaves)
    key = (id(function), structure, *forms)
    program = _PROGRAMS.get(key)
    if program is None and _remembers(function, set()):
        raise _NotTracedError
    if program is None:
        program = _PROGRAMS[key] = _program(function, leaves, structure)
        if len(_PROGRAMS) > _MOST:
            _PROGRAMS.popitem(last=False)
    elif program.repeats is None:
        program.repeats = _is_same(program.operations, _program(function, leaves, structure).operations)
    if program.repeats is False:
        raise _NotTracedError
    computed = iter(program.run(*arrays))
    results = [next(computed) if _is_traced(one) else one for one in program.results]
    return sys.modules["jax"].tree.unflatten(program.form, results)


def _program(function: Callable[..., Any], leaves: list[Any], structure: Any) -> _Program:
    jax = sys.modules["jax"]
    returned: list[Any] = []  # the results, and their form

    def run(*arrays: Any) -> list[Any]:
        remaining = iter(arrays)
        given = [next(remaining) if _is_array(leaf) else leaf for leaf in leaves]
        arguments = jax.tree.unflatten(structure, given)
        results, form = jax.tree.flatten(function(*arguments[0], **arguments[1]))
        after, same = jax.tree.flatten(arguments)
        changed = same != structure or any(a is not b for a, b in zip(after, given, strict=True))
        if changed or not all(_is_array(one) or isinstance(one, _VALUES) for one in results):
            raise _NotTracedError
        returned[:] = results, form
        return [one for one in results if _is_traced(one)]

    operations = jax.make_jaxpr(run)(*(leaf for leaf in leaves if _is_array(leaf)))
    compiled = _jit(import_module("jax.extend.core").jaxpr_as_fun(operations))
    results, form = returned
    return _Program(operations, results, form, compiled, function)


def _is_array(value: Any) -> bool:
    return isinstance(value, sys.modules["jax"].Array)


def _is_traced(value: Any) -> bool:
    return isinstance(value, sys.modules["jax"].core.Tracer)


def _is_same(operations: Any, others: Any) -> bool:
    """Whether two programs are the same, with their constants, which their text does not show."""
    constants = [list(_constants(one)) for one in (operations, others)]
    return str(operations) == str(others) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(*constants, strict=True)
    )


def _constants(program: Any) -> Iterator[Any]:
    """The arrays in a program and in those within it."""
    yield from program.consts
    for equation in program.jaxpr.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if hasattr(inner, "consts") and hasattr(inner, "jaxpr"):
                    yield from _constants(inner)

"""The attention functions of a notebook: what the checker says, and whether they agree on the notebook's own arrays."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.attention import multi_head_attention
from headwise.checker import UncallableError, Verdict, check
from headwise.checker.roles import FLAGS, normalize, role_of
from headwise.coursework.notebook.arrays import NotebookArrays
from headwise.coursework.notebook.candidates import role_of_expression
from headwise.coursework.notebook.run import NotebookRun
from headwise.errors import HeadwiseError
from headwise.shapes import Array

__all__ = ["CheckedFunction", "OwnArrays", "check_functions", "compare_on_arrays"]

_ROUNDING = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-9}


@dataclass(frozen=True)
class CheckedFunction:
    """A function of the notebook with the checker's verdict.

    Attributes
    ----------
    name : str
    verdict : Verdict
    sizes : tuple of str
        Whole numbers of the notebook that it uses without having them as arguments, so that it fits these sizes only.
    """

    name: str
    verdict: Verdict
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnArrays:
    """What a function returned for the notebook's own arrays.

    Attributes
    ----------
    call : str
        The call, in the notebook's names; empty if it could not be made.
    difference : float
        The largest difference from the library's output, divided by its largest entry.
    agrees : bool
        Whether that is rounding.
    unscaled : bool
        Whether it agrees with attention without the division by √d.
    problem : str
        Why there is no comparison, if there is none.
    """

    call: str
    difference: float = float("inf")
    agrees: bool = False
    unscaled: bool = False
    problem: str = ""


def check_functions(run: NotebookRun) -> tuple[CheckedFunction, ...]:
    """Check every function of the notebook that can be called as attention, in its sandbox."""
    checked = []
    for node in run.tree.body:
        if not isinstance(node, ast.FunctionDef) or len(node.args.args) + len(node.args.posonlyargs) < 2:
            continue
        for tensors in (False, True) if run.uses_torch else (False,):
            try:
                verdict = check(run.sandbox.function(node.name, tensors=tensors), source=run.source)
            except (UncallableError, HeadwiseError):
                continue
            checked.append(CheckedFunction(node.name, verdict, tuple(_sizes(node, run.values))))
            break
    return tuple({item.name: item for item in checked}.values())


def _sizes(node: ast.FunctionDef, values: Mapping[str, Any]) -> Iterator[str]:
    """Names of whole numbers that a function reads from the notebook."""
    names = [item for item in ast.walk(node) if isinstance(item, ast.Name)]
    local = {item.id for item in names if isinstance(item.ctx, ast.Store)}
    local |= {item.arg for item in ast.walk(node) if isinstance(item, ast.arg)}
    for name in dict.fromkeys(item.id for item in names if item.id not in local):
        if isinstance(values.get(name), int):
            yield name


def compare_on_arrays(run: NotebookRun, checked: CheckedFunction, found: NotebookArrays) -> OwnArrays:
    """Call the function on the notebook's own arrays, and compare with the library."""
    kind = checked.verdict.kind
    if kind not in ("self_attention", "multi_head"):
        return OwnArrays("", problem=f"it takes {'queries, keys and values' if kind == 'attention' else 'two inputs'}")
    parameters = _parameters(run.tree, checked.name)
    single = kind == "self_attention"
    arguments, missing, used = _arguments(parameters, found, single)
    if missing:
        return OwnArrays("", problem=f"the notebook has nothing for its argument {missing}")
    call = f"{checked.name}({', '.join(arguments)})"
    try:
        returned = run.sandbox.evaluate(call)
    except Exception as error:  # whatever the notebook's function raises
        return OwnArrays(call, problem=f"it raised {type(error).__name__}: {error}")
    outputs = [
        np.asarray(item) for item in (returned if isinstance(returned, tuple) else (returned,)) if item is not None
    ]
    expected = _expected(found, single, used)
    difference, dtype = _difference(outputs, expected(None))
    tolerance = _ROUNDING.get(dtype, 1e-5)
    unscaled = difference > tolerance and _difference(outputs, expected(1.0))[0] <= tolerance
    return OwnArrays(call, difference, difference <= tolerance, unscaled)


def _parameters(tree: ast.Module, name: str) -> list[tuple[str, bool]]:
    """Names of the parameters, and whether each has a default."""
    node = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name][-1]
    positional = [*node.args.posonlyargs, *node.args.args]
    required = len(positional) - len(node.args.defaults)
    pairs = [(arg.arg, i >= required) for i, arg in enumerate(positional)]
    return pairs + [
        (arg.arg, default is not None) for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    ]


def _arguments(
    parameters: Sequence[tuple[str, bool]], found: NotebookArrays, single: bool
) -> tuple[list[str], str, set[str]]:
    """The call's arguments in the notebook's names, the first that has none, and the roles that were passed."""
    arguments: list[str] = []
    used: set[str] = set()
    positional = True
    for name, optional in parameters:
        role, head = role_of_expression(name)
        value = _source(found, role, head, single) if role else _setting(name, found)
        if value is None:
            if optional:
                positional = False
                continue
            return [], name, used
        used.add(role or "")
        arguments.append(value if positional else f"{name}={value}")
    return arguments, "", used


def _source(found: NotebookArrays, role: str, head: int | None, single: bool) -> str | None:
    """The notebook's expression for a role: that of one head, a list of all, or the matrix itself."""
    sources = found.sources.get(role, ())
    if not sources:
        return None
    if head is not None:
        numbers = list(range(1, len(sources) + 1))
        base = 0 if f"{sources[0]}"[-1:] == "0" else 1
        return sources[head - base] if 0 <= head - base < len(numbers) else None
    if len(sources) == 1 or single:
        return sources[0]
    return f"[{', '.join(sources)}]"


def _setting(name: str, found: NotebookArrays) -> str | None:
    """The value of a number of heads, a width or a switch."""
    role = role_of(name)
    if role == "heads":
        return str(found.heads)
    if role in ("d", "D"):
        width = found.arrays["X"].shape[1]
        return str(width if role == "D" else len(found.arrays["Wq"]) // found.heads)
    return repr(FLAGS[normalize(name)]) if normalize(name) in FLAGS else None


def _expected(found: NotebookArrays, single: bool, used: set[str]) -> Any:
    """The library's output for a scale, of the arrays that were passed: of the first head where each has its own."""
    arrays: dict[str, Any] = dict(found.arrays)
    for role in ("bq", "bk", "bv"):
        if role not in used and "bqkv" not in used:
            arrays.pop(role, None)
    if "Wo" not in used:
        arrays.pop("Wo", None)
        arrays.pop("bo", None)
    heads = found.heads
    if single:
        heads = 1
        if found.own_heads > 1:
            own = found.own_heads
            arrays = {
                name: array[: len(array) // own] if name[1:] in "qkv" and name != "X" else array
                for name, array in arrays.items()
            }

    def output(scale: float | None) -> Array:
        return np.asarray(multi_head_attention(**arrays, heads=heads, scale=scale).output)

    return output


def _difference(outputs: Sequence[Array], expected: Array) -> tuple[float, Any]:
    """The smallest difference of an output in either orientation, relative to the largest entry, and its type."""
    scale = max(float(np.abs(expected).max(initial=0)), 1e-300)
    best = float("inf")
    dtype: np.dtype[Any] = np.dtype(np.float64)
    for output in outputs:
        squeezed = np.squeeze(output)
        for candidate in (squeezed, squeezed.T):
            if candidate.shape == expected.shape:
                difference = float(np.abs(candidate - expected).max()) / scale
                if difference < best:
                    best, dtype = difference, output.dtype
    return best, dtype

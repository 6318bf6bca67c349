"""The functions of a notebook called on its own arrays, next to the library."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headwise.attention import multi_head_attention
from headwise.checker.arguments.roles import FLAGS, normalize, role_of
from headwise.checker.user_code.notebooks import name_cells
from headwise.coursework.notebook.arrays import ArrayOptions, NotebookArrays, find_arrays
from headwise.coursework.notebook.candidates import head_counts, role_of_expression
from headwise.coursework.notebook.classes import instances
from headwise.coursework.notebook.functions import CheckedFunction
from headwise.coursework.notebook.run import NotebookRun
from headwise.coursework.steps import causal_multi_head
from headwise.errors import HeadwiseError, describe_exception
from headwise.shapes import Array
from headwise.text import scientific

_ROUNDING = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-9}


@dataclass(frozen=True)
class OutputComparison:
    """What a function returned for the notebook's own arrays."""

    call: str  # the call, in the notebook's names; empty if it could not be made
    # the largest difference from the library's output, divided by its largest entry; infinite if there is no output
    # of finite numbers in its shape
    difference: float = float("inf")
    agrees: bool = False  # whether that is rounding
    unscaled: bool = False  # whether it agrees with attention without the division by √d
    zeros: bool = False  # whether it returned zeros only, as a function that is still to be written does
    problem: str = ""  # why there is no comparison, if there is none

    @property
    def description(self) -> str:
        """The comparison in words, to follow the function's name."""
        if self.problem:
            return f"not compared: {self.problem.rstrip('.')}"
        if self.difference == 0:
            return "agrees with the library to the last bit"
        if self.agrees:
            return f"agrees with the library to {scientific(self.difference)}, which is rounding"
        if self.unscaled:
            return "agrees with attention that does not divide by √d"
        if self.zeros:
            return "returns zeros only"
        if not np.isfinite(self.difference):
            return "returns no output of the expected shape, or one with NaN or Inf"
        size = f"{self.difference:.2g}" if self.difference >= 0.01 else scientific(self.difference)
        return f"differs from the library by {size} of the largest entry"


def compare_on_arrays(run: NotebookRun, checked: CheckedFunction, inputs: NotebookArrays) -> OutputComparison:
    """Call the function on the notebook's own arrays, and compare with the library."""
    assert checked.verdict is not None
    kind = checked.verdict.kind
    if kind not in ("self_attention", "multi_head"):
        inputs_of_kind = "queries, keys and values" if kind == "attention" else "two inputs"
        return OutputComparison("", problem=f"it takes {inputs_of_kind}")
    if checked.form == "class":
        return _compare_instance(run, checked, inputs)
    if checked.form == "array":
        return _compare_closest(run, checked.name, inputs)
    single = kind == "self_attention"
    call, used, problem = _call(run.tree, checked, inputs, single)
    expected = _expected(inputs, single, used, _is_causal(checked.verdict.conventions))
    expected = replace(expected, weights="weights-only" in checked.verdict.conventions)
    result = _compare(run, call, expected) if call else OutputComparison("", problem=problem)
    return (result.problem and compare_notebook_call(run, checked.name, inputs)) or result


def compare_notebook_call(run: NotebookRun, name: str, inputs: NotebookArrays) -> OutputComparison | None:
    """The notebook's own call of a function with the tokens; None if none gives an output of attention's shape."""
    for call in _notebook_calls(run.tree, name, inputs.sources["X"][0]):
        closest = _compare_closest(run, call, inputs)
        if np.isfinite(closest.difference):
            return closest
    return None


def _compare_closest(run: NotebookRun, expression: str, inputs: NotebookArrays) -> OutputComparison:
    """Compare what an expression gives with one head, and with all, and keep the smaller difference."""
    expected = _expected(inputs, False, set(inputs.sources))
    results = [_compare(run, expression, replace(expected, heads=heads)) for heads in dict.fromkeys((inputs.heads, 1))]
    return min(results, key=lambda result: result.difference)


def _is_causal(conventions: tuple[str, ...]) -> bool:
    """Whether a function is causal without being asked, where no mask is passed."""
    return not {"causal-unasked", "causal-without-mask"}.isdisjoint(conventions)


def _compare_instance(run: NotebookRun, checked: CheckedFunction, inputs: NotebookArrays) -> OutputComparison:
    """The notebook's first instance of a class, with its own weights."""
    assert checked.verdict is not None
    conventions = checked.verdict.conventions
    tokens = inputs.sources["X"][0]
    for name in instances(run.tree, checked.name):
        values = {key: run.values[key] for key in run.values if key == tokens or key.startswith(f"{name}.")}
        options = ArrayOptions(columns=inputs.columns, take={"X": (tokens,)})
        try:
            instance_inputs = find_arrays(replace(run, values=values), options, [(checked.name, conventions)])
        except HeadwiseError:
            continue
        if instance_inputs.own_heads == 1 and not head_counts(values):
            instance_inputs = replace(instance_inputs, heads=1)
        expected = _expected(instance_inputs, False, set(instance_inputs.sources), _is_causal(conventions))
        calls = (f"{name}({tokens})", f"{name}.forward({tokens})", f"{name}({tokens}[None])")
        results = [_compare(run, call, expected) for call in calls]
        return next((result for result in results if not result.problem), results[0])
    return OutputComparison("", problem="the notebook has no instance of it whose weights could be read")


def _compare(run: NotebookRun, call: str, expected: _Expected) -> OutputComparison:
    try:
        returned = run.sandbox.evaluate(call)
    except Exception as error:  # whatever the notebook's function raises
        return OutputComparison(call, problem=name_cells(run.source, f"it raised {describe_exception(error)}"))
    items = returned if isinstance(returned, tuple) else (returned,)
    outputs = [np.asarray(item) for item in items if item is not None]
    if len({(output.shape, output.dtype.kind) for output in outputs}) == 1:
        outputs.append(np.stack(outputs))  # a list of one output for each token
    difference, dtype = _difference(outputs, expected.output())
    tolerance = _ROUNDING.get(dtype, 1e-5)
    unscaled = difference > tolerance and _difference(outputs, expected.output(scale=1.0))[0] <= tolerance
    zeros = difference > tolerance and not any(output.any() for output in outputs)
    return OutputComparison(call, difference, difference <= tolerance, unscaled, zeros)


def _call(
    tree: ast.Module, checked: CheckedFunction, inputs: NotebookArrays, single: bool
) -> tuple[str, set[str], str]:
    """The call in the notebook's names and the roles of its arguments; else why there is none."""
    arguments, missing, used = _arguments(_parameters(tree, checked.name), inputs, single)
    used |= {role_of_expression(name)[0] or "" for name in checked.weights}
    if not missing:
        return f"{checked.name}({', '.join(arguments)})", used, ""
    for call in _notebook_calls(tree, checked.name, inputs.sources["X"][0]):
        return call, set(inputs.sources), ""
    return "", used, f"the notebook has nothing for its argument {missing}"


def _notebook_calls(tree: ast.Module, name: str, tokens: str) -> Iterator[str]:
    """Calls of a function with the tokens that the notebook makes itself, outside of functions."""
    outside = [statement for statement in tree.body if not isinstance(statement, ast.FunctionDef | ast.ClassDef)]
    for node in (item for statement in outside for item in ast.walk(statement)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name):
            continue
        if any(_unconverted(argument) == tokens for argument in node.args):
            yield ast.unparse(node)


def _unconverted(argument: ast.expr) -> str:
    """An array that is passed, without what makes another kind of array of it or adds an axis."""
    match argument:
        case ast.Subscript(value=inner, slice=ast.Constant(value=None)):
            return _unconverted(inner)
        case (
            ast.Attribute(value=inner, attr="values")
            | ast.Call(
                func=ast.Attribute(
                    value=inner, attr="to_numpy" | "numpy" | "copy" | "astype" | "float" | "double" | "unsqueeze"
                )
            )
        ):
            return _unconverted(inner)
        case ast.Call(
            func=ast.Attribute(attr="array" | "asarray" | "tensor" | "as_tensor" | "from_numpy"), args=[inner, *_]
        ):
            return _unconverted(inner)
    return ast.unparse(argument)


def _parameters(tree: ast.Module, name: str) -> list[tuple[str, bool]]:
    """Names of the parameters, and whether each has a default."""
    node = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name][-1]
    positional = [*node.args.posonlyargs, *node.args.args]
    required = len(positional) - len(node.args.defaults)
    pairs = [(arg.arg, i >= required) for i, arg in enumerate(positional)]
    keyword_only = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return pairs + [(arg.arg, default is not None) for arg, default in keyword_only]


def _arguments(
    parameters: Sequence[tuple[str, bool]], inputs: NotebookArrays, single: bool
) -> tuple[list[str], str, set[str]]:
    """The call's arguments in the notebook's names, the first that has none, and the roles that were passed."""
    arguments: list[str] = []
    used: set[str] = set()
    positional = True
    for name, optional in parameters:
        role, head = role_of_expression(name)
        value = _source(inputs, role, head, single) if role else _setting(name, inputs)
        if value is None:
            if optional:
                positional = False
                continue
            return [], name, used
        used.add(role or "")
        arguments.append(value if positional else f"{name}={value}")
    return arguments, "", used


def _source(inputs: NotebookArrays, role: str, head: int | None, single: bool) -> str | None:
    """The notebook's expression for a role: that of one head, a list of all, or the matrix itself."""
    sources = inputs.sources.get(role, ())
    if not sources:
        return None
    if head is not None:
        base = 0 if sources[0].endswith("0") else 1
        return sources[head - base] if 0 <= head - base < len(sources) else None
    if single and len(sources) == 1 and inputs.own_heads > 1 and role not in ("X", "Wo", "bo"):
        return f"{sources[0]}[0]"
    if len(sources) == 1 or single:
        return sources[0]
    return f"[{', '.join(sources)}]"


def _setting(name: str, inputs: NotebookArrays) -> str | None:
    """The value of a number of heads, a width or a switch."""
    role = role_of(name)
    if role == "heads" or normalize(name) == "h":
        return str(inputs.heads)
    if role in ("d", "D"):
        width = inputs.arrays["X"].shape[1]
        return str(width if role == "D" else len(inputs.arrays["Wq"]) // inputs.heads)
    return repr(FLAGS[normalize(name)]) if normalize(name) in FLAGS else None


@dataclass(frozen=True)
class _Expected:
    """The library's output for arrays that were passed, or its weights."""

    arrays: Mapping[str, Array]
    heads: int
    causal: bool
    weights: bool = False  # whether they are compared

    def output(self, scale: float | None = None) -> Array:
        arrays: dict[str, Any] = dict(self.arrays)
        if self.causal and scale is None:
            result = causal_multi_head(arrays.pop("X"), arrays, self.heads)
        else:
            result = multi_head_attention(**arrays, heads=self.heads, scale=scale)
        weights = result.weights if self.heads > 1 else result.weights[0]
        return weights if self.weights else result.output


def _expected(inputs: NotebookArrays, single: bool, used: set[str], causal: bool = False) -> _Expected:
    """With the arrays that were passed: those of the first head where each has its own."""
    arrays = dict(inputs.arrays)
    for role in ("bq", "bk", "bv"):
        if role not in used and "bqkv" not in used:
            arrays.pop(role, None)
    if "Wo" not in used:
        arrays.pop("Wo", None)
        arrays.pop("bo", None)
    if not single:
        return _Expected(arrays, inputs.heads, causal)
    heads = inputs.own_heads
    first = {n: a[: len(a) // heads] if n[1:] in "qkv" and n != "X" else a for n, a in arrays.items()}
    return _Expected(first, 1, causal)


def _difference(outputs: Sequence[Array], expected: Array) -> tuple[float, Any]:
    """The smallest difference of an output in either orientation, relative to the largest entry, and its type.

    Of a batch the first item counts.
    """
    scale = max(float(np.abs(expected).max(initial=0)), 1e-300)
    best = float("inf")
    dtype: np.dtype[Any] = np.dtype(np.float64)
    for output in outputs:
        squeezed = np.squeeze(output)
        batched = [output[0]] if output.ndim == 3 else []
        for candidate in (squeezed, *batched):
            for oriented in (candidate, candidate.T):
                if oriented.shape == expected.shape:
                    difference = float(np.abs(oriented - expected).max()) / scale
                    if difference < best:
                        best, dtype = difference, output.dtype
    return best, dtype

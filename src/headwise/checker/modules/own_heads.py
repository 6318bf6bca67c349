"""Functions that set their number of heads themselves: ``heads = 3``, or a 3 by which they divide and reshape."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from types import FunctionType, MappingProxyType
from typing import Any

from headwise.checker.arguments.roles import role_of

_ARGUMENT = "num_heads"
_CUTS = {"reshape", "view", "split", "array_split", "chunk", "range"}  # what a number of heads is passed to


def with_own_heads(function: FunctionType) -> FunctionType:
    """The function with the number of heads that it sets itself as an argument, by default the same number."""
    definition = _definition(function)
    if definition is None or not take_heads(definition):
        return function
    module = ast.fix_missing_locations(ast.Module([definition], []))
    ast.increment_lineno(module, function.__code__.co_firstlineno - 1)
    made: dict[str, Any] = {}
    exec(compile(module, function.__code__.co_filename, "exec"), function.__globals__, made)
    changed: FunctionType = made[function.__name__]
    changed.__module__, changed.__qualname__ = function.__module__, function.__qualname__
    changed.__defaults__ = function.__defaults__
    return changed


def take_heads(definition: ast.FunctionDef, around: Mapping[str, int] = MappingProxyType({})) -> bool:
    """Make the number of heads that a definition sets itself an argument of it, if it sets one.

    `around`: whole numbers among the variables of its file, of which one may be the number of heads.
    """
    arguments = definition.args
    roles = {role_of(arg.arg) for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    if "heads" in roles or not ({"Wq", "Wk"} <= roles or {"q", "k"} <= roles):
        return False
    used = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
    variable = next((name for name in around if name in used and role_of(name) == "heads"), None)
    constants = [] if variable else _assigned(definition) or _written_out(definition)
    if not variable and not constants:
        return False
    _Replaced(constants).visit(definition)
    arguments.kwonlyargs.append(ast.arg(variable or _ARGUMENT))
    arguments.kw_defaults.append(ast.Constant(around[variable]) if variable else constants[0])
    return True


def _definition(function: FunctionType) -> ast.FunctionDef | None:
    """Its definition, if it has no decorators, and uses no variables of a function around it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    definition = tree.body[0] if tree.body else None
    whole = isinstance(definition, ast.FunctionDef) and not definition.decorator_list and not function.__closure__
    return definition if whole and isinstance(definition, ast.FunctionDef) else None


def _assigned(definition: ast.FunctionDef) -> list[ast.Constant]:
    """What it assigns to a name of the number of heads; ``h`` counts if something is divided by it."""
    divisors = {divisor.id for divisor in _divisors(definition) if isinstance(divisor, ast.Name)}
    for statement in definition.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int() as number) as constant):
                if number > 1 and (role_of(name) == "heads" or (name.lower() == "h" and name in divisors)):
                    return [constant]
    return []


def _written_out(definition: ast.FunctionDef) -> list[Any]:
    """The places of a whole number by which it divides, and which it passes to what cuts arrays.

    A 2 counts only as in ``reshape(N, 2, D // 2)``: other halves are those of rotations, or of blocks of keys.
    """
    divisors = [divisor for divisor in _divisors(definition) if _is_number(divisor)]
    passed = [number for call in ast.walk(definition) if isinstance(call, ast.Call) for number in _cuts(call)]
    both = {divisor.value for divisor in divisors} & {number.value for number in passed}
    return [one for one in (*divisors, *passed) if one.value in both] if len(both) == 1 else []


def _cuts(call: ast.Call) -> Iterator[Any]:
    """The whole numbers of parts that a call cuts an array into."""
    items: list[Any] = [item for a in call.args for item in (a.elts if isinstance(a, ast.Tuple) else [a])]
    if _name(call.func) in _CUTS:
        for number, following in zip_longest(items, items[1:]):
            of_width = isinstance(following, ast.BinOp | ast.UnaryOp | ast.Name)
            if _is_number(number) and (number.value > 2 or of_width):
                yield number


def _divisors(definition: ast.FunctionDef) -> Iterator[Any]:
    """What numbers that are not written out are divided by."""
    for node in ast.walk(definition):
        divides = isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv | ast.Div)
        if divides and isinstance(node, ast.BinOp) and not isinstance(node.left, ast.Constant):
            yield node.right


def _is_number(node: Any) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value > 1


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


class _Replaced(ast.NodeTransformer):
    """Puts the argument in the place of constants."""

    def __init__(self, constants: list[ast.Constant]) -> None:
        self._constants = constants

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """The argument, for one of the constants."""
        own = any(node is constant for constant in self._constants)
        return ast.copy_location(ast.Name(_ARGUMENT, ast.Load()), node) if own else node

"""Which expressions are the tokens, matrices and biases, by the products that make queries, keys and values."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headwise.checker.arguments.roles import role_of
from headwise.checker.user_code.source import assigned_pairs

_PRODUCTS = ("dot", "matmul", "mm", "bmm")

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Factor(NamedTuple):
    """A factor of a product: a variable or an item of a dict, empty for anything else; what is done to it first."""

    name: str
    transposed: bool
    indexed: bool


def projection_roles(statements: Sequence[ast.stmt]) -> dict[str, str]:
    """Roles of expressions, from assignments such as ``Q = X @ A``; none that are not certain.

    Examples
    --------
    >>> projection_roles(ast.parse("Q = A @ Z + a; K, V = B @ Z, params['C'] @ Z").body)
    {'Z': 'X', 'A': 'Wq', 'B': 'Wk', "params['C']": 'Wv', 'a': 'bq'}
    """
    factors: dict[str, list[set[str]]] = {"q": [], "k": [], "v": []}
    biases: dict[str, str] = {}
    for target, value in _assignments(statements):
        part = role_of(target)
        if part not in factors:
            continue
        pairs = [{_name(left), _name(right)} for left, right in products(value)]
        factors[part] += [pair for pair in pairs if "" not in pair and len(pair) > 1]
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            added = {_name(value.left), _name(value.right)} - {""}
            if len(added) == 1:
                biases[added.pop()] = f"b{part}"
    by_part = {part: set().union(*pairs) for part, pairs in factors.items()}
    tokens = set.intersection(*by_part.values())
    if len(tokens) != 1 or any(len(names) != 2 for names in by_part.values()):
        return _tokens_of_fused(statements)
    matrices = {names.difference(tokens).pop(): f"W{part}" for part, names in by_part.items()}
    return {tokens.pop(): "X", **matrices, **biases} if len(matrices) == len(by_part) else {}


def _tokens_of_fused(statements: Sequence[ast.stmt]) -> dict[str, str]:
    """The tokens, if one array alone is multiplied with a matrix of queries, keys and values."""
    pairs = [{_name(left), _name(right)} for statement in statements for left, right in products(statement)]
    fused = [{name for name in pair if role_of(name) == "Wqkv"} for pair in pairs]
    others = {name for pair, names in zip(pairs, fused, strict=True) if len(names) == 1 for name in pair - names}
    return dict.fromkeys(others, "X") if len(others) == 1 and "" not in others else {}


def scope_roles(tree: ast.Module) -> dict[str, str]:
    """The roles of expressions in all functions of a module, and outside of them."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    scopes = [statements_outside(tree), *(node.body for node in functions)]
    return {name: role for statements in scopes for name, role in projection_roles(statements).items()}


def statements_outside(tree: ast.Module) -> list[ast.stmt]:
    """The statements of a module that are not definitions."""
    return [statement for statement in tree.body if not isinstance(statement, _Definition)]


def _assignments(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Names with the expressions that they are assigned; of tuples, item by item."""
    for node in (item for statement in statements for item in ast.walk(statement)):
        for target, value in assigned_pairs(node) if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name):
                yield target.id, value


def _name(node: ast.expr) -> str:
    return factor(node).name


def factor(node: ast.expr) -> Factor:
    """What a factor of a product is."""
    transposed = indexed = False
    while True:
        match node:
            case ast.Attribute(value=inner, attr="T" | "mT"):
                node, transposed = inner, not transposed
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy" | "torch" | "jnp")), args=[inner, *_]):
                if ast.unparse(node.func).split(".")[1] not in ("transpose", "swapaxes", "t"):
                    return Factor("", transposed, indexed)
                node, transposed = inner, not transposed
            case ast.Call(func=ast.Attribute(value=inner, attr="transpose" | "t" | "swapaxes")):
                node, transposed = inner, not transposed
            case ast.Name() | ast.Attribute() | ast.Subscript(slice=ast.Constant(value=str())):
                return Factor(ast.unparse(node), transposed, indexed)
            case ast.Subscript(value=inner):
                node, indexed = inner, True
            case _:
                return Factor("", transposed, indexed)


def products(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The two factors of every matrix product in the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.left, node.right
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, args = node.func.attr, node.args
            if name in _PRODUCTS and len(args) == 2:
                yield args[0], args[1]
            elif name in _PRODUCTS and len(args) == 1:
                yield node.func.value, args[0]
            elif name == "linear" and len(args) >= 2:  # torch.nn.functional.linear takes (out, in)
                yield args[0], ast.Attribute(args[1], "T", ast.Load())
            elif name == "einsum" and len(args) == 3 and isinstance(args[0], ast.Constant):
                yield from _einsum(str(args[0].value), args[1], args[2])


def _einsum(equation: str, x: ast.expr, w: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """A product of tokens and a matrix as x @ w, with the factor transposed that the equation transposes."""
    left, _, right = equation.replace(" ", "").partition("->")[0].partition(",")
    shared = [letter for letter in left if letter in right]
    if len(shared) == 1 and len(right) == 2 and len(left) in (2, 3):
        matrix = ast.Attribute(w, "T", ast.Load()) if right.index(shared[0]) == 1 else w
        yield (x if left[-1] == shared[0] else ast.Attribute(x, "T", ast.Load())), matrix

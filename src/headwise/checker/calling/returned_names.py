"""Which of several arrays that a function returns is the output, and which the weights, by their names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headwise.checker.arguments.roles import normalize
from headwise.checker.user_code.source import last_name, nodes_of

_ADJECTIVES = "(self|cross|multihead|mha|attention|attended|attn|att|final|layer|softmax|new)*"
_OUTPUT = re.compile(f"{_ADJECTIVES}(out|outputs?|result|context|contextvectors?|ctx|hidden|hiddenstates?|y|z|o)")
_WEIGHTS = re.compile(f"{_ADJECTIVES}(weights?|probs?|probabilities|map|matrix|attention|attentions|attn|alphas?|a|p)")

_PRODUCTS = {"matmul", "dot", "einsum", "bmm"}


def output_first(names: Iterable[Any], values: Iterable[Any]) -> tuple[Any, ...]:
    """The output and the weights of what was returned, if a name says which is the output; else everything."""
    plain, values = [normalize(str(name)) for name in names], tuple(values)
    outputs, weights = ([place for place, name in enumerate(plain) if p.fullmatch(name)] for p in (_OUTPUT, _WEIGHTS))
    return tuple(values[place] for place in (outputs[-1], *weights[-1:])) if outputs else values


def in_order(result: Any, names: Mapping[int, tuple[str, ...]]) -> Any:
    """A tuple of several arrays with the output first, by the names that its function gives to so many."""
    several = type(result) is tuple and len(result) in names
    return output_first(names[len(result)], result) if several else result


def returned_names(code: str) -> dict[int, tuple[str, ...]]:
    """The names of what a function returns in tuples of three or more, by how many they are.

    If none says which is the output, the only product is, else the only part without a name.
    """
    function = next((node for node in nodes_of(code) if isinstance(node, ast.FunctionDef)), None)
    returned: dict[int, tuple[str, ...]] = {}
    for value in _returned(function.body) if function else ():
        parts = value.elts if isinstance(value, ast.Tuple) else []
        names = [last_name(part) for part in parts]
        products = [place for place, part in enumerate(parts) if _is_product(part)]
        unnamed = [place for place, name in enumerate(names) if not name]
        only = next((places[0] for places in (products, unnamed) if len(places) == 1), None)
        if only is not None and not any(_OUTPUT.fullmatch(normalize(name)) for name in names):
            names[only] = "output"
        if len(names) > 2:
            returned[len(names)] = tuple(names)
    return returned


def _is_product(node: ast.expr) -> bool:
    """Whether an expression is a product of matrices, perhaps reshaped."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr not in _PRODUCTS:
        node = node.func.value
    if isinstance(node, ast.Call):
        return last_name(node.func) in _PRODUCTS
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)


def _returned(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """What a function returns, and not the functions in it."""
    for node in nodes:
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from _returned(ast.iter_child_nodes(node))

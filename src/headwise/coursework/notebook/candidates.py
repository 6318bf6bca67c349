"""Which of a notebook's arrays may be the tokens, the matrices and the biases: by their names, and by its calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.checker.arguments.roles import normalize, role_of
from headwise.coursework.notebook.projections import projection_roles, statements_outside
from headwise.shapes import Array

MATRICES = ("Wq", "Wk", "Wv", "Wo", "Wqkv")
LISTED = "heads"  # the group of matrices in a list or dict of heads
_BIASES = ("bq", "bk", "bv", "bo", "bqkv")
# earlier ones are taken first
_TOKENS = (
    *("x", "allx", "xall", "xs", "tokens", "inputs", "input", "embeddings", "embedded", "embedding", "xin"),
    *("inputembeddings", "tokenembeddings", "hiddenstates", "sequence", "seq", "sentence", "data", "features"),
)
_HEADS = ("h", "heads", "nheads", "numheads", "nhead", "nhd", "numofheads", "numberofheads", "numattentionheads")
_FINAL_LAYERS = ("proj", "out", "output", "o", "fc_out", "dense", "unify_heads", "unifyheads")
_LIKE_TOKENS = re.compile(r"token|embed|input|seq|sentence")
_HEAD_INDEX = re.compile(r"\b(?:\w*heads?\w*[.\[]|(?:head|h)_?(?=\d+(?:\.|$)))(\d+)\]?", re.IGNORECASE)
_NUMBERED = re.compile(r"^(.*?)[_.]?(?:head|h)?[_.]?(\d+)$")
_NUMBER_FIRST = re.compile(r"^(w|omega|beta|b|)(?:head|h)?_?(\d+)_?(?=[a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """An array of the notebook with a role."""

    expression: str  # what gives it in the notebook: ``X``, ``params['Wq']``, ``layer.weight``
    role: str  # ``X``, ``Wq``, …, ``bo``; ``Wqkv`` and ``bqkv`` for those of queries, keys and values in one
    head: int | None  # which head's it is, where each head has its own
    group: str  # the object or dict that it is in; empty for a variable, `LISTED` for an item of a list of heads
    array: Array  # a list of arrays as one array, stacked along a new first axis
    listed: bool = False  # whether it is a list
    rank: int = 0  # lower is nearer to the usual name


def find_candidates(
    values: Mapping[str, Any], tree: ast.Module, overrides: Mapping[str, tuple[str, ...]], members: bool = False
) -> dict[str, list[Candidate]]:
    """Candidates for each role among a notebook's values, those with the usual names first.

    `overrides` has the only expression for a role, or one for each head. With `members`, what a dict or an object holds
    as queries, keys and values are their matrices.
    """
    loops = {name.id for node in ast.walk(tree) if isinstance(node, ast.For) for name in _names(node.target)}
    result: dict[str, list[Candidate]] = {}
    in_code = dict(_roles_in_code(tree))
    for expression, value in values.items():
        if expression in loops or isinstance(value, int):
            continue
        role, head = role_of_expression(expression)
        role = role or in_code.get(expression)
        if members and role is None and "." in (name := _dotted(expression)):
            role, head = role_of_expression(f"{name}.weight")
        if role:
            result.setdefault(role, []).append(_candidate(expression, role, head, value))
    for role, parts in overrides.items():
        heads = range(1, len(parts) + 1) if len(parts) > 1 else (None,)
        result[role] = [_candidate(part, role, head, values[part]) for part, head in zip(parts, heads, strict=True)]
    return {role: sorted(items, key=lambda item: item.rank) for role, items in result.items()}


def role_of_expression(expression: str) -> tuple[str | None, int | None]:
    """The role that a name gives to an array, and the head if the name has a number.

    Examples
    --------
    >>> role_of_expression("omega_q2"), role_of_expression("layer.v_proj.bias"), role_of_expression("colors")
    (('Wq', 2), ('bv', None), (None, None))
    """
    name = _dotted(expression)
    *_, last = name.removesuffix(".weight").removesuffix(".bias").split(".")
    index = _HEAD_INDEX.search(name) if last != name else None  # a list of heads
    bias = name.endswith(".bias")
    if normalize(last) in _TOKENS:
        return "X", None
    head = int(index[1]) if index else None
    role = role_of(last)
    if role is None and (match := _NUMBERED.match(last)):
        role, head = role_of(match[1]), int(match[2])
    if role is None and (match := _NUMBER_FIRST.match(last)):
        role, head = role_of(match[1] + last[match.end() :]), int(match[2])
    if role is None and normalize(last).startswith("all"):
        role = role_of(normalize(last).removeprefix("all"))
    if name.endswith((".weight", ".bias")) and (role in ("q", "k", "v") or last in _FINAL_LAYERS):  # as in “query”
        role = f"W{role if role in ('q', 'k', 'v') else 'o'}"
    if role and "#" in role:
        role, number = role.split("#")
        head = int(number)
    if role and bias and role.startswith("W"):
        role = "b" + role[1:]
    if role in (*MATRICES, *_BIASES):
        return role, head
    return ("X", None) if _LIKE_TOKENS.search(normalize(last)) else (None, None)


def head_counts(values: Mapping[str, Any]) -> dict[str, int]:
    """The notebook's numbers of heads, by their names."""
    return {
        expression: value
        for expression, value in values.items()
        if isinstance(value, int) and normalize(_dotted(expression).split(".")[-1]) in _HEADS and 1 <= value <= 256
    }


def _candidate(expression: str, role: str, head: int | None, value: Any) -> Candidate:
    group = _group(expression)
    listed = isinstance(value, tuple)
    array = _stacked(value) if listed else np.asarray(value)
    plain = normalize(expression)
    usual = plain in _TOKENS or role != "X"
    rank = _TOKENS.index(plain) if role == "X" and usual else len(_TOKENS) * (bool(group) or not usual)
    return Candidate(expression, role, head, group, array.astype(np.float64), listed, rank)


def _group(expression: str) -> str:
    """The object or dict that an array is in, the same for all heads of a list; empty for a variable."""
    owner = _dotted(expression).removesuffix(".weight").removesuffix(".bias").rpartition(".")[0]
    return _HEAD_INDEX.sub("", owner).strip(".") or (LISTED if owner else "")


def _dotted(expression: str) -> str:
    """``params['Wq']`` as ``params.Wq``, and ``params['layer/query']['w']`` as ``params.layer.query.weight``."""
    name = re.sub(r"\[['\"]([^'\"]+)['\"]\]", lambda match: "." + match[1].replace("/", "."), expression)
    return re.sub(r"\.(?:b|beta)$", ".bias", re.sub(r"\.(?:w|W|kernel|weights)$", ".weight", name))


def _stacked(arrays: tuple[Array, ...]) -> Array:
    """Arrays of one shape along a new axis; of several shapes, the first alone, which then fits nothing else."""
    same = all(array.shape == arrays[0].shape for array in arrays)
    return np.stack(arrays) if same else np.empty(0)


def _roles_in_code(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Variables whose products make queries, keys and values, or that are passed for a parameter with a role."""
    outside = statements_outside(tree)
    yield from projection_roles(outside).items()
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in (item for statement in outside for item in ast.walk(statement)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions):
            continue
        function = functions[node.func.id]
        roles = projection_roles(function.body)
        names = [arg.arg for arg in function.args.args]
        pairs = [*zip(names, node.args, strict=False), *((item.arg, item.value) for item in node.keywords)]
        for name, value in pairs:
            role, head = role_of_expression(name or "")
            if (role := role or roles.get(name or "")) and head is None and isinstance(value, ast.Name):
                yield value.id, role


def _names(node: ast.AST) -> Iterator[ast.Name]:
    yield from (item for item in ast.walk(node) if isinstance(item, ast.Name))

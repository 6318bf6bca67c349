"""Arguments that hold several arrays, and the parts that stand for them in a reading of a signature."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from headwise.checker.arguments.containers import EACH, Path, matrices_in, paths_in
from headwise.checker.arguments.roles import is_matrix, role_of, separate
from headwise.checker.user_code.source import nodes_of

Names = dict[str, "str | int | Path"]

_MATRICES = ("Wq", "Wk", "Wv")
_HELD = ("X", "context", "q", "k", "v", "mask", "padding", "lengths")  # what comes in one argument with tokens
_PROJECTED = {"q": "X", "k": "context", "v": "values"}  # what arguments are that matrices are applied to


def is_fused(argument: str, code: str) -> bool:
    """Whether an argument is one matrix that is cut into three, and no dictionary of matrices."""
    if matrices_in(argument, code):
        return False
    slices = rf"\b{argument}\[[^\]\n]*\b2\s*\*\s*\w+"
    return bool(re.search(rf"split\(.*,\s*3\b|chunk\(3\b|reshape\(.*\b3\s*,|{slices}", code))


def is_complete(paths: Mapping[str, Path]) -> bool:
    """Whether there are matrices for queries, keys and values."""
    return set(_MATRICES) <= separate(paths)


def open_dictionary(
    names: Names, needs: set[str], code: str, annotation: Any, learned: Mapping[str, Mapping[str, Path]]
) -> None:
    """Replace an argument that is a dictionary of matrices by the keys under which its function looks them up.

    They are those of the code, or were learned from a call. If it is annotated with a class, the fields of the class
    are there too, whether or not the function uses them; so are the matrices that the documentation names in the same
    way.
    """
    argument = str(names.pop("params"))
    needs.discard("params")
    if argument in learned:
        _open(argument, learned[argument], names, needs)
        return
    paths = matrices_in(argument, code)
    for field_name in getattr(annotation, "__annotations__", {}) if paths else ():
        role = role_of(field_name) or ""
        if role and is_matrix(role):
            paths.setdefault(role, (field_name,))
    if is_complete(paths) and not {"X", "q"} & names.keys():  # there is nothing to apply them to
        held = ((role_of(word) or "", path) for path, words in paths_in(argument, code).items() for word in words)
        _open(argument, {role: path for role, path in held if role in ("q", "k", "v", "mask")}, names, needs)
        return
    if not is_complete(paths):
        for key in _matrices_among(code) or ["Wq", "Wk", "Wv", "Wo"]:
            paths.setdefault(role_of(key) or "", (key,))
    stated = _matrices_among(_docstring(code))
    if {path[0] for path in paths.values()} <= {*stated}:
        for key in stated:
            paths.setdefault(role_of(key) or "", (key,))
    _open(argument, paths, names, needs)


def _matrices_among(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text) if is_matrix(role_of(word) or "?")]


def _docstring(code: str) -> str:
    function = next((node for node in nodes_of(code)[1:] if isinstance(node, ast.FunctionDef)), None)
    return ast.get_docstring(function) or "" if function else ""


def open_tokens(names: Names, needs: set[str], code: str) -> None:
    """Replace an argument that holds tokens and a context, or queries, keys and values, by what it holds."""
    argument = str(names["X"])
    paths = paths_in(argument, code)
    held = {role: path for path, words in paths.items() for word in words if (role := role_of(word)) in _HELD}
    if {"q", "k", "v"} <= held.keys() and any(role[0] == "W" for role in names):
        held = {_PROJECTED.get(role, role): path for role, path in held.items()}
    if len(held) == len(paths) and ({"X", "context"} <= held.keys() or {"q", "k", "v"} <= held.keys()):
        del names["X"]
        needs.discard("X")
        _open(argument, held, names, needs)


def open_layer(role: str, names: Names, needs: set[str], code: str) -> None:
    """Replace a matrix that is a dictionary of a weight and a bias, as ``linear(x, **c_attn)`` takes it, by the two."""
    argument = str(names[role])
    paths = matrices_in(argument, code, layer=role)
    if role in paths and isinstance(paths[role][0], str) and paths[role] != (EACH,):
        del names[role]
        _open(argument, paths, names, needs)


def open_biases(names: Names, needs: set[str], code: str) -> None:
    """Replace an argument that holds the biases next to one with the matrices by the keys under which they are."""
    argument = str(names.pop("biases"))
    needs.discard("biases")
    paths = {f"b{role[1:]}": path for role, path in matrices_in(argument, code).items() if is_matrix(role)}
    _open(argument, paths, names, needs)


def open_pair(argument: str, roles: tuple[str, str], names: Names, needs: set[str], code: str) -> bool:
    """Replace keys and values that come in one tuple or dictionary by the two; whether the code takes two from it."""
    places = places_of_pair(argument, code)
    _open(argument, dict(zip(roles, places, strict=False)), names, needs)
    return bool(places)


def places_of_pair(argument: str, code: str) -> tuple[Path, ...]:
    """Where a function looks up keys and values in an argument; nothing if it does not take two from it."""
    paths = paths_in(argument, code)
    keys, values = (
        [path for path, words in paths.items() if any(role_of(word) in (x, f"{x}past") for word in words)] for x in "kv"
    )
    places: list[Path] = [path for path in paths if path in ((0,), (1,))]
    if not (keys and values) and len(places) == 2:
        keys, values = places[:1], places[1:]
    return (keys[0], values[0]) if keys and values else ()


def holds_pair(argument: str, code: str) -> bool:
    """Whether an argument is one array that is cut into two."""
    a = re.escape(argument)
    return bool(
        re.search(
            rf"\b{a}\[[^\]\n]*,\s*1\b|\b{a}\.unbind\(|\b{a}\.chunk\(2|split\(\s*{a}\s*,\s*2\b|\b{a}\.(view|reshape)\(.*\b2\s*,"
            rf"|moveaxis\(\s*{a}\b",
            code,
        )
    )


def _open(argument: str, paths: Mapping[str, Path], names: Names, needs: set[str]) -> None:
    """Replace an argument by the arrays that it holds."""
    for role, path in paths.items():
        if role not in names:
            names[role] = (argument, *path)
            needs.add(role)

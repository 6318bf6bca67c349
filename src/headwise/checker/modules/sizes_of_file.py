"""Functions for the sizes of one example: numbers of heads and tokens, and widths, that are variables of their file.

``N, D, H = 5, 6, 3`` with ``d_k = D // H``, or ``B, T, C = 4, 8, 32``, are those of the arrays of a notebook. For other
arrays, they are what these have: tokens (..., N, D), and the number of heads that is passed.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Collection, Mapping

from headwise.checker.arguments.roles import role_of

_ARGUMENT = "num_heads"
_ITEMS = re.compile(r"B|(n_?)?batch(_?size)?")
_TOKENS = re.compile(r"N|seq_?len|seq_?length|sequence_length|(n|num)_?tokens")
_MODEL = re.compile(r"D|E|d_?(model|in|embed)|(D|model)_?dim|dim|emb(ed|edding)?(_?(dim|size))?|n_embd")
_HEAD = re.compile(r"d|[dD]_?[kqvh]|[dD]_?head|head_?(dim|size|width)|dim_?head")


def roles_of_sizes(numbers: Mapping[str, int], file: Collection[str] = ()) -> dict[str, str]:
    """Which whole numbers are "heads", "items", "tokens", or a width, "model" or "head"; none if that is not clear.

    None, too, if a number of heads that is named so is the only one: it is an argument under its own name.

    `numbers`: those that a function uses.
    `file`: the names of all variables of its file.
    """
    btc = {"T", "C"} if {"B", "T", "C"} <= {*file, *numbers} else {""}
    heads = next((name for name in numbers if role_of(name) == "heads" or name in ("H", "h")), None)
    tokens = [name for name in numbers if _TOKENS.fullmatch(name) or name in btc - {"C"}]
    if not tokens and heads not in ("H", "h"):
        return {}
    of_model = {name for name in numbers if _MODEL.fullmatch(name) or name in btc - {"T"}}
    widths = {name: size for name, size in numbers.items() if name in of_model or _HEAD.fullmatch(name)}
    roles = dict.fromkeys(filter(_ITEMS.fullmatch, numbers), "items") | dict.fromkeys(tokens, "tokens")
    roles |= {} if heads is None else {heads: "heads"}
    if heads is None:
        return roles | dict.fromkeys(of_model, "model")
    sizes = sorted({*widths.values()})
    if len(sizes) < 2:
        alike = {name in of_model for name in widths}
        return roles | dict.fromkeys(widths, "model" if True in alike else "head") if len(alike) < 2 else {}
    if len(sizes) > 2 or numbers[heads] < 2 or sizes[1] != sizes[0] * numbers[heads]:
        return {}
    return roles | {name: "model" if size == sizes[1] else "head" for name, size in widths.items()}


def sizes_for(roles: Mapping[str, str], shape: tuple[int, ...], heads: int) -> dict[str, int]:
    """The variables for tokens of a shape and a number of heads."""
    *_, items, tokens, width = (1, 1, 1, *shape)[-max(3, len(shape)) :]
    sizes = {"heads": heads, "items": items, "tokens": tokens, "model": width, "head": max(width // heads, 1)}
    return {name: sizes[role] for name, role in roles.items()}


def code_for(roles: Mapping[str, str], definition: ast.FunctionDef, heads: int | None, name: str) -> str:
    """Code of a function of this name, which calls the one that is defined, and also takes its number of heads, if any.

    Meanwhile the variables of the file are those for the tokens, its first argument.
    """
    arguments = copy.deepcopy(definition.args)
    listed = [*arguments.posonlyargs, *arguments.args]
    passed = ", ".join([*(arg.arg for arg in listed), *(f"{arg.arg}={arg.arg}" for arg in arguments.kwonlyargs)])
    if heads is not None:
        arguments.kwonlyargs.append(ast.arg(_ARGUMENT))
        arguments.kw_defaults.append(ast.Constant(heads))
    shape = f"{listed[0].arg}.shape"
    sizes = {"heads": _ARGUMENT, "items": f"(1, *{shape})[-3]", "tokens": f"{shape}[-2]", "model": f"{shape}[-1]"}
    sizes["head"] = f"max({shape}[-1] // {_ARGUMENT}, 1)"
    variables = ", ".join(roles)
    return f"""

def {name}({ast.unparse(arguments)}):
    global {variables}
    before = ({variables},)
    {variables}, = {", ".join(sizes[role] for role in roles.values())},
    try:
        return {definition.name}({passed})
    finally:
        {variables}, = before
"""

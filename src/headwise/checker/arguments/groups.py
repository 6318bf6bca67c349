"""Roles that arguments of a function have together, where the name of each alone does not say it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

from headwise.checker.arguments.roles import normalize, tokens_among

SCORES = ("Ss", "Sq", "Sk", "Sa")  # what a score other than Q Kᵀ has: a matrix, or two and a vector
_NUMBER = re.compile(r"size|num|^n_|len|dim|step|idx|index|height|width|count|rate|eps|^n$|^[rbh]$")
_PART_OF_SCORE = re.compile(r"(w|u|v|m|weights?|matrix)(_?[a-z\d]|_\w+|att\w*)?")
_GRIDS = (("height", "width"), ("h", "w"), ("rows", "cols"), ("gridh", "gridw"), ("nrows", "ncols"), ("hgrid", "wgrid"))


def roles_in_order(parameters: list[inspect.Parameter], known: Mapping[str, str | None]) -> dict[str, str]:
    """The roles of arguments whose names say nothing, if they are as many as there are roles left."""
    unknown = [p.name for p in parameters if known[p.name] is None and is_required(p) and not _NUMBER.search(p.name)]
    have = set(known.values())
    projected = [role for role in "qkv" if role not in have]
    if len(unknown) == len(projected) and not have & {"X", "context", "qkv"}:
        return dict(zip(unknown, projected, strict=True))
    tokens = [p.name for p in parameters if p.name in unknown or known[p.name] in ("X", "context")]
    if unknown and len(tokens) <= 2 and not have & {"q", "k", "v", "qkv"}:
        first, others = tokens_among(tokens)
        return {first: "X", **dict.fromkeys(others, "context")}
    return {}


def parts_of_score(parameters: list[inspect.Parameter], known: Mapping[str, str | None], code: str) -> dict[str, str]:
    """The roles of the matrix of Luong's general score, or of those of an additive score and its vector."""
    required = [p.name for p in parameters if is_required(p)]
    additive = "tanh(" in code and "softcap" not in known.values()
    matrices = [name for name in required if known[name] in (None, "params") or str(known[name]).startswith("W")]
    parts = [name for name in matrices if _PART_OF_SCORE.fullmatch(name.lower())]
    if additive and len(parts) == 2:
        parts += [name for name in required if known[name] == "v" and len(name) < 4]
    if len(parts) == 3 and additive:
        roles = dict(zip(parts, SCORES[1:], strict=True))
    elif len(parts) == 1 and _is_multiplied(parts[0], code):
        roles = {parts[0]: SCORES[0]}
    else:
        return {}
    tokens = [name for name in required if name not in parts and known[name] in (None, "q", "k", "v", "X", "context")]
    if len(tokens) == 2:  # keys are values
        first, others = tokens_among(tokens)
        return roles | {first: "X", others[0]: "context"}
    return roles if {"q", "k", "v"} <= {known[name] for name in tokens} else {}


def _is_multiplied(name: str, code: str) -> bool:
    """Whether an argument is a factor of a product of matrices."""
    return bool(re.search(rf"@\s*{name}\b|\b{name}(\.T|\.t\(\))?\s*@|(einsum|dot|matmul|mm)\([^\n]*\b{name}\b", code))


def sides_of_grid(parameters: list[inspect.Parameter]) -> dict[str, str]:
    """The arguments that are the height and the width of the grid that the tokens are."""
    names = {normalize(p.name): p.name for p in parameters if is_required(p)}
    for rows, columns in _GRIDS:
        if rows in names and columns in names:
            return {names[rows]: "rows", names[columns]: "columns"}
    return {}


def roles_of_unprojected(parameters: list[inspect.Parameter], known: Mapping[str, str | None]) -> dict[str, str]:
    """The roles of tokens, and of a context, that are queries, keys and values themselves."""
    required = [p.name for p in parameters if is_required(p)]
    roles = [known[name] for name in required]
    others = {role for name, role in known.items() if name not in required}
    if len(required) == 1 and roles[0] in (None, "q", "k", "v", "context") and not others & {"X", "q", "k", "v"}:
        return {required[0]: "X"}
    of_context = {"k", "v"} & set(roles)
    if "q" in roles and "X" not in roles and (of_context == {"v"} or ("context" in roles and not of_context)):
        return {
            name: "X" if known[name] == "q" else "context" for name in required if known[name] in ("q", "v", "context")
        }
    return {}


def matrices_of_heads(
    parameters: list[inspect.Parameter], known: Mapping[str, str | None], code: str
) -> dict[str, str]:
    """The matrices (H, H) by which talking heads mix their logits and their weights."""
    if not re.search(r"talking", code, re.IGNORECASE):
        return {}
    usual = {"X", "q", "k", "v", "Wq", "Wk", "Wv", "Wo", "heads", "context"}
    others = [p.name for p in parameters if is_required(p) and known[p.name] not in usual]
    after = [name for name in others if re.search(r"post|after|w$|weight|prob|2$", normalize(name))]
    order = [name for name in others if name not in after] + after
    return (
        dict(zip(order, ("Tl", "Tw"), strict=False))
        if len(order) == 2
        else dict.fromkeys(order, "Tw" if after else "Tl")
    )


def options_together(known: Mapping[str, str | None], code: str) -> dict[str, str | None]:
    """The roles of functions that stand for a mask and a bias, of the sides of a window, and of a number of keys."""
    names: dict[str | None, str] = {role: name for name, role in known.items()}
    roles: dict[str, str | None] = {
        names[f"{option} function"]: None if option in names else option
        for option in ("mask", "bias")
        if f"{option} function" in names
    }
    if "key_heads" in names and "heads" not in names:
        roles |= {name: "heads" for name in known if normalize(name) == "nq"}  # next to a number of key heads
    lengths = [name for name, role in known.items() if role == "lengths"]
    of_queries = [name for name in lengths if re.search(r"^(q|query|tgt)|(q|query)$", normalize(name))]
    roles |= dict.fromkeys(of_queries if len(lengths) > len(of_queries) else (), None)
    if known.get("K") == known.get("k") == "k" and re.search(r"top-?_?k|sort|partition", code, re.IGNORECASE):
        roles["k"] = "topk"
    sides = [names[side] for side in ("left", "right") if side in names]
    left = [name for name, role in known.items() if role == "window" and normalize(name) == "lookback"]
    if "right" in names and left:
        return roles | {left[0]: "left"}
    if len(sides) == 1:
        return roles | {sides[0]: "window" if "left" in names and "window" not in names else None}
    return roles


def is_required(p: inspect.Parameter) -> bool:
    """Whether an argument has to be passed."""
    return p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)

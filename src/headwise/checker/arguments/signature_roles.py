"""The roles of the arguments of a signature: of each by its name, then next to the others and as the code uses them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping

from headwise.checker.arguments.containers import matrices_in, paths_in
from headwise.checker.arguments.earlier_keys import holds_earlier_keys
from headwise.checker.arguments.groups import (
    is_required,
    matrices_of_heads,
    options_together,
    parts_of_score,
    roles_in_order,
    roles_of_unprojected,
    sides_of_grid,
)
from headwise.checker.arguments.parts import holds_pair, is_complete, is_fused, places_of_pair
from headwise.checker.arguments.products import tokens_in_products
from headwise.checker.arguments.roles import CACHE, role_of, tokens_among
from headwise.checker.arguments.roles_in_code import (
    begins_again,
    count_in_code,
    count_of_key_heads,
    is_array,
    is_counted,
    role_in_code,
)
from headwise.checker.arguments.settings import CONFIG, holds_sizes
from headwise.checker.arguments.windows import is_window

_WHOLE_CACHE = {"kpast": "k", "vpast": "v", "cache": "kv"}  # what the parts of a cache are that holds every key
_AS_PROJECTED = {"Wqkv": "qkv", "Wkv": "kv", "Wq": "q", "Wk": "k", "Wv": "v"}  # if there are no tokens
_TOKENS_OF = {"q": "X", "k": "context", "v": "values"}

Roles = dict[str, str | None]  # from the names of arguments to their roles, None where nothing is known


def roles_in_signature(
    parameters: list[inspect.Parameter],
    roles: Mapping[str, str],
    code: str,
    given: Collection[str],
    learned: Collection[str],
) -> tuple[Roles, bool]:
    """Return the role of each argument, and whether the function projects its tokens; as `readings`."""
    known = {p.name: roles[p.name] if p.name in roles else role_in_signature(p, parameters, code) for p in parameters}
    known |= dict.fromkeys(learned, "params")
    if len(several := [p.name for p in parameters if known[p.name] == "X" and is_required(p)]) == 2:
        known |= dict.fromkeys(tokens_among(several)[1], "context")
    known |= parts_of_score(parameters, known, code)
    known |= options_together(known, code)
    known |= matrices_of_heads(parameters, known, code)
    needed = {known[p.name] for p in parameters if is_required(p)}
    if {"Wq", "Wqkv"} & needed and not {"X", "q", None} & needed:  # nothing to which matrices could be applied
        known = {name: _AS_PROJECTED.get(role or "", role) for name, role in known.items()}
    in_one = learned or any(known[p.name] == "params" and is_complete(matrices_in(p.name, code)) for p in parameters)
    projects = bool(given or in_one or {"Wq", "Wqkv", "Wq#1"} & set(known.values()))
    if projects:
        known |= _tokens_in_code(parameters, known, code)
        known |= _unnamed_tokens(parameters, known)
    else:
        packed = [p.name for p in parameters if known[p.name] == "X" and is_fused(p.name, code)]
        known |= dict.fromkeys(packed if not {"q", "k", "v"} & needed else (), "qkv")
        known |= roles_in_order(parameters, known)
        known |= roles_of_unprojected(parameters, known)
    if {"q", "Wq", "Wqkv"} & set(known.values()):
        known |= sides_of_grid(parameters)
    if {"causal", "window"} & set(known.values()) and "lengths" not in known.values():
        known |= {name: "lengths" for name, role in known.items() if role == "padding" and is_counted(name, code)}
    if {"q", "k"} <= set(known.values()) and not projects:
        known |= {name: count_of_key_heads(name, code) for name, role in known.items() if role == "key_heads"}
    place = "offset" if "kpast" in known.values() else None
    known = {name: place if role == "place" else role for name, role in known.items()}
    if not {"k", "X"} & set(known.values()):
        known = {name: _WHOLE_CACHE.get(role or "", role) for name, role in known.items()}
    return known, projects


def _tokens_in_code(parameters: list[inspect.Parameter], known: Roles, code: str) -> dict[str, str]:
    """Tokens and a context as the code multiplies them, if the name of one says nothing, such as learned queries."""
    tokens = [p.name for p in parameters if known[p.name] in (None, "X", "context") and is_required(p)]
    unknown = [name for name in tokens if known[name] is None]
    return tokens_in_products(tokens, code) if unknown else {}


def _unnamed_tokens(parameters: list[inspect.Parameter], known: Roles) -> dict[str, str]:
    """Tokens under a name of their own, and a context that is called M."""
    unknown = [p.name for p in parameters if known[p.name] is None and is_required(p)]
    have = set(known.values())
    found = {} if {"X", "q"} & have else dict(zip(unknown, ("X", "context"), strict=False))
    have |= set(found.values())
    if {"X", "Wk", "Wv"} <= have and "context" not in have and unknown in (["M"], ["m"]) and not found:
        found[unknown[0]] = "context"
    return found


def role_among(p: inspect.Parameter, known: Roles, projects: bool) -> str | None:
    """The role of an argument next to the others: with matrices q stands for tokens, with tokens for a matrix."""
    role, others = known.get(p.name), set(known.values())
    if role in _TOKENS_OF and projects and "X" not in others:
        return _TOKENS_OF[role] if role == "q" or {"q", "k", "v"} <= others else role
    if role in _TOKENS_OF and not projects and {"X", "q", "k", "v"} <= others:
        return f"W{role}"
    if role == "scale" and isinstance(p.default, bool):  # whether to scale, not by how much
        return None
    if role == "params" and {"q", "k", "v"} <= others and not projects:  # queries are projected already
        return "window" if p.name.lower() == "w" else None
    if role == "padding" and "mask" not in others:
        return "mask"
    return role


def _is_cache(name: str, code: str) -> bool:
    """Whether an argument holds two arrays that are joined with others, as keys and values of earlier tokens are."""
    return holds_earlier_keys(name, code) and bool(places_of_pair(name, code))


def _is_number(p: inspect.Parameter, role: str | None) -> bool:
    """Whether an argument may be a number: by its default, or because nothing is known of it."""
    return role is None if p.default in (p.empty, None) else isinstance(p.default, int)


def role_in_signature(p: inspect.Parameter, parameters: list[inspect.Parameter], code: str) -> str | None:
    """The role of an argument by its name, next to the others and as the code uses it."""
    role = role_of(p.name)
    if is_required(p) and (CACHE.fullmatch(p.name.lower()) or (role is None and _is_cache(p.name, code))):
        return "cache"
    holds_matrices = is_complete(matrices_in(p.name, code))
    if CONFIG.fullmatch(p.name.lower()) and not holds_matrices and holds_sizes(p.name, code):
        return "config"
    if p.name in ("module", "self", "layer") and is_required(p):  # an object of settings
        return "layer"
    of_biases = p.default is p.empty and re.fullmatch(r"b|bs|bias(es)?", p.name.lower())
    if of_biases and len(matrices_in(p.name, code)) > 1:
        return "biases"
    alone = role == "X" and not any(is_required(o) for o in parameters if o is not p)
    if (role in (None, "heads") or alone) and p.default is p.empty and holds_matrices:
        return "params"  # it holds the matrices, or queries, keys and values, under whatever name
    if role == "positions" and begins_again(p.name, code):
        return "restarts"
    others = {role_of(o.name) for o in parameters if o is not p}
    if role in (None, "context", "params") and _is_number(p, role) and is_window(p.name, code):
        return "window"
    if role is None and is_required(p) and (shown := role_in_code(p.name, code, others)):
        return shown
    among_heads = role == "key_heads" and "head" in code.lower()  # else `nkv` is a number of keys
    counts = role in (None, "key_heads") and not among_heads and is_required(p)
    if counts and (count := count_in_code(p.name, code, {o.name for o in parameters})):
        return count
    of_logits = re.search(r"bias(es)?$|^bias_", p.name.lower()) and (is_required(p) or p.default is None)
    if role is None and of_logits and others & {"X", "q", "Wq", "Wqkv"}:
        return "bias"
    if role in ("k", "v") and re.search(rf"(?<!\w){p.name}\.append\(", code):
        return f"{role}past"  # a list that grows
    if role == "context" and "q" in others and "kv" in p.name.lower():
        pair = holds_pair(p.name, code) or len(paths_in(p.name, code)) == 2
        return "kv" if pair else role
    if p.name in ("m", "M") and p.default is None:
        return "mask"
    if p.name.lower() == "hidden" and not others & {"X", "q"}:
        return "X"
    if role == "heads" or p.name.lower() == "h":  # next to tokens or queries it is the number of heads
        first = p.name.lower() == "h" and not others & {"X", "q"}
        return "X" if first else "context" if is_array(p.name, code) else "heads"
    if role == "tokens" and p.default not in ("rows", "columns"):
        return "X"
    if role == "context" and not others & {"X", "q"}:
        return "X"
    if role == "params" and is_fused(p.name, code):
        return "Wqkv"
    if p.name.lower() == "b" and any(role_of(o.name) == "params" and is_fused(o.name, code) for o in parameters):
        return "bqkv"
    if role == "dtype" and not is_required(p):
        return None
    if role == "sinks" and isinstance(p.default, int):  # how many tokens are sinks
        return None
    if role == "params" and ("Wq" in others or p.default is not p.empty):
        return None
    if role is None and len(p.name) == 1 and "sinks" not in others and "sink" in code.lower():
        return "sinks"
    return role

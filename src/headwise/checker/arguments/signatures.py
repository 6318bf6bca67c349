"""What the arguments of a function are: from their names, from their order, or as the caller states them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwise.checker.arguments.containers import EACH, Path, matrices_in, paths_in
from headwise.checker.arguments.groups import (
    SCORES,
    is_required,
    matrices_of_heads,
    options_together,
    parts_of_score,
    roles_in_order,
    roles_of_unprojected,
    sides_of_grid,
)
from headwise.checker.arguments.parts import (
    Names,
    holds_pair,
    is_complete,
    is_fused,
    open_dictionary,
    open_layer,
    open_pair,
)
from headwise.checker.arguments.roles import CACHE, FLAGS, FUSED, role_of, separate, tokens_among
from headwise.checker.arguments.settings import CONFIG

KINDS = ("self_attention", "multi_head", "cross_attention", "attention")
_MATRICES = ("Wq", "Wk", "Wv")
_OF_LOGITS = {"mask", "padding", "bias", "slopes", "causal", "window", "lengths", "scale", "temperature", "softcap"}
_OF_LOGITS |= {*SCORES, "Tl", "Tw", "topk", "segments", "starts", "prefix", "logscale", "left", "right"}
_CACHED = {"kpast", "vpast", "offset"}
_PAIRS = {"kv": ("k", "v"), "cache": ("kpast", "vpast")}  # keys and values that come in one argument
_OF_TOKENS = frozenset(["Wo", "bq", "bk", "bv", "bo", "tokens", "heads", "key_heads", "context", "values", "params"])
_OPTIONS = {
    "tokens": _OF_LOGITS | _CACHED | _OF_TOKENS | FUSED.keys(),
    "attention": _OF_LOGITS
    | _CACHED
    | frozenset(["align", "offset", "cos", "sin", "interleaved", "sinks", "qkv", "kv"]),
}
_HELPERS = {
    "weights?",
    "d",
    "D",
    "config",
    "layer",
    "pages",
    "index",
    "starts",
    "key_starts",
    "longest",
    "longest_key",
    "freqs",
}
_HELPERS |= {"buckets", "bucket count", "longest distance", "rows", "columns", "grid", "repeats"}
_POSITIONS = {
    3: (("attention", ("q", "k", "v")),),
    4: (("self_attention", ("X", *_MATRICES)),),
    5: (("multi_head", ("X", *_MATRICES, "heads")), ("self_attention", ("X", *_MATRICES, "Wo"))),
    6: (
        ("multi_head", ("X", *_MATRICES, "Wo", "heads")),
        ("multi_head", ("X", *_MATRICES, "heads", "Wo")),
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way of understanding a signature."""

    kind: str  # one of `KINDS`
    names: Names  # from the reference's names to the function's, as in `CallingConvention.names`
    needs: frozenset[str]  # the reference's names without which it cannot be called
    unused: tuple[str, ...] = ()  # its arguments that are never passed
    # arguments that are always passed, such as a dropout of zero
    fixed: Mapping[str, Any] = field(default_factory=dict)
    weights_only: bool = False  # whether it takes no values, and returns the attention weights
    unprojected: bool = False  # whether its tokens are queries, keys and values themselves

    @property
    def takes(self) -> frozenset[str]:
        """The reference's arguments that it has, with the matrices that it takes in one piece or one by one."""
        names = {name.partition("#")[0] for name in self.names}
        names |= {"heads"} if "config" in names else set()
        names |= {"segments"} if "starts" in names else set()
        names |= {"window"} if "left" in names else set()
        names |= {"cos", "sin"} if "freqs" in names else set()
        names = {name for name in names if not _is_helper(name)}
        return frozenset(separate(names) - {"values"})

    @property
    def numbered_heads(self) -> int:
        """How many heads there are, where each has a matrix of its own among the arguments; else 0."""
        return max((int(n.partition("#")[2]) for n in self.names if "#" in n), default=0)


def signature_of(function: Callable[..., Any], skip: int = 0) -> list[inspect.Parameter] | None:
    """The parameters of a function, None if they are not known."""
    try:
        return list(_signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return None


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature, with the classes that annotations name where they can be looked up."""
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # whatever an annotation of somebody's file raises
        return inspect.signature(function)


def readings(
    parameters: list[inspect.Parameter] | None,
    kind: str,
    *,
    args: tuple[str, ...] = (),
    roles: Mapping[str, str] | None = None,
    code: str = "",
    given: frozenset[str] = frozenset(),
    learned: Mapping[str, Mapping[str, Path]] | None = None,
    problems: list[str] | None = None,
) -> Iterator[Reading]:
    """Every way of understanding a signature, the likeliest first.

    `parameters`: the signature; None if there is none.
    `kind`: one of `KINDS`, or ``"auto"``.
    `args`: what the positional arguments are, if the caller states it.
    `roles`: what arguments are that their names do not reveal.
    `code`: the function's own lines, in which the keys of a dictionary of matrices are looked up.
    `given`: matrices that a module holds, and that are no arguments.
    `learned`: where arguments that are dictionaries hold each matrix, if the code does not show it.
    `problems`: where what stands in the way is added.
    """
    problems = [] if problems is None else problems
    if args:
        names: Names = {_spelled(role): place for place, role in enumerate(args)}
        if reading := _reading(names, frozenset(names), kind, given):
            yield reading
        else:
            problems.append(f"args: {', '.join(args)} are not the arguments of {_wanted(kind)}")
        return
    if parameters is not None and (
        reading := _by_name(parameters, kind, roles or {}, code, given, learned or {}, problems)
    ):
        yield reading
    yield from _by_position(parameters, kind, given)


def _by_position(parameters: list[inspect.Parameter] | None, kind: str, given: frozenset[str]) -> Iterator[Reading]:
    if given:
        return
    fixed = [p for p in parameters or [] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    open_ended = parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = [p for p in fixed if p.default is p.empty]
    for count, orders in _POSITIONS.items():
        if not (open_ended or len(required) <= count <= len(fixed)):
            continue
        for one_kind, order in orders:
            known = [role_of(p.name) if len(p.name) > 1 or p.name in "xXqkv" else None for p in fixed[:count]]
            consistent = all(role in (None, expected) for role, expected in zip(known, order, strict=False))
            if kind in ("auto", one_kind) and consistent:
                unused = tuple(p.name for p in fixed[count:])
                yield Reading(one_kind, {name: place for place, name in enumerate(order)}, frozenset(order), unused)


def _by_name(
    parameters: list[inspect.Parameter],
    kind: str,
    roles: Mapping[str, str],
    code: str,
    given: frozenset[str],
    learned: Mapping[str, Mapping[str, Path]],
    problems: list[str],
) -> Reading | None:
    names: Names = {}
    needs, unused, fixed = set[str](), list[str](), dict[str, Any]()
    known = {p.name: roles[p.name] if p.name in roles else role_in_signature(p, parameters, code) for p in parameters}
    known |= dict.fromkeys(learned, "params")
    if len(several := [p.name for p in parameters if known[p.name] == "X" and p.default is p.empty]) == 2:
        known |= dict.fromkeys(tokens_among(several)[1], "context")
    known |= parts_of_score(parameters, known, code)
    known |= options_together(known, code)
    known |= matrices_of_heads(parameters, known, code)
    needed = {known[p.name] for p in parameters if p.default is p.empty}
    if "Wqkv" in needed and not {"X", "q", None} & needed:  # nothing that a matrix could be applied to
        known = {name: "qkv" if role == "Wqkv" else role for name, role in known.items()}
    in_one = learned or any(known[p.name] == "params" and is_complete(matrices_in(p.name, code)) for p in parameters)
    tokens = bool(given) or in_one or {"Wq", "Wqkv", "Wq#1"} & set(known.values())
    if not tokens:
        known |= roles_in_order(parameters, known)
        known |= roles_of_unprojected(parameters, known)
    if tokens:
        unknown = [p.name for p in parameters if known[p.name] is None and p.default is p.empty]
        if not {"X", "q"} & set(known.values()):  # tokens under a name of their own
            known |= dict(zip(unknown, ("X", "context"), strict=False))
        missing = "X" in known.values() and "context" not in known.values() and {"Wk", "Wv"} <= set(known.values())
        known |= {unknown[0]: "context"} if missing and len(unknown) == 1 and unknown[0] in ("M", "m") else {}
    if {"q", "Wq", "Wqkv"} & set(known.values()):
        known |= sides_of_grid(parameters)
    if "kpast" not in known.values():
        known = {name: None if role == "place" else role for name, role in known.items()}
    known = {name: "offset" if role == "place" else role for name, role in known.items()}
    if not {"k", "X"} & set(known.values()):  # a cache that holds every key
        whole = {"kpast": "k", "vpast": "v", "cache": "kv"}
        known = {name: whole.get(role or "", role) for name, role in known.items()}
    for place, p in enumerate(parameters):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            unused.append(f"*{p.name}" if p.kind is p.VAR_POSITIONAL else f"**{p.name}")
            continue
        role, required = known[p.name], p.default is p.empty
        if role is None and re.search(rf"range\([^()\n]*(\([^()\n]*\)[^()\n]*)*,\s*{p.name}\)", code):
            fixed[p.name] = 1  # the size of a block
            continue
        if tokens and {"q", "k", "v"} <= set(known.values()) and "X" not in known.values():
            role = {"q": "X", "k": "context", "v": "values"}.get(role or "", role)
        elif tokens and role == "q" and "X" not in known.values():
            role = "X"
        elif not tokens and {"X", "q", "k", "v"} <= set(known.values()) and role in ("q", "k", "v"):
            role = f"W{role}"  # next to the tokens, these are matrices
        if role == "scale" and isinstance(p.default, bool):
            role = None  # whether to scale, not by how much
        if role == "params" and {"q", "k", "v"} <= set(known.values()) and not tokens:
            role = "window" if p.name.lower() == "w" else None  # queries are projected already
        if role is not None and role.startswith("="):
            if required:
                fixed[p.name] = FLAGS[role[1:]]
            else:
                unused.append(p.name)
            continue
        if role == "padding" and "mask" not in known.values():
            role = "mask"
        if role == "gain" and required:
            role = f"gain of {p.name}"
            unused.append(f"{p.name} (ones in this check)")
        if not role or role in names or (_is_helper(role) and not required and not isinstance(p.default, bool)):
            if required and not role:
                problems.append(f"unknown argument `{p.name}`")
                return None
            if not _is_helper(role):
                unused.append(p.name)
            continue
        names[role] = place if p.kind is p.POSITIONAL_ONLY else p.name
        if role == "bias" and re.search(rf"\bin {p.name}\b", code):
            names[role] = (p.name, 0)  # of several, in a list
        if role in _PAIRS and not given and open_pair(p.name, _PAIRS[role], names, needs, code):
            del names[role]
            continue
        if role == "cache" and required and not given:
            problems.append(f"unknown argument `{p.name}`")
            return None
        numeric = role == "scale" and p.default is not None  # a default that is a number is used
        numeric |= role == "temperature" and isinstance(p.default, int | float) and p.default != 1
        numeric |= (
            role in ("softcap", "window", "topk", "left", "right")
            and isinstance(p.default, int | float)
            and p.default > 0
        )
        if required or numeric or (role == "causal" and p.default is True):
            needs.add(role)
    if "params" in names:
        annotation = next((p.annotation for p in parameters if p.name == names["params"]), None)
        open_dictionary(names, needs, code, annotation, learned)
    if "layer" in names and re.search(rf"\b{names['layer']}\.sinks\b", code):
        names["sinks"] = f"{names['layer']}.sinks"
        needs.add("sinks")
    for role in [role for role in names if role[0] == "W" and isinstance(names[role], str)]:
        open_layer(role, names, needs, code)
    reading = _reading(names, frozenset(needs), kind, given)
    if reading is None:
        problems.append(_mismatch(names, kind))
        return None
    dropped = tuple(str(names[name]) for name in names if name not in reading.names)
    return replace(reading, unused=(*unused, *dropped), fixed=fixed)


def _reading(names: Names, needs: frozenset[str], kind: str, given: frozenset[str]) -> Reading | None:
    """The reading in which the arguments are those of one kind; None if they are not."""
    have = Reading("", names, needs).takes | given
    unprojected = "X" in have and not have & {"q", "k", "v", "values", *_MATRICES}
    if unprojected:
        have = have | set(_MATRICES)
    weights_only = not have & {"v", "Wv", "values"}
    if weights_only:
        have = have | {"v", "Wv"}
    if set(_MATRICES) <= have and "X" in have:
        by_head = any("#" in role or (isinstance(name, tuple) and EACH in name) for role, name in names.items())
        heads = "heads" in have or by_head or bool(given)
        named = "cross_attention" if "context" in needs and "values" not in names else ""
        named = named or ("multi_head" if heads else "self_attention")
        allowed = {named} | ({"cross_attention"} if "context" in have else set())
        options = _OPTIONS["tokens"] | {"X", *_MATRICES}
    elif "qkv" in names and "heads" in have:
        named, allowed, options = "multi_head", {"multi_head"}, _OPTIONS["tokens"]
    elif {"q", "k", "v"} <= have:
        named, allowed, options = "attention", {"attention"}, _OPTIONS["attention"] | {"q", "k", "v"}
    else:
        return None
    if kind != "auto" and kind not in allowed:
        return None
    used = {n: roles for n, roles in names.items() if n.partition("#")[0] in options or _is_helper(n)}
    if not {n for n in needs if n not in (*FUSED, "values") and "#" not in n and not _is_helper(n)} <= options:
        return None
    roles = {n.partition("#")[0] for n in needs if n in used}
    needed = separate({n for n in roles if n[0] == "b"}) | {n for n in roles if n not in FUSED}
    needed |= {"segments"} if "starts" in needed else set()
    needed |= {"window"} if "left" in needed else set()
    needed |= {"cos", "sin"} if "freqs" in needed else set()
    named = named if kind == "auto" else kind
    return Reading(
        named,
        used,
        frozenset(n for n in needed - {"values"} if not _is_helper(n)),
        weights_only=weights_only,
        unprojected=unprojected,
    )


def _is_helper(role: str | None) -> bool:
    """Whether an argument is passed and is none of the reference's."""
    return role in _HELPERS or (role or "").startswith("gain of ")


def role_in_signature(p: inspect.Parameter, parameters: list[inspect.Parameter], code: str) -> str | None:
    """The role of an argument by its name, next to the others and as the code uses it."""
    role = role_of(p.name)
    if CACHE.fullmatch(p.name.lower()) and is_required(p):
        return "cache"
    if CONFIG.fullmatch(p.name.lower()) and re.search(rf"\b{p.name}(\.|\[['\"]|\.get\(['\"])(n_|num_?)\w*head", code):
        return "config"
    if p.name in ("module", "self", "layer") and is_required(p):  # an object of settings
        return "layer"
    if role in (None, "heads") and p.default is p.empty and is_complete(matrices_in(p.name, code)):
        return "params"  # it holds the matrices, under whatever name
    others = {role_of(o.name) for o in parameters if o is not p}
    if (
        role is None
        and p.name.endswith("biases")
        and {"q", "k", "v"} <= others
        and re.search(rf"\bin {p.name}\b", code)
    ):
        return "bias"
    if role == "context" and "q" in others and "kv" in p.name.lower():
        pair = holds_pair(p.name, code) or len(paths_in(p.name, code)) == 2
        return "kv" if pair else role
    if p.name in ("m", "M") and p.default is None:
        return "mask"
    if p.name.lower() == "hidden" and not others & {"X", "q"}:
        return "X"
    if p.name.lower() == "h":  # next to tokens or queries it is the number of heads
        return "heads" if others & {"X", "q"} else "X"
    if role == "tokens" and p.default not in ("rows", "columns"):
        return "X"
    if role == "context" and not others & {"X", "q"}:
        return "X"
    if role == "params" and is_fused(p.name, code):
        return "Wqkv"
    if p.name.lower() == "b" and any(role_of(o.name) == "params" and is_fused(o.name, code) for o in parameters):
        return "bqkv"
    if role == "sinks" and isinstance(p.default, int):  # how many tokens are sinks
        return None
    if role == "params" and ("Wq" in others or p.default is not p.empty):
        return None
    if role is None and len(p.name) == 1 and "sinks" not in others and "sink" in code.lower():
        return "sinks"
    return role


def _spelled(role: str) -> str:
    """A role as the caller may spell it: the reference's own name, or any name that is recognised."""
    return role if role in {*_MATRICES, *_OPTIONS["tokens"], *_OPTIONS["attention"], "X", "q", "k", "v"} else (
        role_of(role) or role
    )  # fmt: skip


def _mismatch(names: Names, kind: str) -> str:
    have = Reading("", names, frozenset()).takes
    if "X" in have or set(_MATRICES) & have:
        lacking = [name for name in ("X", *_MATRICES) if name not in have]
    else:
        lacking = [name for name in "qkv" if name not in have]
    if not have or not lacking:
        return f"its arguments are not those of {_wanted(kind)}"
    return f"none of its arguments is recognised as {' or '.join(lacking)}"


def _wanted(kind: str) -> str:
    return " or ".join(KINDS) if kind == "auto" else kind

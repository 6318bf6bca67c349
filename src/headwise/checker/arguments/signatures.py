"""What the arguments of a function are: from their names, from their order, or as the caller states them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter
from typing import Any

from headwise.checker.arguments.containers import EACH, Path
from headwise.checker.arguments.groups import SCORES, is_required
from headwise.checker.arguments.parts import Names, open_biases, open_dictionary, open_layer, open_pair, open_tokens
from headwise.checker.arguments.roles import FLAGS, FUSED, role_of, separate
from headwise.checker.arguments.roles_in_code import is_step
from headwise.checker.arguments.signature_roles import role_among, roles_in_signature

KINDS = ("self_attention", "multi_head", "cross_attention", "attention")
_MATRICES = ("Wq", "Wk", "Wv")
_OF_LOGITS = {"mask", "padding", "bias", "slopes", "causal", "window", "lengths", "scale", "temperature", "softcap"}
_OF_LOGITS |= {*SCORES, "Tl", "Tw", "topk", "segments", "starts", "prefix", "logscale", "left", "right"}
_CACHED = {"kpast", "vpast", "offset", "cos", "sin", "interleaved"}
_UNKNOWN = "further arguments, which its signature does not name"
_COUNTS = ("softcap", "window", "topk", "left", "right")  # options whose default is a number that is used
_COUNTS_OF_HEADS = ("repeats", "key head count")  # which the shapes of queries and keys say too
_PAIRS = {"kv": ("k", "v"), "cache": ("kpast", "vpast")}  # keys and values that come in one argument
_OF_TOKENS = frozenset(["Wo", "bq", "bk", "bv", "bo", "tokens", "heads", "key_heads", "context", "values", "params"])
_OPTIONS = {
    "tokens": _OF_LOGITS | _CACHED | _OF_TOKENS | FUSED.keys(),
    "attention": _OF_LOGITS | _CACHED | frozenset(["align", "sinks", "qkv", "kv"]),
}
_HELPERS = {"weights?", "dtype", "d", "D", "config", "layer", "pages", "index", "freqs", "buckets", "bucket count"}
_HELPERS |= {"key_starts", "longest", "longest_key", "longest distance", "query count", "key count"}
OF_SEGMENTS = {"starts", "restarts"}  # what says where packed sequences begin
_HELPERS |= {"positions", *OF_SEGMENTS, "rows", "columns", "grid", "items", *_COUNTS_OF_HEADS}
_POSITIONS = {
    3: (("attention", ("q", "k", "v")),),
    4: (("self_attention", ("X", *_MATRICES)),),
    5: (("multi_head", ("X", *_MATRICES, "heads")), ("self_attention", ("X", *_MATRICES, "Wo"))),
    6: (("multi_head", ("X", *_MATRICES, "Wo", "heads")), ("multi_head", ("X", *_MATRICES, "heads", "Wo"))),
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
    pooled: bool = False  # whether its only query is a vector for all items

    @property
    def takes(self) -> frozenset[str]:
        """The reference's arguments that it has, with the matrices that it takes in one piece or one by one."""
        names = {name.partition("#")[0] for name in self.names}
        names |= {"heads"} if "config" in names else set()
        names |= {"segments"} if names & OF_SEGMENTS else set()
        names |= {"window"} if "left" in names else set()
        names |= {"cos", "sin"} if "freqs" in names else set()
        names = {name for name in names if not _is_helper(name)}
        return frozenset(separate(names))

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


def with_signature(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    """The same function, of which it is said that it takes other arguments."""

    @functools.wraps(function)
    def same(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    vars(same)["__signature__"] = signature
    return same


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
        if reading.kind == "attention" and not reading.takes & {"v", "values"} and not given:
            yield from _keys_as_values(reading, kind)
    yield from _by_position(parameters, kind, given)
    if not given and kind in ("auto", "cross_attention"):
        yield from _pooled(parameters or [])


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
                unused = (*(p.name for p in fixed[count:]), *[_UNKNOWN] * open_ended)
                yield Reading(one_kind, {name: place for place, name in enumerate(order)}, frozenset(order), unused)


def _keys_as_values(reading: Reading, kind: str) -> Iterator[Reading]:
    """Queries and keys that are the values, too: tokens and a context that no matrix is applied to."""
    as_tokens = {"q": "X", "k": "context"}
    names = {as_tokens.get(role, role): name for role, name in reading.names.items()}
    needs = frozenset(as_tokens.get(role, role) for role in reading.needs)
    if (other := _reading(names, needs, kind, frozenset())) is not None:
        yield replace(other, unused=reading.unused, fixed=reading.fixed)


def _pooled(parameters: list[inspect.Parameter]) -> Iterator[Reading]:
    """A vector that is the query, and tokens that are keys and values, in both orders."""
    required = [p.name for p in parameters if is_required(p)]
    if len(required) != 2:
        return
    roles = {role_of(p.name): p.name for p in parameters if p.name not in required}
    options: Names = {role: roles[role] for role in ("mask", "padding", "lengths", "temperature") if role in roles}
    for names in (required, required[::-1]):
        pair: Names = dict(zip(("X", "context"), names, strict=True))
        unused = tuple(p.name for p in parameters if p.name not in (*names, *options.values()))
        yield Reading("cross_attention", pair | options, frozenset(pair), unused, unprojected=True, pooled=True)


def _by_name(
    parameters: list[inspect.Parameter],
    kind: str,
    roles: Mapping[str, str],
    code: str,
    given: frozenset[str],
    learned: Mapping[str, Mapping[str, Path]],
    problems: list[str],
) -> Reading | None:
    known, projects = roles_in_signature(parameters, roles, code, given, learned)
    arguments = _Arguments(code, bool(given))
    for place, p in enumerate(parameters):
        if not arguments.add(p, role_among(p, known, projects), place):
            problems.append(f"unknown argument `{p.name}`")
            return None
    arguments.open(parameters, learned)
    reading = _reading(arguments.names, frozenset(arguments.needs), kind, given)
    if reading is None:
        problems.append(_mismatch(arguments.names, kind))
        return None
    dropped = tuple(str(name) for role, name in arguments.names.items() if role not in reading.names)
    return replace(reading, unused=(*arguments.unused, *dropped), fixed=arguments.fixed)


@dataclass
class _Arguments:
    """The arguments of a signature, read one after the other; the other fields are as in `Reading`."""

    code: str
    given: bool  # whether a module holds the matrices
    names: Names = field(default_factory=dict)
    needs: set[str] = field(default_factory=set)
    unused: list[str] = field(default_factory=list)
    fixed: dict[str, Any] = field(default_factory=dict)

    def add(self, p: inspect.Parameter, role: str | None, place: int) -> bool:
        """Read an argument; False if it is required and nothing is known that could be passed."""
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            self.unused.append(f"*{p.name}" if p.kind is p.VAR_POSITIONAL else f"**{p.name}")
        elif role not in ("heads", "key_heads", "d", "D", "window") and is_step(p.name, self.code):
            self.fixed[p.name] = 1  # the size of a block
        elif role is not None and role.startswith("=") and is_required(p):
            layer = re.search(rf"(?<![\w.]){p.name}\(", self.code)  # such as one of dropout
            self.fixed[p.name] = _unchanged if layer else FLAGS[role[1:]]
        elif role is not None and role.startswith("="):
            self.unused.append(p.name)
        elif role == "positions" and is_required(p):
            self.unused.append(f"{p.name} (0, 1, 2, … in this check)")
            return self._add_named(p, role, place)
        elif role == "gain" and is_required(p):
            self.unused.append(f"{p.name} (ones in this check)")
            return self._add_named(p, f"gain of {p.name}", place)
        else:
            return self._add_named(p, role, place)
        return True

    def _add_named(self, p: inspect.Parameter, role: str | None, place: int) -> bool:
        required = is_required(p)
        if role == "mask" in self.names and re.search(rf"\+=?\s*{p.name}\b", self.code):
            role = "bias"  # a second mask, of numbers that are added
        counts = role in _COUNTS_OF_HEADS and isinstance(p.default, int | None)
        passed = required or isinstance(p.default, bool) or counts
        later = self.given and role in ("kpast", "vpast") and not required  # a step with a cache follows all tokens
        if not role or role in self.names or later or (_is_helper(role) and not passed):
            if role != "weights?":
                self.unused.append(p.name)
            return bool(role) or not required
        self.names[role] = place if p.kind is p.POSITIONAL_ONLY else p.name
        if role == "bias" and re.search(rf"\bin {p.name}\b", self.code):
            self.names[role] = (p.name, 0)  # of several, in a list
        if role in _PAIRS and not self.given and open_pair(p.name, _PAIRS[role], self.names, self.needs, self.code):
            del self.names[role]
        elif role == "cache" and required and not self.given:
            return False
        elif required or _is_numeric(role, p.default) or (role == "causal" and p.default is True):
            self.needs.add(role)
        return True

    def open(self, parameters: list[inspect.Parameter], learned: Mapping[str, Mapping[str, Path]]) -> None:
        """Replace the arguments that hold several arrays by what they hold."""
        if "params" in self.names:
            annotation = next((p.annotation for p in parameters if p.name == self.names["params"]), None)
            open_dictionary(self.names, self.needs, self.code, annotation, learned)
        if isinstance(self.names.get("X"), str) and not self.given:
            open_tokens(self.names, self.needs, self.code)
        if "biases" in self.names:
            open_biases(self.names, self.needs, self.code)
        if "layer" in self.names and re.search(rf"\b{self.names['layer']}\.sinks\b", self.code):
            self.names["sinks"] = f"{self.names['layer']}.sinks"
            self.needs.add("sinks")
        for role in [role for role in self.names if role[0] == "W" and isinstance(self.names[role], str)]:
            open_layer(role, self.names, self.needs, self.code)


def _unchanged(value: Any, *args: Any, **kwargs: Any) -> Any:
    """The value, as a layer of dropout returns it that is switched off."""
    return value


def _is_numeric(role: str, default: Any) -> bool:
    """Whether the default of an option is a number that is used."""
    if role == "scale":
        return default is not None
    if not isinstance(default, int | float):
        return False
    return default != 1 if role == "temperature" else role in _COUNTS and default > 0


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
    elif {"q", "kv", "heads"} <= names.keys():  # queries, and keys and values, of all heads
        names = {"X" if role == "q" else role: argument for role, argument in names.items()}
        needs = frozenset("X" if role == "q" else role for role in needs)
        named, allowed, options = "cross_attention", {"cross_attention", "multi_head"}, _OPTIONS["tokens"] | {"X"}
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
    needed |= {"segments"} if needed & OF_SEGMENTS else set()
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


def with_keyword_options(parameters: list[Parameter] | None, code: str) -> list[Parameter] | None:
    """The parameters, with those that the code looks up in ``**kwargs`` in its place, if it looks up any."""
    whole = next((p for p in parameters or [] if p.kind is p.VAR_KEYWORD), None)
    if parameters is None or whole is None:
        return parameters
    found = re.findall(rf"\b{whole.name}(?:\.get\(|\.pop\(|\[)\s*['\"](\w+)['\"]", code)
    names = dict.fromkeys(name for name in found if name not in {p.name for p in parameters})
    options = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in names]
    return [p for p in parameters if p is not whole] + options if options else parameters

"""Finding out how a function wants to be called: from the names of its arguments, then by trying."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from headwise.checker.invocation import CallingConvention, Response, grid
from headwise.checker.numpy_guard import np
from headwise.checker.probes import Interface, probes
from headwise.checker.state import Case
from headwise.errors import DataError, HeadwiseError
from headwise.shapes import Array

__all__ = ["KINDS", "UncallableError", "infer_calling_conventions"]

KINDS = ("self_attention", "multi_head", "attention")

# what an argument is by its name, in small letters and without underscores
_ROLES = {
    "X": "x xs input inputs embedding embeddings hiddenstates seq sequence data h",
    "Wq": "wq wquery wqueries queryweight queryweights qweight weightq qproj qw queryw wqs",
    "Wk": "wk wkey wkeys keyweight keyweights kweight weightk kproj kw keyw wks",
    "Wv": "wv wvalue wvalues valueweight valueweights vweight weightv vproj vw valuew wvs",
    "Wo": "wo wout woutput outputweight outputweights outweight oproj outproj outputprojection wproj ow weighto",
    "bq": "bq biasq qbias bquery querybias",
    "bk": "bk biask kbias bkey keybias",
    "bv": "bv biasv vbias bvalue valuebias",
    "bo": "bo biaso obias bout boutput outputbias",
    "q": "q query queries qs",
    "k": "k key keys ks",
    "v": "v value values vs",
    "heads": "heads numheads nheads nhead head numberofheads numattentionheads",
    "mask": "mask attnmask attentionmask visible keep allowed",
    "bias": "bias attnbias attentionbias",
    "causal": "causal iscausal",
    "window": "window slidingwindow",
    "align": "align alignment",
    "lengths": "lengths seqlens keylengths seqlengths lens validlens validlengths kvlengths",
    "scale": "scale scaling",
    "softcap": "softcap logitcap logitsoftcap logitssoftcap softcapping",
    "cos": "cos",
    "sin": "sin",
    "interleaved": "interleaved ropeinterleaved rotaryinterleaved",
    "weights?": "returnweights needweights returnattention returnattn returnattentionweights outputattentions",
    "d": "d dk headdim dhead dkey keydim",
    "D": "dmodel embeddim modelwidth modeldim",
}
_ROLE = {name: role for role, names in _ROLES.items() for name in names.split()}
_BASIC = {
    "self_attention": ("X", "Wq", "Wk", "Wv"),
    "multi_head": ("X", "Wq", "Wk", "Wv", "heads"),
    "attention": ("q", "k", "v"),
}
_OPTIONS = {
    "self_attention": {"bq", "bk", "bv", "scale", "tokens", "mask", "bias", "causal", "window"},
    "multi_head": {"Wo", "bq", "bk", "bv", "bo", "scale", "tokens", "mask", "bias", "causal", "window"},
    "attention": {"mask", "bias", "causal", "window", "align", "lengths", "scale", "softcap", "cos", "sin"}
    | {"interleaved"},
}
_HELPS = {"weights?", "d", "D"}
_POSITIONS = {
    3: (("attention", _BASIC["attention"]),),
    4: (("self_attention", _BASIC["self_attention"]),),
    5: (("multi_head", _BASIC["multi_head"]),),
    6: (
        ("multi_head", ("X", "Wq", "Wk", "Wv", "Wo", "heads")),
        ("multi_head", ("X", "Wq", "Wk", "Wv", "heads", "Wo")),
    ),
}
# words with which a function says that a row of its matrices is an input feature
_IN_OUT = re.compile(
    r"\(\s*(in|d_?in|in_?features|inputs?|d_?model|embed_?dim)\s*,\s*"
    r"(out|d_?out|out_?features|outputs?|d_?k|d_?v|d_?head|head_?dim|h\s*\*\s*d\w*)\s*\)",
    re.IGNORECASE,
)


class UncallableError(HeadwiseError, TypeError):
    """A function that cannot be called as any kind of attention."""


def infer_calling_conventions(
    function: Callable[..., Any], kind: str, adapter: Callable[..., Any] | str | None, source: str
) -> list[CallingConvention]:
    """Return the ways of calling the function that work, the fullest first.

    Raises
    ------
    DataError
        If `kind` or `adapter` is none of those there are, or `function` cannot be called at all.
    UncallableError
        If no way works: the message gives what each was answered.
    """
    if not callable(function):
        raise DataError(f"function: expected something that can be called; got {type(function).__name__}.")
    if kind not in ("auto", *KINDS):
        raise DataError(f"kind: expected one of auto, {', '.join(KINDS)}; got {kind!r}.")
    if isinstance(adapter, str) and adapter != "torch":
        raise DataError(f'adapter: expected a function or "torch"; got {adapter!r}.')
    converters: list[Callable[[Array], Any]] = [np.asarray]
    if adapter == "torch" or "torch" in sys.modules:
        converters = [_tensor] if adapter == "torch" else [np.asarray, _tensor]
    signature = _signature(function)
    said = _says(function, source)
    name = _name(function)
    if callable(adapter):
        function, signature = partial(adapter, function), _signature(adapter, skip=1)

    own_type = "float32" if re.search(r"float32|single precision", said) else "float64"
    tried: dict[str, str] = {}
    for convert in converters:
        for one_kind, names, needs in _readings(signature, kind):
            takes = frozenset(names) - _HELPS
            causal = "causal" in name.lower() and "causal" not in takes
            face = Interface(one_kind, takes, frozenset(needs) - _HELPS, 0, dtype=own_type, causal=causal)
            start = CallingConvention(function, face, names, transposed=bool(_IN_OUT.search(said)), convert=convert)
            if found := list(_working(start, tried)):
                return found
    answers = (
        "\n".join(f"  as {how}: {error}" for how, error in tried.items()) or "  there is no reading of its arguments"
    )
    wanted = " or ".join(KINDS) if kind == "auto" else kind
    raise UncallableError(
        f"function: cannot be called as {wanted}.\n{answers}\n"
        "Say what it is with kind=, or make the call with adapter=."
    )


def _signature(function: Callable[..., Any], skip: int = 0) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return None


def _readings(
    parameters: list[inspect.Parameter] | None, kind: str
) -> Iterator[tuple[str, dict[str, str | int], set[str]]]:
    """What each argument may be: kind, the reference's names to the function's, and the names it cannot do without."""
    if parameters is not None:
        yield from _by_name(parameters, kind)
    fixed = [p for p in parameters or [] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    open_ended = parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = [p for p in fixed if p.default is p.empty]
    for count, readings in _POSITIONS.items():
        if open_ended or len(required) <= count <= len(fixed):
            for one_kind, order in readings:
                if kind in ("auto", one_kind):
                    yield one_kind, {name: place for place, name in enumerate(order)}, set(order)


def _by_name(parameters: list[inspect.Parameter], kind: str) -> Iterator[tuple[str, dict[str, str | int], set[str]]]:
    names: dict[str, str | int] = {}
    needs: set[str] = set()
    for place, p in enumerate(parameters):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        role = _role(p, parameters)
        if role is None or role in names:
            if p.default is p.empty:
                return  # an argument that has to be given, and says nothing
            continue
        if role == "weights?" and p.default is not False and p.default is not p.empty:
            continue
        if role in ("d", "D") and p.default is not p.empty:
            continue
        names[role] = place if p.kind is p.POSITIONAL_ONLY else p.name
        asks = role == "scale" and p.default is not None  # a default that is a number asks for that number
        if p.default is p.empty or asks or (role == "causal" and p.default is True):
            needs.add(role)
    for one_kind in ("multi_head", "self_attention", "attention"):
        fits = set(_BASIC[one_kind]) <= set(names)
        known = set(_BASIC[one_kind]) | _OPTIONS[one_kind] | _HELPS
        if fits and kind in ("auto", one_kind) and needs <= known:
            yield one_kind, {role: name for role, name in names.items() if role in known}, needs
            return


def _role(p: inspect.Parameter, parameters: list[inspect.Parameter]) -> str | None:
    name = p.name.lower().replace("_", "")
    if name in ("tokens", "orientation"):
        return "tokens" if p.default in ("rows", "columns") else "X"
    if name == "h":  # H beside X is the number of heads
        return "heads" if any(_ROLE.get(o.name.lower()) == "X" and o is not p for o in parameters) else "X"
    return _ROLE.get(name)


def _working(start: CallingConvention, tried: dict[str, str]) -> Iterator[CallingConvention]:
    """The layouts in which the function answers with something of a plausible shape."""
    kind = start.face.kind
    found: list[CallingConvention] = []
    if kind == "attention":
        for lead in (2, 1, 0):
            caller = replace(start, face=replace(start.face, lead=lead))
            found += _accepted(caller, tried)
    else:
        for lead, columns in ((0, False), (0, True), (1, False), (1, True)):
            if found and columns != found[0].columns:
                continue
            caller = replace(start, columns=columns, face=replace(start.face, lead=lead))
            found += _accepted(caller, tried)
        if len(found) == 2:  # with and without a batch axis: one caller for both, then one that leaves the batch alone
            found = [replace(found[0], face=replace(found[0].face, batched=True)), found[0]]
    for caller in found:
        yield _with_key_mask(caller)


def _accepted(caller: CallingConvention, tried: dict[str, str]) -> list[CallingConvention]:
    """The caller, with a mask of keys alone if it cannot be called otherwise; nothing if it cannot be called."""
    if _plausible(caller, tried):
        return [caller]
    of_keys = replace(caller, face=replace(caller.face, key_mask=True))
    return [of_keys] if "mask" in caller.face.needs and _plausible(of_keys, tried) else []


def _plausible(caller: CallingConvention, tried: dict[str, str]) -> bool:
    case = probes(caller.face, 0, np.random.default_rng(0))[0].case
    reply = caller.ask(case)
    how = f"{caller.face.kind} with {in_words(caller)}"
    if reply.output is None:
        tried.setdefault(how, reply.error)
        return False
    if not _has_shape(reply, case):
        tried.setdefault(how, f"answered with shape {reply.output.shape}")
        return False
    return True


def _has_shape(reply: Response, case: Case) -> bool:
    assert reply.output is not None
    batch, heads, n, _ = grid(case)
    lead = (batch,) if "X" in case else (batch, heads)
    shape = reply.output.shape
    return len(shape) == len(lead) + 2 and shape[: len(lead)] == lead and n in shape[len(lead) :]


def _with_key_mask(caller: CallingConvention) -> CallingConvention:
    """Offer a mask of keys alone where one of queries and keys is refused."""
    if "mask" not in caller.face.takes or caller.face.key_mask:
        return caller
    of_keys = replace(caller, face=replace(caller.face, key_mask=True))

    def answers(one: CallingConvention) -> bool:
        masked = next(p.case for p in probes(one.face, 0, np.random.default_rng(0)) if p.name == "mask")
        reply = one.ask(masked)
        return reply.output is not None and _has_shape(reply, masked)

    return of_keys if not answers(caller) and answers(of_keys) else caller


def in_words(caller: CallingConvention) -> str:
    """How a function is called, for people."""
    face = caller.face
    if face.kind == "attention":
        said = ["q of shape (N, d)", "q of shape (H, N, d)", "q of shape (B, H, N, d)"][face.lead]
    else:
        one, many = ("(D, N)", "(B, D, N)") if caller.columns else ("(N, D)", "(B, N, D)")
        said = f"X of shape {one} and {many}" if face.batched else f"X of shape {many if face.lead else one}"
    said += " and matrices (in, out)" * caller.transposed
    said += ", in float32" * (face.dtype == "float32")
    return said + ", causal as its name says" * face.causal


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", ""))


def _says(function: Callable[..., Any], source: str) -> str:
    """What a function says about itself: its docstring, its annotations and its comments."""
    name = _name(function)
    said = [getattr(function, "__doc__", None) or ""]
    said += [f"{p.annotation} {p.default}" for p in _signature(function) or []]
    try:
        nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == name]
    except (SyntaxError, ValueError):
        nodes = []
    for node in nodes[:1]:
        said.append(ast.get_docstring(node) or "")
        lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
        said += [line.partition("#")[2] for line in lines]
    return "\n".join(said)


def _tensor(a: Array) -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        from headwise.errors import MissingExtraError

        raise MissingExtraError('adapter="torch"', "torch", "parity") from None
    return torch.from_numpy(a)

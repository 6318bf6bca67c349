"""The smallest input on which a function departs from the definition: two or three tokens, small whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import Response
from headwise.checker.reference.definition import build, evaluate
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, Result
from headwise.checker.report.verdict import Example
from headwise.checker.search.agreement import fits
from headwise.checker.search.mistakes import Explanation, Observation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

_CLEAR = 0.02  # a difference that shows in three decimals
_TRIES = 25


def find_smallest(
    convention: CallingConvention, calls: list[Observation], rng: np.random.Generator, definition: Explanation
) -> Example | None:
    """Return the first small input on which the function differs, of the kind of the first probe on which it does."""
    if convention.load is not None:
        return None  # a module takes its own sizes only
    failing = [a for a in calls if a.response.output is not None and not fits("float64")(definition, a)]
    for name in dict.fromkeys(a.probe.name for a in failing):
        like = next(f.probe.case for f in failing if f.probe.name == name)
        for case in _small(like, name, convention, rng):
            expected, got = evaluate(case, build(definition.changes)), convention.call(case)
            if expected is not None and got.output is not None and _departs(got, expected):
                return _as_text(case, convention, expected, got)
    return None


def _departs(got: Response, expected: Result) -> bool:
    assert got.output is not None
    if difference(got.output, expected.output) > _CLEAR:
        return True
    return got.weights is not None and all(difference(got.weights, w) > _CLEAR for w in expected.weights)


def _small(like: Case, name: str, convention: CallingConvention, rng: np.random.Generator) -> Iterator[Case]:
    """Cases with the options of a probe and small whole numbers in the arrays; they grow as they go."""
    limited = any(x in like for x in ("mask", "padding", "causal", "window", "lengths"))
    for number in range(_TRIES):
        large = number >= _TRIES // 3
        tokens = 3 if limited or large else 2
        width = 4 if number >= 2 * _TRIES // 3 else 2
        several = name in ("batch", "groups", "mask-each") or large
        if "X" in like:
            batch = 2 if several and like["X"].shape[0] > 1 else 1
            case = _tokens(like, convention, rng, tokens, width, batch)
        else:
            batch = 2 if several and convention.interface.batch else 1
            case = _projected(
                like, name, rng, tokens, width, batch, 2 if several and convention.interface.multi_head else 1
            )
        if name == "large-logits":
            case |= {x: case[x] * 40 for x in ("X", "q", "k") if x in case}
        if convention.interface.one_query:
            queries = "X" if "X" in case else "q"
            case[queries] = case[queries][..., :1, :]
        yield case | _options(like, case, name, convention, rng)


def _integers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(0, 3, size=shape).astype(np.float64)


def _tokens(
    like: Case, convention: CallingConvention, rng: np.random.Generator, tokens: int, width: int, batch: int
) -> Case:
    heads = 2 if like.get("heads", 1) > 1 else 1
    rows = width * heads if width == 2 else 4
    case: Case = {"X": _integers(rng, batch, tokens, rows)}
    case |= {name: _integers(rng, rows, rows) for name in ("Wq", "Wk", "Wv", "Wo") if name in like}
    case |= {name: _integers(rng, rows) for name in ("bq", "bk", "bv", "bo") if name in like}
    if convention.interface.unprojected:
        case |= {name: np.eye(rows) for name in ("Wq", "Wk", "Wv")}
    context = {"context": _integers(rng, batch, tokens, rows)} if "context" in like else {}
    if convention.interface.cached:
        case["X"] = context["context"][:, -1:]
    return case | context | ({"heads": heads} if "heads" in like else {})


def _projected(
    like: Case, name: str, rng: np.random.Generator, tokens: int, width: int, batch: int, heads: int
) -> Case:
    keys = tokens + 1 if name == "aligned" else tokens
    heads, groups = (4, 2) if name == "groups" else (heads, heads)
    shape = {"q": (heads, tokens), "k": (groups, keys), "v": (groups, keys)}
    case: Case = {x: _integers(rng, batch, *shape[x], width) for x in "qkv"}
    if name == "hidden-nan":
        for x in "kv":
            if np.isnan(like[x]).any():
                case[x][..., keys - 1, 0] = np.nan
    return case


def _options(like: Case, case: Case, name: str, convention: CallingConvention, rng: np.random.Generator) -> Case:
    """The options of a probe, in the sizes of a small case."""
    first = case["X"] if "X" in case else case["q"]
    batch, n = first.shape[0], first.shape[-2]
    m = n if "X" in case else case["k"].shape[-2]
    heads = case["heads"] if "heads" in case else (1 if "X" in case else first.shape[1])
    options: Case = {
        x: like[x] for x in ("causal", "align", "scale", "temperature", "softcap", "tokens", "interleaved") if x in like
    }
    if "offset" in like:
        options["offset"] = m - n if like.get("align") == "end" else 0
    if "window" in like:
        options["window"] = like["window"] and tuple(size and 1 for size in like["window"])
    for mask in ("mask", "padding"):
        if mask in like:
            options[mask] = _mask(like[mask], name, (batch, heads, n, m), rng)
    if "slopes" in like:
        options["slopes"] = np.arange(1.0, heads + 1).reshape(heads, 1, 1)
    if "bias" in like:
        of_heads = heads if like["bias"].shape[1] > 1 else 1
        options["bias"] = _integers(rng, 1, of_heads, n, m)
        if convention.bias_table:
            options["bias"] = options["bias"][:, :, np.arange(n)[:, None] - np.arange(m), 0]
    if "logscale" in like:
        options["logscale"] = np.arange(heads).reshape(heads, 1, 1) / 2
    if "segments" in like:
        options["segments"] = np.tile(1 + (np.arange(n) > 0), (batch, 1))
    if "prefix" in like:
        options["prefix"] = np.full(batch, 1)
    if "lengths" in like:
        options["lengths"] = np.full(batch, m - 1)
    if "cos" in like:
        right = rng.integers(0, 4, size=(n, first.shape[-1] // 2))  # quarter turns keep whole numbers whole
        options |= {"cos": np.round(np.cos(right * np.pi / 2)), "sin": np.round(np.sin(right * np.pi / 2))}
    return options


def _mask(like: BoolArray, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> BoolArray:
    """A mask as like the probe's as a small case allows."""
    full = like.all()
    size = tuple(s if a > 1 or i == 3 else 1 for i, (s, a) in enumerate(zip(shape, like.shape, strict=True)))
    mask = np.ones(size, bool) if full else rng.random(size) < 0.5
    if not full and name != "empty-rows":
        mask[..., 0] = True
    if name == "empty-rows":
        mask[..., -1, :] = False
    if name == "hidden-nan":
        mask[..., -1] = False
    return mask


def _as_text(case: Case, convention: CallingConvention, expected: Result, got: Response) -> Example:
    arguments = convention.arguments(case)
    assert got.output is not None
    right, wrong = expected.output, got.output
    of_weights = got.weights is not None and (convention.weights_only or difference(wrong, right) <= _CLEAR)
    if of_weights and got.weights is not None:
        right, wrong = expected.weights[-1], got.weights
    inputs = tuple((name, _text(value)) for name, value in arguments.items())
    return Example(inputs, _text(_bare(right)), _text(_bare(wrong)), of_weights)


def _bare(a: Array) -> Array:
    """Without leading axes of one."""
    while a.ndim > 2 and a.shape[0] == 1:
        a = a[0]
    return a


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and np.isfinite(value).all() and (value == value.round()).all():
            value = value.astype(int)
        return np.array2string(value, precision=3, suppress_small=True, separator=" ")
    return str(value)

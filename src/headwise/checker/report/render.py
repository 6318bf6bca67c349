"""A verdict in words: for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from textwrap import fill, indent

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.report.verdict import UNEXPLAINED, SourceLocation, Verdict
from headwise.errors import DataError

_KINDS = {
    "self_attention": "self-attention",
    "multi_head": "multi-head attention",
    "cross_attention": "cross-attention",
    "attention": "attention of queries, keys and values",
}
# the catalogue has the words of NumPy
_IN_TORCH = {
    r"np\.where\(mask, s, -np\.inf\)": "s.masked_fill(~mask, -math.inf)",
    r"np\.repeat\(k, H // G, axis=-3\), or repeat_interleave": "k.repeat_interleave(H // G, dim=-3)",
    r"np\.repeat, repeat_interleave": "repeat_interleave",
    r"\bs\.max\(": "s.amax(",
    r"\baxis=": "dim=",
    r"\bkeepdims=": "keepdim=",
    r"\btranspose\(1, 0, 2\)": "transpose(0, 1)",
    r"np\.sqrt": "math.sqrt",
    r"\.astype\(np\.float32\)": ".float()",
    r"np\.(\w+)": r"torch.\1",
}
_IN_LIBRARY = {"torch": _IN_TORCH, "jax": {r"\bnp\.": "jnp."}, "jaxlib": {r"\bnp\.": "jnp."}}
_ROUNDING = 1e-6  # of the largest number in the output


def render_report(verdict: Verdict, format: str, width: int) -> str:
    """Return the verdict in one of the three formats, as text in lines of this width.

    Raises DataError if `format` is none of them.
    """
    writers: dict[str, Callable[[Verdict], str]] = {
        "text": partial(_text, width=width),
        "markdown": _markdown,
        "json": Verdict.to_json,
    }
    if format not in writers:
        raise DataError(f"format: expected one of {', '.join(writers)}; got {format!r}.")
    return writers[format](verdict)


def headline(v: Verdict) -> str:
    """The verdict in one sentence, the conventions first."""
    conventions = f", with {_listed(v.phrases)}" if v.phrases else ""
    exceptions = f", except for {_listed([_EXCEPTIONS.get(code, code) for code in v.hazards])}" if v.hazards else ""
    if v.ok:
        return f"{v.name} is right{conventions}{exceptions}: it is {_KINDS[v.kind]}."
    named = [code for code in v.mistakes if code not in UNEXPLAINED]
    if _agrees(v):
        return f"{v.name} is not right{conventions}: its outputs are those of {_KINDS[v.kind]}{exceptions}, but:"
    if not named:
        return f"{v.name} is not {_KINDS[v.kind]}{conventions}, and no entry of the catalogue explains how it differs."
    count = "one mistake" if len(named) == 1 else f"{len(named)} mistakes"
    rest = ", and by something that nothing explains" if len(named) < len(v.mistakes) else ""
    between = f"{conventions}," if conventions else ""
    return f"{v.name}{between} differs from {_KINDS[v.kind]} by {count}{rest}:"


_EXCEPTIONS = {
    "softmax-overflow": "logits so large that their exponential overflows or underflows",
    "mask-finite-fill": "queries that may attend to nothing",
    "mask-all-hidden-nan": "queries that may attend to nothing",
    "mask-leaks-nan": "NaN behind the mask",
    "dtype-lowered": "the precision of its arguments, which it lowers",
    "input-changed": "its arguments, which it overwrites",
}


def _agrees(v: Verdict) -> bool:
    """Whether a verdict is ``unknown`` although outputs are right: a note says what is wrong."""
    rounding = 1e-3 if "float32" in v.conventions else _ROUNDING
    edges = {*v.hazards} - {"dtype-lowered"}  # which may give NaN where there should be a number
    ordinary = (p.difference for p in v.probes if p.inputs and (math.isfinite(p.difference) or not edges))
    return v.mistakes == ("unknown",) and bool(v.notes) and all(difference <= rounding for difference in ordinary)


def _largest(v: Verdict) -> float:
    """The largest difference that is a number."""
    return max((p.difference for p in v.probes if p.inputs and math.isfinite(p.difference)), default=0.0)


def evidence(v: Verdict) -> str:
    """Why the verdict should be believed."""
    if v.ok or _agrees(v):
        besides = ", apart from the edge cases above," if v.hazards else ""
        return (
            f"It agrees with the definition{besides} on all {v.inputs} inputs that it was tried on; the largest"
            f" difference is {v.difference if v.ok else _largest(v):.1e} of the largest number in the output."
        )
    differs = _by(_largest(v))
    if not v.explained:
        return f"It was tried on {v.inputs} inputs, and differs {differs}."
    if "dropout-active" in v.mistakes:
        return (
            "The attention weights that it used, recovered from its outputs, are the right ones times one factor, or"
            f" zero, on all of the inputs made for that. From the definition it differs {differs}."
        )
    how = "these mistakes" if len(v.mistakes) > 1 else "this mistake"
    if all(p.difference <= _ROUNDING for p in v.probes if p.inputs):
        return (
            f"Its outputs on all {v.inputs} inputs are those of the definition, to {v.difference:.1e}; other calls show"
            f" {how}."
        )
    return (
        f"The definition with {how} put in reproduces its output on all {v.inputs} inputs, to {v.difference:.1e}; at"
        f" least half of them were not used to choose the explanation. Without, they differ {differs}."
    )


def _by(difference: float) -> str:
    """By how much two outputs differ, if a number can express it."""
    if 2 < difference < math.inf:
        return f"by up to {difference:.2g} times the largest number in the output"
    if difference > _ROUNDING:
        return f"by up to {difference:.2g} of the largest number in the output"
    return "in shape, or by NaN"


def _details(v: Verdict, code: str) -> Iterator[tuple[str, str]]:
    """What there is to say about one entry: a heading and a text each."""
    entry = CATALOGUE[code]
    yield "It should be", _in_library(entry.formula, v.library)
    location = next((place for place in v.locations if place.code == code), None)
    if location is not None:
        yield "In the source", _at(location)
    yield "Fix", _in_library(entry.fix, v.library)
    yield "Symptom", _in_library(entry.symptom, v.library)


def _at(location: SourceLocation) -> str:
    return f"probably line {location.line}:  {location.text.strip()}"


def _text(v: Verdict, width: int) -> str:
    wrap = partial(fill, width=width, break_long_words=False)
    parts = [wrap(headline(v)), *(wrap(note) for note in v.notes if _agrees(v))]
    for code in _codes(v):
        lines = [wrap(f"{_tag(code)}{code}: {CATALOGUE[code].title}")]
        for name, text in _details(v, code):
            lines.append(wrap(text, initial_indent=f"  {name:<15}", subsequent_indent=" " * 17))
        parts.append("\n".join(lines))
    if v.example is not None:
        parts.append("A small example\n" + indent(_example_text(v), "  "))
    parts.append(wrap(evidence(v)))
    if v.ok:
        parts.append(_probes_text(v))
    if v.ok or not v.explained:
        parts.append("Properties\n" + "\n".join(f"  {_tick(p.holds)} {p.description}" for p in v.properties))
    parts.append(wrap(f"It was called with {v.calling_convention}."))
    if v.untested:
        parts.append(wrap(f"Not tested: {'; '.join(v.untested)}."))
    parts += [wrap(note) for note in v.notes if not _agrees(v)]
    return "\n\n".join(parts) + "\n"


def _codes(v: Verdict) -> tuple[str, ...]:
    """The entries to describe."""
    return v.hazards if _agrees(v) else (*v.mistakes, *v.hazards)


def _tag(code: str) -> str:
    return "hazard " if CATALOGUE[code].level == "hazard" else ""


def _probes_text(v: Verdict) -> str:
    width = max(len(p.description) for p in v.probes)
    return "\n".join(f"  {p.description:<{width}}  {p.inputs:>3} inputs  {_number(p)}" for p in v.probes if p.inputs)


def _number(p: object) -> str:
    difference = getattr(p, "difference", math.inf)
    return f"{difference:8.1e}" if math.isfinite(difference) else " differs"


def _example_text(v: Verdict) -> str:
    assert v.example is not None
    what = " weights" if v.example.of_weights else ""
    blocks = [*v.example.inputs, (f"expected{what}", v.example.expected), (f"got{what}", v.example.got)]
    return "\n".join(_assigned(name, value) for name, value in blocks)


def _assigned(name: str, value: str) -> str:
    """``name = value``, the later lines of the value under its first."""
    first, *rest = value.splitlines()
    return "\n".join([f"{name} = {first}", *(" " * (len(name) + 3) + line for line in rest)])


def _markdown(v: Verdict) -> str:
    parts = [f"## {headline(v)}", *(note for note in v.notes if _agrees(v))]
    for code in _codes(v):
        parts.append(f"### {_tag(code)}`{code}`\n\n{CATALOGUE[code].title}")
        parts.append("\n".join(f"- **{name}:** {_marked(name, text)}" for name, text in _details(v, code)))
    if v.example is not None:
        parts.append(f"### A small example\n\n```python\n{_example_text(v)}\n```")
    parts.append(evidence(v))
    if v.ok:
        rows = "\n".join(f"| {p.description} | {p.inputs} | {_number(p).strip()} |" for p in v.probes if p.inputs)
        parts.append(f"| tried with | inputs | largest difference |\n|---|---:|---:|\n{rows}")
    if v.ok or not v.explained:
        parts.append("\n".join(f"- {_tick(p.holds)} {p.description}" for p in v.properties))
    parts.append(f"It was called with {v.calling_convention}.")
    if v.untested:
        parts.append(f"Not tested: {'; '.join(v.untested)}.")
    parts += (note for note in v.notes if not _agrees(v))
    return "\n\n".join(parts) + "\n"


def _marked(name: str, text: str) -> str:
    if name == "In the source":
        where, _, line = text.partition(":  ")
        return f"{where}: `` {line} ``" if "`" in line else f"{where}: `{line}`"
    return f"`{text}`" if name == "It should be" else text


def _listed(items: tuple[str, ...] | list[str]) -> str:
    items = list(dict.fromkeys(items))
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _tick(holds: bool | None) -> str:
    return {True: "✓", False: "✗", None: "·"}[holds]


def _in_library(text: str, library: str) -> str:
    """A text about code, with the functions of a library in place of those of NumPy.

    Examples
    --------
    >>> _in_library("Divide by np.sqrt(d), and normalise with axis=-1.", "torch")
    'Divide by math.sqrt(d), and normalise with dim=-1.'
    """
    for pattern, words in _IN_LIBRARY.get(library, {}).items():
        text = re.sub(pattern, words, text)
    return text

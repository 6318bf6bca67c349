"""A verdict in words: for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from textwrap import fill, indent

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.verdict import SourceLocation, Verdict
from headwise.errors import DataError

__all__ = ["render_report"]

_WIDTH = 96
_KINDS = {
    "self_attention": "self-attention",
    "multi_head": "multi-head attention",
    "attention": "attention of queries, keys and values",
}
_UNEXPLAINED = ("unknown", "tokens-scrambled")


def render_report(verdict: Verdict, format: str) -> str:
    """Say what was found, in one of the three formats.

    Raises
    ------
    DataError
        If `format` is none of them.
    """
    writers = {"text": _text, "markdown": _markdown, "json": Verdict.to_json}
    if format not in writers:
        raise DataError(f"format: expected one of {', '.join(writers)}; got {format!r}.")
    return writers[format](verdict)


def headline(v: Verdict) -> str:
    """The verdict in one sentence."""
    if v.ok:
        return f"{v.name} is right: it is {_KINDS[v.kind]}."
    named = [code for code in v.mistakes if code not in _UNEXPLAINED]
    if not named:
        return f"{v.name} is not {_KINDS[v.kind]}, and no mistake of the catalogue explains how it differs."
    count = "one mistake" if len(named) == 1 else f"{len(named)} mistakes"
    rest = ", and something that nothing explains" if len(named) < len(v.mistakes) else ""
    return f"{v.name} is not quite {_KINDS[v.kind]}: it holds {count}{rest}."


def evidence(v: Verdict) -> str:
    """Why the verdict should be believed."""
    if v.ok:
        return (
            f"Its answers agree with the definition on all {v.inputs} inputs that it was tried on; the largest"
            f" difference is {v.difference:.1e} of the largest number in the answer."
        )
    apart = _by(max((t.difference for t in v.tried if t.inputs and math.isfinite(t.difference)), default=0.0))
    if any(code in _UNEXPLAINED for code in v.mistakes):
        return f"It was tried on {v.inputs} inputs, and differs {apart}."
    if "dropout-active" in v.mistakes:
        return (
            "The weights that it used, solved for from its outputs, are the right ones times one factor, or zero:"
            f" on all of the inputs made for that. From the definition it differs {apart}."
        )
    watched = [code for code in v.mistakes if not CATALOGUE[code].changes]
    if len(watched) == len(v.mistakes):
        return f"It was seen in {v.inputs} calls; the numbers agree with the definition to {v.difference:.1e}."
    how = "these mistakes" if len(v.mistakes) > 1 else "this mistake"
    return (
        f"The definition with {how} put in gives its answers on all {v.inputs} inputs, to {v.difference:.1e}, half of"
        f" them inputs on which the explanation was not chosen. Without, they differ {apart}."
    )


def _by(difference: float) -> str:
    """How far apart, where a number can say it."""
    if difference > 1e-6:
        return f"by up to {difference:.2g} of the largest number in the answer"
    return "in shape, or by NaN"


def _details(v: Verdict, code: str) -> Iterator[tuple[str, str]]:
    """What there is to say about one mistake: a heading and a text each."""
    entry = CATALOGUE[code]
    yield "It should be", entry.formula
    place = next((p for p in v.places if p.code == code), None)
    if place is not None:
        yield "In the source", _at(place)
    yield "Fix", entry.fix
    yield "Symptom", entry.symptom


def _at(place: SourceLocation) -> str:
    return f"probably line {place.line}:  {place.text.strip()}"


def _text(v: Verdict) -> str:
    parts = [_wrap(headline(v))]
    for code in v.mistakes:
        lines = [_wrap(f"{code}: {CATALOGUE[code].title}")]
        lines += [_hang(f"  {name:<15}", text) for name, text in _details(v, code)]
        parts.append("\n".join(lines))
    if v.example is not None:
        parts.append("A small example\n" + indent(_example_text(v), "  "))
    if not v.ok:
        parts.append(_wrap(evidence(v)))
    if v.ok:
        parts.append(_wrap(evidence(v)) + "\n\n" + _tried_text(v))
    if v.ok or any(code in _UNEXPLAINED for code in v.mistakes):
        parts.append("What holds of it\n" + "\n".join(f"  {_tick(f.holds)} {f.says}" for f in v.facts))
    parts.append(_wrap(f"It was called with {v.read_as}."))
    parts += [_wrap(note) for note in v.notes]
    return "\n\n".join(parts) + "\n"


def _tried_text(v: Verdict) -> str:
    width = max(len(t.says) for t in v.tried)
    return "\n".join(f"  {t.says:<{width}}  {t.inputs:>3} inputs  {t.difference:8.1e}" for t in v.tried if t.inputs)


def _example_text(v: Verdict) -> str:
    assert v.example is not None
    blocks = [*v.example.inputs, ("expected", v.example.expected), ("got", v.example.got)]
    return "\n".join(_assigned(name, value) for name, value in blocks)


def _assigned(name: str, value: str) -> str:
    """``name = value``, the later lines of the value under its first."""
    first, *rest = value.splitlines()
    return "\n".join([f"{name} = {first}", *(" " * (len(name) + 3) + line for line in rest)])


def _markdown(v: Verdict) -> str:
    parts = [f"## {headline(v)}"]
    for code in v.mistakes:
        parts.append(f"### `{code}`\n\n{CATALOGUE[code].title}")
        parts.append("\n".join(f"- **{name}:** {_marked(name, text)}" for name, text in _details(v, code)))
    if v.example is not None:
        parts.append(f"### A small example\n\n```python\n{_example_text(v)}\n```")
    parts.append(evidence(v))
    if v.ok:
        rows = "\n".join(f"| {t.says} | {t.inputs} | {t.difference:.1e} |" for t in v.tried if t.inputs)
        parts.append(f"| tried with | inputs | largest difference |\n|---|---:|---:|\n{rows}")
    if v.ok or any(code in _UNEXPLAINED for code in v.mistakes):
        parts.append("\n".join(f"- {_tick(f.holds)} {f.says}" for f in v.facts))
    parts.append(f"It was called with {v.read_as}.")
    parts += v.notes
    return "\n\n".join(parts) + "\n"


def _marked(name: str, text: str) -> str:
    if name == "In the source":
        where, _, line = text.partition(":  ")
        return f"{where}: `` {line} ``" if "`" in line else f"{where}: `{line}`"
    return f"`{text}`" if name == "It should be" else text


def _tick(holds: bool | None) -> str:
    return {True: "✓", False: "✗", None: "·"}[holds]


def _wrap(text: str) -> str:
    return fill(text, _WIDTH, break_long_words=False)


def _hang(heading: str, text: str) -> str:
    return fill(text, _WIDTH, initial_indent=heading, subsequent_indent=" " * len(heading), break_long_words=False)

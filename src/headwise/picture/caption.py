"""The caption of the class token's picture: what is shown, how to read it, what it says, what it does not.

Every statement is a rule over measured numbers; another model gets another caption.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headwise.files import write_text
from headwise.measure.space import attention_distance, share_on_ink
from headwise.measure.weights import effective_number, without_class_token
from headwise.picture.attention import INK, Drawn
from headwise.picture.text import Statement, as_markdown, as_text
from headwise.shapes import Array

__all__ = ["Caption", "caption", "measure"]

# the thresholds of the rules below
EVEN = 0.9  # a head is nearly uniform if its effective number of tokens is at least this share of all
ON_INK = 1.25  # a head looks at ink if it puts this many times as much on ink as an even spread would
CHANGED = 1.1  # depth changes a measure if the last layer has this many times the first's, or one over it


@dataclass(frozen=True)
class Caption:
    """A caption in four parts, each a list of statements."""

    title: Statement
    shown: tuple[Statement, ...]
    reading: tuple[Statement, ...]
    findings: tuple[Statement, ...]
    limits: tuple[Statement, ...]

    @property
    def parts(self) -> dict[str, tuple[Statement, ...]]:
        """The parts by their headings."""
        return {
            "What is shown": self.shown,
            "How to read it": self.reading,
            "What it says about this model": self.findings,
            "What it does not say": self.limits,
        }

    def text(self) -> str:
        """For a terminal: a paragraph a part."""
        paragraphs = [f"{heading}. {' '.join(map(as_text, said))}" for heading, said in self.parts.items()]
        return "\n\n".join([as_text(self.title), *paragraphs])

    def markdown(self) -> str:
        """For a document: bold headings, formulae between dollar signs."""
        paragraphs = [f"**{heading}.** {' '.join(map(as_markdown, said))}" for heading, said in self.parts.items()]
        return "\n\n".join([f"**{as_markdown(self.title)}**", *paragraphs]) + "\n"

    def save(self, path: Path) -> None:
        """Write templates, values and finished text as JSON."""
        parts = {"title": (self.title,), **self.parts}
        content = {
            heading: [{"template": s.template, "values": s.values, "text": as_text(s)} for s in said]
            for heading, said in parts.items()
        }
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def measure(drawn: Drawn) -> dict[str, Any]:
    """Every number that a caption may state, from the arrays that were drawn."""
    maps = drawn.maps.astype(np.float64)
    layers, heads, tokens = maps.shape
    on_itself = drawn.on_itself.astype(np.float64)
    total = maps.sum(axis=-1, keepdims=True)
    p = np.divide(maps, total, out=np.full_like(maps, 1 / tokens), where=total > 0)
    effective = effective_number(p)
    ink_share = share_on_ink(p, drawn.ink, drawn.boxes)
    kept, dropped = without_class_token(drawn.weights.astype(np.float64))
    distance = attention_distance(kept, drawn.boxes).mean(axis=1)
    area = float(share_on_ink(np.full(tokens, 1 / tokens), drawn.ink, drawn.boxes))
    order = np.argsort(-drawn.probabilities, kind="stable")
    narrow, wide = _where(-effective), _where(effective)
    return {
        "height": drawn.image.shape[0],
        "width": drawn.image.shape[1],
        "box_height": int(drawn.boxes[0, 2]),
        "box_width": int(drawn.boxes[0, 3]),
        "layers": layers,
        "heads": heads,
        "all_heads": layers * heads,
        "tokens": tokens,
        "d": drawn.head_width,
        "scale_top": float(maps.max()),
        "uniform": 1 / (1 + tokens),
        "ink_level": INK,
        "predicted": int(order[0]),
        "probability": float(drawn.probabilities[order[0]]),
        "second": int(order[1]) if len(order) > 1 else int(order[0]),
        "second_probability": float(drawn.probabilities[order[1]]) if len(order) > 1 else 0.0,
        "label": drawn.label,
        **_place("self_most", _where(on_itself), on_itself),
        **_place("self_least", _where(-on_itself), on_itself),
        "self_first": float(on_itself[0].mean()),
        "self_last": float(on_itself[-1].mean()),
        **_place("narrow", narrow, effective),
        "narrow_token": int(p[narrow].argmax()) + 1,
        "narrow_share": float(p[narrow].max()),
        **_place("wide", wide, effective),
        "even": EVEN,
        "even_heads": int((effective >= EVEN * tokens).sum()),
        "effective_first": float(effective[0].mean()),
        "effective_last": float(effective[-1].mean()),
        "area": area,
        "on_ink": ON_INK,
        "ink_heads": int((ink_share >= ON_INK * area).sum()) if area > 0 else 0,
        "background_heads": int((ink_share * ON_INK <= area).sum()) if area > 0 else 0,
        **_place("inkiest", _where(ink_share), ink_share),
        "changed": CHANGED,
        "distance_first": float(distance[0]),
        "distance_last": float(distance[-1]),
        "dropped": float(dropped.mean()),
    }


def caption(drawn: Drawn) -> Caption:
    """Measure the arrays, and let the rules write."""
    facts = measure(drawn)
    return Caption(
        _state("What the class token attends to in a digit read as {predicted}", facts),
        tuple(_state(template, facts) for template in _shown(facts)),
        tuple(_state(template, facts) for template in _READING),
        tuple(_state(template, facts) for template in _findings(facts)),
        tuple(_state(template, facts) for template in _LIMITS),
    )


def _shown(f: dict[str, Any]) -> Iterator[str]:
    yield (
        "Left: the input, {height} × {width} pixels, cut along the orange lines into N = {tokens} tokens of "
        "{box_height} × {box_width} pixels, <all patches> in reading order; <token 0> is the class token."
    )
    yield (
        "Each panel on the right, layer <l> from top to bottom and head <h> from left to right, both counted from "
        "<from 0>: the row <class row> of the attention weights <weights> with <d> = {d}, which says how much of the "
        "class token's output in that head is taken from token <m>."
    )
    yield (
        "The weights are drawn as they are, not normalised again; each is painted evenly over the pixels of its token, "
        "enlarged without smoothing."
    )
    yield ("One colour scale holds for all panels, from <from 0> to {scale_top:.3f}, the largest weight drawn.")
    yield (
        "Below each panel, cls is <class to class>, the weight that the class token keeps on itself and no panel can "
        "show; with it, a panel's weights sum to one."
    )
    if f["area"] > 0:
        yield "The thin outline is the digit's own, where the ink passes {ink_level:.1f}."


_READING = (
    "A dark token is one whose value vector makes up much of what this head passes on to the class token.",
    "A head that attended to every token alike, the class token included, would show {uniform:.3f} everywhere.",
    "The effective number of tokens is <effective> with <p of patches>: that many equal weights have the same entropy.",
)

_LIMITS = (
    "These are weights, not reasons: a token with much weight need not have decided the class, because the values, "
    "the other tokens and the residual path carry the rest.",
    "In every layer but the first, a token has already taken in others, so its weight is no longer that of its own "
    "pixels alone.",
    "Nothing was removed from the image to test the picture, so it makes no claim to be a faithful explanation.",
)


def _findings(f: dict[str, Any]) -> Iterator[str]:
    verdict = {-1: "", f["predicted"]: ", which is right"}.get(f["label"], ", which is wrong: the label is {label}")
    yield (
        "The model reads a {predicted} (probability {probability:.1%})" + verdict + "; next comes a {second} "
        "({second_probability:.1%})."
    )
    yield (
        "On itself the class token keeps from {self_least:.0%} (layer {self_least_layer}, head {self_least_head}) to "
        "{self_most:.0%} (layer {self_most_layer}, head {self_most_head}) of its attention; the mean over heads is "
        "{self_first:.0%} in the first layer and {self_last:.0%} in the last."
    )
    yield (
        "The most concentrated head is layer {narrow_layer}, head {narrow_head}, with {narrow:.1f} effective tokens of "
        "{tokens}, {narrow_share:.0%} of what it gives the image being on token {narrow_token}; the most even is layer "
        "{wide_layer}, head {wide_head}, with {wide:.1f}."
    )
    yield {
        0: "No head is nearly uniform (at least {even:.0%} of the tokens effective).",
        f["all_heads"]: "Every head is nearly uniform (at least {even:.0%} of the tokens effective).",
    }.get(
        f["even_heads"],
        "Nearly uniform (at least {even:.0%} of the tokens effective): {even_heads} of {all_heads} heads.",
    )
    yield (
        f"From the first layer to the last the class token's attention {_trend(f, 'effective', 'widens', 'narrows')} "
        "({effective_first:.1f} and {effective_last:.1f} effective tokens, means over heads)."
    )
    if f["area"] > 0:
        yield (
            "Ink covers {area:.0%} of the image. Of {all_heads} heads, {ink_heads} put at least {on_ink} times that "
            "share of their weight on it, and {background_heads} at most that share over {on_ink}; the most is "
            "{inkiest:.0%}, in layer {inkiest_layer}, head {inkiest_head}."
        )
    yield (
        "Among themselves the image's tokens attend over a mean distance, <distance>, of {distance_first:.1f} pixels "
        "in the first layer and {distance_last:.1f} in the last: with depth it "
        f"{_trend(f, 'distance', 'grows', 'shrinks')}. The class token, which has no place, is left out of this, and "
        "with it {dropped:.0%} of their weight."
    )


def _trend(f: dict[str, Any], measure: str, up: str, down: str) -> str:
    first, last = f[f"{measure}_first"], f[f"{measure}_last"]
    if last >= CHANGED * first and last > first:
        return up
    if last * CHANGED <= first and last < first:
        return down
    return "stays about the same"


def _state(template: str, facts: dict[str, Any]) -> Statement:
    """A statement with those of the facts that it uses."""
    used = {name for name in facts if f"{{{name}}}" in template or f"{{{name}:" in template}
    return Statement(template, {name: facts[name] for name in facts if name in used})


def _where(values: Array) -> tuple[int, int]:
    layer, head = np.unravel_index(int(values.argmax()), values.shape)
    return int(layer), int(head)


def _place(name: str, at: tuple[int, int], values: Array) -> dict[str, Any]:
    return {name: float(values[at]), f"{name}_layer": at[0], f"{name}_head": at[1]}

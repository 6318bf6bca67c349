"""What all captions measure and say alike: sizes, what the model reads, where a measure is largest, how it changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from headwise.figures.nan_stats import nan_mean
from headwise.figures.record import AttentionRecord
from headwise.metrics.spatial import weight_on_foreground
from headwise.shapes import Array, BoolArray, IntArray
from headwise.thresholds import THRESHOLDS

__all__ = [
    "Facts",
    "agreeing_pairs",
    "base_measurements",
    "describe_count",
    "extreme_head",
    "first_and_last_layer",
    "head_names",
    "head_similarity",
    "input_notes",
    "is_known",
    "list_heads",
    "pluralize_heads",
    "title_suffix",
    "trend",
    "verdict",
]

Facts = dict[str, Any]


def base_measurements(drawn: AttentionRecord) -> Facts:
    """Sizes, thresholds, and what the model reads."""
    layers, heads, rows, _ = drawn.weights.shape
    facts: Facts = {
        "height": drawn.image.shape[0],
        "width": drawn.image.shape[1],
        "box_height": int(drawn.boxes[0, 2]),
        "box_width": int(drawn.boxes[0, 3]),
        "layers": layers,
        "heads": heads,
        "all_heads": layers * heads,
        "tokens": drawn.tokens,
        "rows": rows,
        "d": drawn.head_width,
        "uniform": 1 / rows,
        "cut_off": drawn.cut_off,
        "area": float(weight_on_foreground(np.full(drawn.tokens, 1 / drawn.tokens), drawn.ink, drawn.boxes)),
        **{name: rule.threshold for name, rule in THRESHOLDS.items()},
    }
    if len(drawn.probabilities):
        order = np.argsort(-drawn.probabilities, kind="stable")
        second = order[min(1, len(order) - 1)]
        facts |= {
            "predicted": int(order[0]),
            "probability": float(drawn.probabilities[order[0]]),
            "second": int(second),
            "second_probability": float(drawn.probabilities[second]),
            "label": drawn.label,
        }
    return facts


def input_notes(drawn: AttentionRecord) -> Iterator[str]:
    """What was done to the image or the arrays before they were drawn, if anything."""
    if drawn.rearranged:
        yield (
            "The pixels were rearranged before the image was cut, in every image alike; it is drawn as the model sees "
            "it, and distances are in the rearranged image."
        )
    if not drawn.image.any():
        yield "No image came with the arrays: only the places of its tokens are drawn."
        if (drawn.boxes[:, 2:] == 1).all():
            yield "Nor did their size: a pixel here is the side of a token."
    if drawn.cut_off > 0:
        yield (
            "Some tokens were cut off the arrays before they came; they had {cut_off:.1%} of the rows' weight on "
            "average, and the rest of each row was made to sum to one again."
        )


def title_suffix(drawn: AttentionRecord) -> str:
    """How a title ends."""
    return ", in a digit read as {predicted}" if len(drawn.probabilities) else ""


def verdict(drawn: AttentionRecord) -> Iterator[str]:
    """What the model reads, and whether that is right, if it is known."""
    if not len(drawn.probabilities):
        return
    right = {-1: "", int(drawn.probabilities.argmax()): ", which is right"}
    yield (
        "The model reads a {predicted} (probability {probability:.1%})"
        + right.get(drawn.label, ", which is wrong: the label is {label}")
        + "; next comes a {second} ({second_probability:.1%})."
    )


def head_similarity(facts: Facts, least: str, most: str) -> bool:
    """Whether all heads have the same of a measure, so that none is the one with the least or the most."""
    return bool(np.isclose(facts[least], facts[most], rtol=1e-3, atol=1e-6))


def is_known(facts: Facts, measure: str) -> bool:
    """Whether the first and the last layer have such a measure, so that depth can be spoken of."""
    return not np.isnan([facts[f"{measure}_first"], facts[f"{measure}_last"]]).any()


def pluralize_heads(facts: Facts, name: str, thing: str) -> str:
    """So many things, in the singular if it is one."""
    return f"{{{name}}} {thing}" + ("" if facts[name] == 1 else "s")


def trend(facts: Facts, measure: str, up: str, down: str) -> str:
    """Which word the first and the last layer's values call for."""
    first, last, changed = facts[f"{measure}_first"], facts[f"{measure}_last"], facts["changed"]
    if last >= changed * first and last > first:
        return up
    if last * changed <= first and last < first:
        return down
    return "stays about the same"


def first_and_last_layer(name: str, values: Array) -> Facts:
    """(L, H) values -> the means over heads of the first and the last layer."""
    return {f"{name}_first": float(nan_mean(values[0])), f"{name}_last": float(nan_mean(values[-1]))}


def extreme_head(name: str, values: Array, *, least: bool = False) -> Facts:
    """(L, H) values -> the largest, or the least, and its layer and head."""
    layer, head = np.unravel_index(int(np.nan_to_num(-values if least else values, nan=-np.inf).argmax()), values.shape)
    return {name: float(values[layer, head]), f"{name}_layer": int(layer), f"{name}_head": int(head)}


def list_heads(name: str, chosen: BoolArray) -> Facts:
    """(L, H) -> how many heads were chosen, and their names."""
    return {f"{name}_heads": int(chosen.sum()), f"{name}_names": head_names(chosen)}


def head_names(chosen: BoolArray) -> str:
    """The heads that were chosen, layer by layer.

    Examples
    --------
    >>> import numpy as np
    >>> head_names(np.array([[True, False, True], [False, False, False], [False, True, False]]))
    'layer 0: heads 0 and 2; layer 2: head 1'
    """
    said = []
    for layer, row in enumerate(chosen):
        heads = [str(head) for head in np.flatnonzero(row)]
        if heads:
            listed = " and ".join(filter(None, [", ".join(heads[:-1]), heads[-1]]))
            said.append(f"layer {layer}: head{'s' * (len(heads) > 1)} {listed}")
    return "; ".join(said)


def describe_count(facts: Facts, name: str, what: str) -> str:
    """No head, every head, or so many of them by name; `what` says what they are, and by which threshold."""
    count = facts[f"{name}_heads"]
    if count == 0:
        return f"No head is {what}."
    if count == facts["all_heads"]:
        return f"Every head is {what}." if count > 1 else f"The head is {what}."
    return f"Of {{all_heads}} heads, {{{name}_heads}} {'is' if count == 1 else 'are'} {what}: {{{name}_names}}."


def agreeing_pairs(found: Array, which: IntArray, heads: int) -> Facts:
    """(K, K) agreement between heads, (K,) which ones of all -> how many pairs agree, and which two the most."""
    one, two = np.triu_indices(len(found), 1)
    pairs = found[one, two]
    best = int(pairs.argmax())
    return {
        "pairs": len(pairs),
        "alike_pairs": int((pairs >= THRESHOLDS["alike"].threshold).sum()),
        "nearest": float(pairs[best]),
        "nearest_layer": int(which[one[best]] // heads),
        "nearest_head": int(which[one[best]] % heads),
        "other_layer": int(which[two[best]] // heads),
        "other_head": int(which[two[best]] % heads),
    }

"""Sentences that several captions share: templates selected by rules over measured facts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.measurements import Facts
from headwise.figures.record import AttentionRecord
from headwise.metrics.faithfulness import Faithfulness
from headwise.shapes import Array
from headwise.thresholds import THRESHOLDS

__all__ = [
    "LIMITS",
    "NO_RANKING",
    "count",
    "describe_agreement",
    "describe_alternative",
    "describe_colors",
    "describe_concentration",
    "describe_distance",
    "describe_extremes",
    "describe_faithfulness",
    "describe_heads",
    "describe_ink",
    "describe_input",
    "describe_input_changes",
    "describe_locality",
    "describe_prediction",
    "describe_self_weight",
    "describe_weights",
    "heads_are_equal",
    "is_known",
    "title_suffix",
    "trend",
]

LIMITS = (
    "Attention weights are not reasons: a token with a large weight need not have determined the class, because the "
    "values, the other tokens and the residual path contribute the rest.",
    "In every layer but the first, a token already contains information from other tokens, so its weight is no longer "
    "that of its own pixels alone.",
)
NO_RANKING = (
    "This figure shows how tokens are mixed and does not rank them by their effect on the prediction, so there was no "
    "ranking to test."
)
_UNTESTED = (
    "Faithfulness was not tested, because the test runs the model again with tokens removed and only the arrays are "
    "available; how well this figure explains the prediction is unknown."
)
_PLURAL_VERBS = {"is": "are", "has": "have"}


# ---- rules


def heads_are_equal(facts: Facts, least: str, most: str) -> bool:
    """Whether all heads have the same value of a measure, so that none has the least or the most."""
    return bool(np.isclose(facts[least], facts[most], rtol=1e-3, atol=1e-6))


def is_known(facts: Facts, measure: str) -> bool:
    """Whether the measure is defined in the first and in the last layer, so that its trend is."""
    return not np.isnan([facts[f"{measure}_first"], facts[f"{measure}_last"]]).any()


def trend(facts: Facts, measure: str, up: str, down: str) -> str:
    """Choose a phrase for the change from the first layer to the last."""
    first, last, ratio = facts[f"{measure}_first"], facts[f"{measure}_last"], facts["depth_ratio"]
    if last >= ratio * first and last > first:
        return up
    if last * ratio <= first and last < first:
        return down
    return "stays about the same"


def count(facts: Facts, name: str, noun: str) -> str:
    """A template for a number of things, singular if it is one."""
    return f"{{{name}}} {noun}" + ("" if facts[name] == 1 else "s")


def describe_heads(facts: Facts, name: str, verb: str, predicate: str) -> str:
    """No head, every head, or some heads by name; `verb` is singular, and `predicate` states the threshold."""
    selected = facts[f"{name}_heads"]
    if selected == 0:
        return f"No head {verb} {predicate}."
    if selected == facts["all_heads"]:
        return f"Every head {verb} {predicate}." if selected > 1 else f"The head {verb} {predicate}."
    plural = verb if selected == 1 else _PLURAL_VERBS.get(verb, verb.removesuffix("s"))
    return f"Of {{all_heads}} heads, {{{name}_heads}} {plural} {predicate}: {{{name}_names}}."


# ---- what is shown


def title_suffix(record: AttentionRecord) -> str:
    """The end of a title."""
    return ", in a digit classified as {predicted}" if len(record.probabilities) else ""


def describe_input(record: AttentionRecord) -> str:
    """The input, and how its tokens are numbered."""
    tokens = count({"tokens": record.num_tokens}, "tokens", "token")
    zero = "; <token 0> is the class token." if record.has_class_token else "; there is no class token."
    return (
        f"Left: the input, {{height}} × {{width}} pixels, divided along the orange lines into <N> = {tokens} of "
        "{box_height} × {box_width} pixels, <all patches> in reading order" + zero
    )


def describe_weights(record: AttentionRecord) -> str:
    """The formula of the weights, with the head width if it is known."""
    return "the attention weights <weights>" + (" with <d> = {head_width}" if record.head_width else "")


def describe_colors(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    """How weights are mapped to colours."""
    overlap = int(record.boxes[:, 2:].prod(axis=1).sum()) > record.image.size
    yield (
        "The weights are drawn without further normalisation; each fills the pixels of its token evenly"
        + (", and overlapping tokens are averaged." if overlap else ".")
    )
    if facts["scale_max"] > 0:
        yield "All panels share one colour scale, from <zero> to {scale_max:.3f}, the largest weight drawn."
    else:
        yield "All panels share one colour scale, from <zero> to one, because all weights drawn are zero."
    if record.ink.any():
        yield "The thin line is the outline of the digit, where ink exceeds {ink_level:.1f}."


def describe_input_changes(record: AttentionRecord) -> Iterator[str]:
    """What was done to the image or the arrays before drawing, if anything."""
    if record.pixels_permuted:
        yield (
            "The pixels of every image were permuted in the same way before the image was divided into tokens; it is "
            "drawn as the model sees it, and distances are those in the permuted image."
        )
    if not record.image.any():
        yield "The arrays came without an image, so only the locations of the tokens are drawn."
        if (record.boxes[:, 2:] == 1).all():
            yield "The size of the tokens is unknown as well: one pixel stands for one token."
    if record.unverified:
        yield (
            "The arrays are not verified: they were not compared with the output of the model that they are said to "
            "come from."
        )
    if record.dropped_weight > 0:
        yield (
            "Some tokens had been removed from the arrays; they had {dropped_weight:.1%} of the weight of a row on "
            "average, and the rest of each row was normalised to sum to one again."
        )


# ---- findings


def describe_prediction(record: AttentionRecord) -> Iterator[str]:
    """The predicted class, and whether it is correct if the label is known."""
    if not len(record.probabilities):
        return
    correct = {-1: "", int(record.probabilities.argmax()): ", which is correct"}
    yield (
        "The model predicts {predicted} (probability {probability:.1%})"
        + correct.get(record.label, ", which is wrong: the label is {label}")
        + "; second is {second} ({second_probability:.1%})."
    )


def describe_concentration(facts: Facts) -> Iterator[str]:
    """How concentrated the heads are, and how that changes with depth."""
    if facts["no_weight_heads"]:
        yield describe_heads(facts, "no_weight", "gives", "the image no weight; all of it is on the class token")
    if facts["no_weight_heads"] == facts["all_heads"]:
        return
    if facts["no_weight_heads"]:
        yield "The following measurements exclude such heads."
    yield _most_concentrated(facts)
    yield describe_heads(facts, "uniform", "is", "nearly uniform (at least {near_uniform:.0%} of the tokens effective)")
    if facts["layers"] > 1 and is_known(facts, "effective"):
        yield (
            f"From the first layer to the last, this attention {trend(facts, 'effective', 'widens', 'narrows')} "
            "({effective_first:.1f} and {effective_last:.1f} effective tokens, means over heads)."
        )


def _most_concentrated(facts: Facts) -> str:
    narrow = (
        "{min_effective:.1f} effective tokens of {tokens}; {peak_share:.0%} of its weight on the image is on token "
        "{peak_token}"
    )
    if facts["all_heads"] == 1:
        return f"The head has {narrow}."
    if facts["measured_heads"] == 1:
        return f"Layer {{min_effective_layer}}, head {{min_effective_head}} has {narrow}."
    if heads_are_equal(facts, "min_effective", "max_effective"):
        return "All heads are equally concentrated, with {min_effective:.1f} effective tokens of {tokens}."
    return (
        f"The most concentrated head is layer {{min_effective_layer}}, head {{min_effective_head}}, with {narrow}. The "
        "most even is layer {max_effective_layer}, head {max_effective_head}, with {max_effective:.1f}."
    )


def describe_ink(facts: Facts) -> Iterator[str]:
    """Which heads favour or avoid ink."""
    if facts["ink_area"] > 0 and facts["measured_heads"]:
        yield (
            "Uniform attention would put {ink_area:.0%} of its weight on ink; the largest fraction is {max_ink:.0%}, "
            "in layer {max_ink_layer}, head {max_ink_head}."
        )
        yield describe_heads(
            facts, "ink", "favours", "ink (at least {ink_ratio} times its weight under uniform attention)"
        )
        yield describe_heads(
            facts, "background", "avoids", "ink (at most its weight under uniform attention divided by {ink_ratio})"
        )


def describe_agreement(facts: Facts) -> Iterator[str]:
    """Which heads agree."""
    if facts["measured_heads"] < 2:
        return
    first, second = (f"layer {{pair_{i}_layer}}, head {{pair_{i}_head}}" for i in ("first", "second"))
    rule = "Two heads agree if the similarity of their maps, <agreement> with <entropies>, is at least {agreement}"
    if facts["measured_heads"] == 2:
        agree = "agree" if facts["agreeing_pairs"] else "do not agree"
        yield f"{rule}; {first} and {second} {agree}, with {{max_agreement:.2f}}."
    else:
        agree = "does" if facts["agreeing_pairs"] == 1 else "do"
        yield f"{rule}; of {{pairs}} pairs, {{agreeing_pairs}} {agree}."
        yield f"The most similar are {first} and {second}, with {{max_agreement:.2f}}."


def describe_self_weight(facts: Facts) -> str:
    """The end of a sentence on the weight of a token on itself: its value, or its range over heads."""
    if facts["all_heads"] == 1 or heads_are_equal(facts, "min_self", "max_self"):
        return "is {max_self:.0%}"
    return (
        "ranges from {min_self:.0%} (layer {min_self_layer}, head {min_self_head}) to {max_self:.0%} (layer "
        "{max_self_layer}, head {max_self_head})"
    )


def describe_distance(facts: Facts) -> str:
    """The end of a sentence on a mean distance: its value by depth, and that of uniform attention."""
    depth = ""
    if facts["layers"] > 1:
        change = trend(facts, "distance", "grows", "shrinks")
        depth = f" in the first layer and {{distance_last:.1f}} in the last: with depth it {change}"
    return f"{{distance_first:.1f}} pixels{depth}. For uniform attention it would be {{uniform_distance:.1f}}."


def describe_locality(facts: Facts, threshold: str) -> Iterator[str]:
    """Which heads are local, with the `threshold` in words; nothing where all distances are zero."""
    if facts["no_distance_heads"]:
        yield describe_heads(
            facts, "no_distance", "has", "no distance, because the image's tokens give all weight to the class token"
        )
    if facts["no_distance_heads"] < facts["all_heads"] and facts["uniform_distance"] > 0:
        yield describe_heads(facts, "local", "is", f"local ({threshold})")


# ---- limits


def describe_faithfulness(record: AttentionRecord, ranking: Array, name: str) -> Iterator[str]:
    """The faithfulness test of a map, (N,), and its verdict by rule; `name` says which map it is."""
    score = record.faithfulness
    if score is None or not record.was_tested(ranking):
        yield _UNTESTED
        return
    yield (
        f"As a test, the image's tokens were removed from the sequence in the order of {name}, largest first: the "
        "area under the probability of the predicted class is {deletion:.3f}, against {random_deletion:.3f} on average "
        "for random orders (central {band:.0%}: {random_deletion_low:.3f} to {random_deletion_high:.3f}) and "
        "{ink_deletion:.3f} for the order of ink. Less is better; the map beats {beaten_deletion:.0%} of {orders:,} "
        "random orders."
    )
    yield (
        "When tokens are inserted in the same order, starting from none, more is better: the area is {insertion:.3f}, "
        "against {random_insertion:.3f} for random orders and {ink_insertion:.3f} for ink; the map beats "
        "{beaten_insertion:.0%}."
    )
    values = "exact Shapley values" if score.shapley_error == 0 else "Shapley values (estimated, ± {shapley_error:.3f})"
    yield f"Its rank correlation with the tokens' {values} is {{shapley:.2f}}; that of ink is {{ink_shapley:.2f}}."
    yield _verdict(score)


def _verdict(score: Faithfulness) -> str:
    """What deletion, insertion and the Shapley values together support."""
    beats_random = THRESHOLDS["beats_random"].value
    deletion = score.fraction_of_random_beaten_deletion >= beats_random
    insertion = score.fraction_of_random_beaten_insertion >= beats_random
    shapley = score.shapley >= THRESHOLDS["shapley_correlation"].value
    chance = {
        (True, True): "better than chance in both tests",
        (True, False): "better than chance at deletion, but not shown to be at insertion",
        (False, True): "better than chance at insertion, but not shown to be at deletion",
        (False, False): "not shown to be better than chance in either test",
    }[deletion, insertion]
    joined = "and" if shapley == (deletion or insertion) else "but"
    follows = "follows" if shapley else "does not follow"
    conclusion = {
        0: "it must not be read as an explanation of the prediction.",
        3: "it may be read as an outline of what the prediction rests on.",
    }.get(deletion + insertion + shapley, "it explains the prediction at most in part.")
    ink = ""
    if score.deletion >= score.ink_deletion and score.insertion <= score.ink_insertion:
        ink = " The order of ink, which needs no model, does as well or better."
    return (
        f"So for this image the order is {chance} (at least {{beats_random:.0%}} of the random orders beaten), "
        f"{joined} {follows} the Shapley values (at least {{shapley_correlation}}): {conclusion}{ink}"
    )


# ---- alternative texts


def describe_alternative(facts: Facts) -> str:
    """The panels, for readers who cannot see them."""
    tokens = count(facts, "tokens", "token")
    scale = "from white for none to dark blue for {scale_max:.2f}" if facts["scale_max"] > 0 else "all white: no weight"
    if facts["all_heads"] == 1:
        return f"one heat map over {tokens}, {scale}."
    return (
        f"{{all_heads}} heat maps over {tokens}, {count(facts, 'layers', 'row')} of layers by "
        f"{count(facts, 'heads', 'column')} of heads, on one scale, {scale}."
    )


def describe_extremes(facts: Facts) -> str:
    """The most concentrated head and the most even, for readers who cannot see them."""
    if not facts["measured_heads"]:
        return describe_heads(facts, "no_weight", "gives", "the image no weight")
    if facts["all_heads"] == 1:
        return "The darkest is token {peak_token}, with {peak_share:.0%} of the head's weight on the image."
    if facts["measured_heads"] > 1 and heads_are_equal(facts, "min_effective", "max_effective"):
        return "All heads are equally concentrated, over {max_effective:.1f} tokens."
    return (
        "The most concentrated, layer {min_effective_layer}, head {min_effective_head}, has {peak_share:.0%} of its "
        "weight on the image on token {peak_token}; the most even, layer {max_effective_layer}, head "
        "{max_effective_head}, spreads over {max_effective:.1f} tokens."
    )

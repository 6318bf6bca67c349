"""Sentences that several captions share: templates selected by rules over measured facts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.measurements import Facts
from headwise.figures.record import AttentionRecord
from headwise.text import distinguishing_decimals

LIMITS = (
    "Attention weights are not reasons: a token with a large weight need not have determined the class, because the "
    "values, the other tokens and the residual path contribute the rest.",
    "In every layer but the first, a token already contains information from other tokens, so its weight is no longer "
    "that of its own part of the {input} alone.",
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
    """Choose a phrase for the change with depth, by its ends and by its rank correlation with the layer."""
    first, last, ratio = facts[f"{measure}_first"], facts[f"{measure}_last"], facts["depth_ratio"]
    correlation, threshold = facts[f"{measure}_trend"], facts["depth_correlation"]
    if last >= ratio * first and last > first and correlation >= threshold:
        return up
    if last * ratio <= first and last < first and correlation <= -threshold:
        return down
    low, high = facts.get(f"{measure}_low", first), facts.get(f"{measure}_high", first)
    return "stays about the same" if high < ratio * low else "has no steady trend"


def describe_trend(facts: Facts, measure: str, unit: str) -> str:
    """The change with depth, as a predicate: its direction, its ends, and the extremes where it has no direction."""
    change = trend(facts, measure, "grows", "shrinks")
    ends = f"{{{measure}_first:.1f}} and {{{measure}_last:.1f}} {unit}"
    if change != "has no steady trend":
        return f"{change} ({ends})"
    return (
        f"{change} ({ends}; least, {{{measure}_low:.1f}}, in layer {{{measure}_low_layer}}, and largest, "
        f"{{{measure}_high:.1f}}, in layer {{{measure}_high_layer}})"
    )


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
    names = ", " if facts[f"{name}_names"].startswith("mostly") else ": "
    return f"Of {{all_heads}} heads, {{{name}_heads}} {plural} {predicate}{names}{{{name}_names}}."


# ---- what is shown

_CUT = "The model reads the first {read_characters:,} of the text's {characters:,} characters."


def _describe_atypical(record: AttentionRecord) -> str:
    share = "Only {atypical_share:.2%} of MNIST's test digits are" if record.typicality else "No MNIST test digit is"
    return f"{share} as far from the mean features of the nearest class, so the prediction says little."


def title_suffix(record: AttentionRecord) -> str:
    """The end of a title."""
    if record.kind == "image" and not len(record.probabilities):
        return ", in an image"
    if record.kind == "image" and not record.top_names and record.image.ndim == 2:
        if record.is_atypical:
            return ", in an image that looks like none of the model's digits, classified as {predicted}"
        return ", in a digit classified as {predicted}" if record.ink.any() else ", in an image of class {predicted}"
    text = "a text of two parts" if record.segments.size else "a text"
    return ", in " + {"image": "an image", "text": text, "series": "a series"}.get(record.kind, "an input")


def reader_name(record: AttentionRecord) -> str:
    """Whose attention the maps show."""
    if record.has_class_token:
        return "the class token"
    return "the last token" if record.reader is not None else "the tokens"


def prefix_name(record: AttentionRecord) -> str:
    """The keys that are no tokens of the input, in words."""
    count = int(record.is_prefix.sum())
    if record.kind == "text":
        return "special token" if count == 1 else "special tokens"
    if not record.has_class_token:
        return "prefix token" if count == 1 else "prefix tokens"
    return "class token" if count == 1 else "class token and the other prefix tokens"


def describe_input(record: AttentionRecord) -> str:
    """The input, and how its tokens are numbered."""
    tokens = count({"tokens": record.num_tokens}, "tokens", "token")
    if record.kind != "image":
        special = f", without the {{prefix}} {prefix_name(record)}" if record.is_prefix.any() else ""
        return f"The {{input}} has <N> = {tokens}{special}, in order."
    zero = "; <token 0> is the class token." if record.has_class_token else "; there is no class token."
    if record.is_prefix.sum() > 1:
        first = record.is_prefix[: record.is_prefix.sum()].all()
        zero = "; the {prefix} prefix tokens, which stand for no part of the image, "
        zero += "come before them." if first else "have no number."
    lines = "divided along the orange lines" if record.image.ndim == 2 else "divided"
    return (
        f"Left: the input, {{height}} × {{width}} pixels, {lines} into <N> = {tokens} of "
        "{box_height} × {box_width} pixels, <all patches> in reading order" + zero
    )


def describe_weights(record: AttentionRecord) -> str:
    """The weights, with the formula and the head width where they are known to be a plain scaled softmax."""
    return "the attention weights " + ("<weights> with <d> = {head_width}" if record.head_width else "<A>")


def describe_colors(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    """How weights are mapped to colours."""
    overlap = record.kind == "image" and int(record.boxes[:, 2:].prod(axis=1).sum()) > np.prod(record.size)
    if record.kind == "image":
        yield (
            "The weights are drawn without further normalisation; each fills the pixels of its token evenly"
            + (", and overlapping tokens are averaged." if overlap else ".")
        )
    yield describe_scale(facts)
    if record.ink.any():
        yield "The thin line is the outline of the digit, where ink exceeds {ink_level:.1f}."


def describe_scale(facts: Facts) -> str:
    """The colour scale: shared, or one for each layer or panel, and at which quantile it ends."""
    if not facts["scale_max"] > 0:
        return "All panels share one colour scale, from <zero> to one, because all weights drawn are zero."
    if facts["scale_mode"] == "shared":
        return "All panels share one colour scale, from <zero> to {scale_max:.3f}, the largest weight drawn."
    return (
        f"Each {facts['scale_mode']} has its own colour scale, from <zero> to the {{scale_quantile:.0%}} quantile "
        "of its weights, which is written next to it; larger weights have the last colour."
    )


def summarize_heads(facts: Facts) -> str:
    """How many heads are shown, for a short caption."""
    if facts["panels"] == facts["all_heads"]:
        return "One panel per layer and head" if facts["all_heads"] > 1 else "The one head"
    return "{panels} of {all_heads} heads, chosen by role and depth"


def summarize_scale(facts: Facts) -> str:
    """The colour scales, for a short caption."""
    if facts["panels"] == 1 or not facts["scale_max"] > 0:
        return ""
    if facts["scale_mode"] == "shared":
        return "All panels share one colour scale, from <zero> to {scale_max:.3f}."
    return f"Each {facts['scale_mode']} has its own scale, cut at the {{scale_quantile:.0%}} quantile."


def describe_input_changes(record: AttentionRecord) -> Iterator[str]:
    """What was done to the image or the arrays before drawing, if anything."""
    if record.pixels_permuted:
        yield (
            "The pixels of every image were permuted in the same way before the image was divided into tokens; it is "
            "drawn as the model sees it, and distances are those in the permuted image."
        )
    if record.kind == "image" and not record.image.any():
        yield "The arrays came without an image, so only the locations of the tokens are drawn."
        if (record.boxes[:, 2:] == 1).all():
            yield "The size of the tokens is unknown as well: one pixel stands for one token."
    if record.is_atypical:
        yield _describe_atypical(record)
    if record.is_cut:
        yield _CUT
    if record.unverified:
        yield (
            "The arrays are not verified: they were not compared with the output of the model that they are said to "
            "come from."
        )
    if record.other_layers:
        calls = "call, which is" if record.other_layers == 1 else "calls, which are"
        yield f"The model has {{other_layers}} more attention {calls} not shown: of another shape, or not chosen."
    if not record.rows_sum_to_one:
        yield (
            "Rows of weights sum to {row_sum_low:.2f} to {row_sum_high:.2f}: part of a softmax may be on a learned "
            "sink, or the weights were changed after it. Entropies, effective numbers and distances are those of rows "
            "normalised to sum to one."
        )
    if record.visible.ndim == 3:
        yield (
            "Layers differ in which tokens a query may attend to; a value of an even spread is given as a range over "
            "layers, and each head is compared with that of its own layer."
        )
    if record.dropped_weight > 0:
        yield (
            "Some tokens had been removed from the arrays; they had {dropped_weight:.1%} of the weight of a row on "
            "average, and the rest of each row was normalised to sum to one again."
        )


def summarize_source(record: AttentionRecord) -> str:
    """The short caption on unusual images, cut texts, unverified arrays, and rows that do not sum to one."""
    sentences = {
        _describe_atypical(record): record.is_atypical,
        _CUT: record.is_cut,
        "The arrays are not verified.": record.unverified,
        "Rows sum to {row_sum_low:.2f} to {row_sum_high:.2f}.": not record.rows_sum_to_one,
    }
    return " ".join(sentence for sentence, applies in sentences.items() if applies)


# ---- findings


def describe_prediction(record: AttentionRecord) -> Iterator[str]:
    """The predicted class, and whether it is correct if the label is known."""
    if not len(record.probabilities):
        return
    correct = {-1: "", int(record.probabilities.argmax()): ", which is correct"}
    wrong = ", which is wrong" if record.top_names else ", which is wrong: the label is {label}"
    what = "the next token {predicted}" if record.next_token else "{predicted}"
    yield (
        f"The model predicts {what} (probability {{probability:.1%}})"
        + correct.get(record.label, wrong)
        + "; second is {second} ({second_probability:.1%})."
    )


def describe_concentration(facts: Facts) -> Iterator[str]:
    """How concentrated the heads are, and how that changes with depth."""
    if facts["no_weight_heads"]:
        yield describe_heads(facts, "no_weight", "gives", "the {input} no weight; all of it is on prefix tokens")
    if facts["no_weight_heads"] == facts["all_heads"]:
        return
    if facts["no_weight_heads"]:
        yield "The following measurements exclude such heads."
    yield _most_concentrated(facts)
    yield describe_heads(facts, "uniform", "is", "nearly uniform (at least {near_uniform:.0%} of the tokens effective)")
    if facts["layers"] > 1 and is_known(facts, "effective"):
        yield (
            "From the first layer to the last, the effective number of tokens, a mean over heads, "
            f"{describe_trend(facts, 'effective', 'tokens')}."
        )


def _most_concentrated(facts: Facts) -> str:
    narrow = (
        "{min_effective:.1f} effective tokens of {tokens}; {peak_share:.0%} of its weight on the {input} is on "
        + token_name(facts, "peak")
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


def token_name(facts: Facts, prefix: str) -> str:
    """A token by its number and its text, if it has one, from the facts that `measurements.name_token` returns."""
    word = f" “{{{prefix}_word}}”" if f"{prefix}_word" in facts else ""
    return f"token {{{prefix}_token}}{word}"


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
    decimals = distinguishing_decimals(facts["max_agreement"], facts["agreement"])
    value = f"{{max_agreement:.{decimals}f}}"
    rule = "Two heads agree if the similarity of their maps, <agreement> with <entropies>, is at least {agreement}"
    if facts["measured_heads"] == 2:
        agree = "agree" if facts["agreeing_pairs"] else "do not agree"
        yield f"{rule}; {first} and {second} {agree}, with {value}."
    elif facts["agreeing_pairs"] == 0:
        yield f"{rule}; none of {{pairs}} pairs does, and the most similar, {first} and {second}, have {value}."
    else:
        agree = "does" if facts["agreeing_pairs"] == 1 else "do"
        yield f"{rule}; of {{pairs}} pairs, {{agreeing_pairs}} {agree}."
        yield f"The most similar are {first} and {second}, with {value}."


def describe_self_weight(facts: Facts) -> str:
    """The end of a sentence on the weight of a token on itself: its value, or its range over heads."""
    if facts["all_heads"] == 1 or heads_are_equal(facts, "min_self", "max_self"):
        return "is {max_self:.0%}"
    return (
        "ranges from {min_self:.0%} (layer {min_self_layer}, head {min_self_head}) to {max_self:.0%} (layer "
        "{max_self_layer}, head {max_self_head})"
    )


def describe_distance(facts: Facts) -> str:
    """The end of a sentence on a mean distance: its value by depth, and that of an even spread."""
    reference = "An even spread over the visible tokens would have {uniform_distance:.1f}."
    if facts["layers"] == 1:
        return f"{{distance_first:.1f}} {{unit}}. {reference}"
    return f"that, as a mean over heads, {describe_trend(facts, 'distance', '{unit}')}. {reference}"


def describe_class_weight(record: AttentionRecord, weight: str) -> str:
    """The number below a panel of an image that has a class token."""
    complete = record.rows_sum_to_one and record.is_prefix.sum() == 1
    return f"Below each panel, cls is {weight}, which has no place in the image" + (
        "; together with it, the weights of a panel sum to one." if complete else "."
    )


def describe_locality(facts: Facts, threshold: str) -> Iterator[str]:
    """Which heads are local, with the `threshold` in words; nothing where all distances are zero."""
    if facts["no_distance_heads"]:
        yield describe_heads(
            facts, "no_distance", "has", "no distance, because the {input}'s tokens give all weight to prefix tokens"
        )
    if facts["no_distance_heads"] < facts["all_heads"] and facts["uniform_distance"] > 0:
        yield describe_heads(facts, "local", "is", f"local ({threshold})")


# ---- alternative texts


def describe_alternative(facts: Facts) -> str:
    """The panels, for readers who cannot see them."""
    tokens = count(facts, "tokens", "token")
    scale = "from white for none to dark blue for {scale_max:.2f}" if facts["scale_max"] > 0 else "all white: no weight"
    if facts["scale_max"] > 0 and facts["scale_mode"] != "shared":
        scale = f"from white for none to dark blue for the largest weights of a {facts['scale_mode']}"
    if facts["panels"] < facts["all_heads"]:
        return f"{{panels}} heat maps over {tokens}, for heads chosen from {{all_heads}} by role, {scale}."
    if facts["all_heads"] == 1:
        return f"one heat map over {tokens}, {scale}."
    return (
        f"{{all_heads}} heat maps over {tokens}, {count(facts, 'layers', 'row')} of layers by "
        f"{count(facts, 'heads', 'column')} of heads{', on one scale' * (facts['scale_mode'] == 'shared')}, {scale}."
    )


def describe_extremes(facts: Facts) -> str:
    """The most concentrated head and the most even, for readers who cannot see them."""
    if not facts["measured_heads"]:
        return describe_heads(facts, "no_weight", "gives", "the {input} no weight")
    if facts["all_heads"] == 1:
        darkest = token_name(facts, "peak")
        return f"The darkest is {darkest}, with {{peak_share:.0%}} of the head's weight on the {{input}}."
    if facts["measured_heads"] > 1 and heads_are_equal(facts, "min_effective", "max_effective"):
        return "All heads are equally concentrated, over {max_effective:.1f} tokens."
    return (
        "The most concentrated, layer {min_effective_layer}, head {min_effective_head}, has {peak_share:.0%} of its "
        f"weight on the {{input}} on {token_name(facts, 'peak')}; the most even, layer {{max_effective_layer}}, head "
        "{max_effective_head}, spreads over {max_effective:.1f} tokens."
    )

"""The caption of distance and entropy by depth."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.distances import distance_facts, locality
from headwise.figures.captions.faithfulness import UNRANKED
from headwise.figures.captions.measurements import (
    Facts,
    base_measurements,
    extreme_head,
    first_and_last_layer,
    head_similarity,
    input_notes,
    is_known,
    pluralize_heads,
    title_suffix,
    trend,
    verdict,
)
from headwise.figures.depth import profiles
from headwise.figures.record import AttentionRecord

__all__ = ["depth_caption", "depth_facts"]

_LIMITS = (
    "The values are of one image; another image may have others.",
    "A small distance does not make a head a detector of local features, nor a large one a head that sees the whole: "
    "only where weights are is measured, not what is carried.",
)


def depth_facts(drawn: AttentionRecord) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    found = profiles(drawn)
    facts = base_measurements(drawn) | {"even_entropy": found.even_entropy} | distance_facts(found)
    for name, values in (("distance", found.distance), ("entropy", found.entropy)):
        facts |= (
            first_and_last_layer(name, values)
            | extreme_head(f"{name}_least", values, least=True)
            | extreme_head(f"{name}_most", values)
        )
    return facts | {"dropped": float(found.dropped.mean())}


def depth_caption(drawn: AttentionRecord) -> Caption:
    """Measure the profiles, and let the rules write."""
    facts = depth_facts(drawn)
    title = "Attention distance and entropy by depth" + title_suffix(drawn)
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, _shown(drawn), input_notes(drawn)),
        to_statements(facts, _reading()),
        to_statements(facts, verdict(drawn), _findings(facts)),
        to_statements(facts, _LIMITS, UNRANKED),
        to_statements(
            facts,
            f"{title}: two plots against {pluralize_heads(facts, 'layers', 'layer')} with a dot for "
            + ("each of {heads} heads." if facts["heads"] > 1 else "the head."),
            _ends(facts),
        ),
    )


def _shown(drawn: AttentionRecord) -> Iterator[str]:
    left_out = (
        ", the class token left out, which has no place, and with it {dropped:.0%} of the weight"
        if drawn.classed
        else ""
    )
    yield (
        "Left: for each head, a dot, the mean distance in pixels between the centre of a token and of those that it "
        f"attends to, <distance>{left_out}."
    )
    rows = "all {rows} rows, the class token's too" if drawn.classed else "all rows, {rows}"
    yield f"Right: for each head the mean entropy of its rows, <entropy>, in bits, over {rows}."
    mean = " the mean over the {heads} heads of a layer" if drawn.weights.shape[1] > 1 else " through them"
    yield f"Layers count from <from 0>; the line is{mean}."


def _reading() -> Iterator[str]:
    yield (
        "The dashed lines are a head that attended to every token alike: {even_distance:.1f} pixels and "
        "{even_entropy:.2f} bits."
    )
    yield "Low on the left is a head that looks nearby; low on the right, one that looks at few tokens."


def _findings(facts: Facts) -> Iterator[str]:
    far = facts["placeless_heads"] < facts["all_heads"]
    if facts["all_heads"] == 1:
        yield (
            "The distance is {distance_most:.1f} pixels, the" if far else "The"
        ) + " entropy {entropy_most:.1f} bits."
    else:
        distances = _from_to(facts, "distance", "pixels")
        entropies = _from_to(facts, "entropy", "bits")
        yield f"Distances {distances}, entropies {entropies}." if far else f"Entropies {entropies}."
    if facts["layers"] > 1:
        distance = (
            f"mean distance {trend(facts, 'distance', 'grows', 'shrinks')} ({{distance_first:.1f}} and "
            "{distance_last:.1f} pixels), and the "
        )
        yield (
            f"With depth the {distance if is_known(facts, 'distance') else ''}mean entropy "
            f"{trend(facts, 'entropy', 'grows', 'shrinks')} ({{entropy_first:.1f}} and {{entropy_last:.1f}} bits)."
        )
    yield from locality(facts, "local (at most {local:.0%} of an even spread's distance)")


def _from_to(facts: Facts, name: str, unit: str) -> str:
    if head_similarity(facts, f"{name}_least", f"{name}_most"):
        return f"are {{{name}_most:.1f}} {unit} in every head"
    least, most = (f"(layer {{{name}_{end}_layer}}, head {{{name}_{end}_head}})" for end in ("least", "most"))
    return f"go from {{{name}_least:.1f}} {unit} {least} to {{{name}_most:.1f}} {most}"


def _ends(facts: Facts) -> str:
    """Where the lines begin and end, for who cannot see them."""
    deep = facts["layers"] > 1
    distance = "goes from {distance_first:.1f} to {distance_last:.1f}" if deep else "is {distance_first:.1f}"
    entropy = "goes from {entropy_first:.1f} to {entropy_last:.1f}" if deep else "is {entropy_first:.1f}"
    if not is_known(facts, "distance"):
        return f"Mean entropy {entropy} bits."
    return f"Mean distance {distance} pixels, mean entropy {entropy.removeprefix('goes ')} bits."

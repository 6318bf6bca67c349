"""The caption of distance and entropy by depth."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.picture.captions.facts import Facts, arrays, basics, counted, digit, ends, named, place, trend, verdict
from headwise.picture.captions.trust import UNRANKED
from headwise.picture.captions.written import Caption, stated
from headwise.picture.depth import profiles
from headwise.picture.drawn import Drawn

__all__ = ["depth_caption", "depth_facts"]

_LIMITS = (
    "The values are of one image; another image may have others.",
    "A small distance does not make a head a detector of local features, nor a large one a head that sees the whole: "
    "only where weights are is measured, not what is carried.",
)


def depth_facts(drawn: Drawn) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    found = profiles(drawn)
    facts = basics(drawn) | {"even_distance": found.even_distance, "even_entropy": found.even_entropy}
    for name, values in (("distance", found.distance), ("entropy", found.entropy)):
        facts |= ends(name, values) | place(f"{name}_least", values, least=True) | place(f"{name}_most", values)
    facts |= named("local", found.distance <= facts["local"] * found.even_distance)
    return facts | {"dropped": float(found.dropped.mean())}


def depth_caption(drawn: Drawn) -> Caption:
    """Measure the profiles, and let the rules write."""
    facts = depth_facts(drawn)
    title = "Attention distance and entropy by depth" + digit(drawn)
    return Caption(
        stated(facts, title)[0],
        stated(facts, _shown(drawn), arrays(drawn)),
        stated(facts, _reading()),
        stated(facts, verdict(drawn), _findings(facts)),
        stated(facts, _LIMITS, UNRANKED),
        stated(
            facts,
            f"{title}: two plots against {{layers}} layers with a dot for each of {{heads}} heads.",
            "Mean distance goes from {distance_first:.1f} to {distance_last:.1f} pixels, mean entropy from "
            "{entropy_first:.1f} to {entropy_last:.1f} bits.",
        ),
    )


def _shown(drawn: Drawn) -> Iterator[str]:
    left_out = (
        ", the class token left out, which has no place, and with it {dropped:.0%} of the weight"
        if drawn.classed
        else ""
    )
    yield (
        "Left: for each head, a dot, the mean distance in pixels between the centre of a token and of those that it "
        f"attends to, <distance>{left_out}."
    )
    rows = "all {rows} rows, the class token's too" if drawn.classed else "all {rows} rows"
    yield f"Right: for each head the mean entropy of its rows, <entropy>, in bits, over {rows}."
    yield "Layers count from <from 0>; the line is the mean over the {heads} heads of a layer."


def _reading() -> Iterator[str]:
    yield (
        "The dashed lines are a head that attended to every token alike: {even_distance:.1f} pixels and "
        "{even_entropy:.2f} bits."
    )
    yield "Low on the left is a head that looks nearby; low on the right, one that looks at few tokens."


def _findings(facts: Facts) -> Iterator[str]:
    if facts["all_heads"] > 1:
        yield (
            "Distances go from {distance_least:.1f} pixels (layer {distance_least_layer}, head "
            "{distance_least_head}) to "
            "{distance_most:.1f} (layer {distance_most_layer}, head {distance_most_head}), entropies from "
            "{entropy_least:.1f} bits (layer {entropy_least_layer}, head {entropy_least_head}) to {entropy_most:.1f} "
            "(layer {entropy_most_layer}, head {entropy_most_head})."
        )
    if facts["layers"] > 1:
        yield (
            f"With depth the mean distance {trend(facts, 'distance', 'grows', 'shrinks')} ({{distance_first:.1f}} and "
            f"{{distance_last:.1f}} pixels), and the mean entropy {trend(facts, 'entropy', 'grows', 'shrinks')} "
            "({entropy_first:.1f} and {entropy_last:.1f} bits)."
        )
    yield counted(facts, "local", "local (at most {local:.0%} of an even spread's distance)")

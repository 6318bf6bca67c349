"""What captions say of the distances over which the image's tokens attend to one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.measurements import Facts, describe_count, list_heads, trend
from headwise.figures.depth import Profiles
from headwise.thresholds import THRESHOLDS

__all__ = ["describe_distance", "distance_facts", "locality"]


def distance_facts(found: Profiles) -> Facts:
    """Which heads are local, and which have no distance."""
    return {
        "even_distance": found.even_distance,
        **list_heads("local", found.distance <= THRESHOLDS["local"].threshold * found.even_distance),
        **list_heads("placeless", np.isnan(found.distance)),
    }


def describe_distance(facts: Facts) -> str:
    """How far, in the first layer and in the last, beside an even spread; what looks so far comes before."""
    depth = ""
    if facts["layers"] > 1:
        course = trend(facts, "distance", "grows", "shrinks")
        depth = f" in the first layer and {{distance_last:.1f}} in the last: with depth it {course}"
    return f"{{distance_first:.1f}} pixels{depth}. An even spread would have {{even_distance:.1f}}."


def locality(facts: Facts, local: str) -> Iterator[str]:
    """The same in words, `local` saying by which threshold; of a single place nothing is said."""
    if facts["placeless_heads"]:
        yield describe_count(
            facts, "placeless", "without a distance, the image's tokens giving all weight to the class token"
        )
    if facts["placeless_heads"] < facts["all_heads"] and facts["even_distance"] > 0:
        yield describe_count(facts, "local", local)

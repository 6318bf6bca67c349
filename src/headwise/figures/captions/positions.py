"""The caption of the positions' similarity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.figures.captions.caption import Caption, to_statements
from headwise.figures.captions.measurements import Facts, base_measurements, input_notes
from headwise.figures.positions import similarities, token_distance
from headwise.figures.record import AttentionRecord
from headwise.metrics.faithfulness import spearman

__all__ = ["positions_caption", "positions_facts"]

_LIMITS = (
    "Positions are added to the tokens before the first layer; that two are alike says nothing yet of how attention "
    "uses them.",
    "The embedding's bias and the mean pixel share the same sum, so a direction that all positions have in common "
    "means "
    "nothing by itself.",
)


def positions_facts(drawn: AttentionRecord) -> Facts:
    """Every number that the caption may state, from the arrays that were drawn."""
    found, distance = similarities(drawn), token_distance(drawn).round(6)
    n = len(found)
    pairs = np.triu_indices(n, 1)
    cosine, far = found[pairs], distance[pairs]
    others = np.where(np.eye(n, dtype=bool), np.inf, distance)
    nearest = others == others.min(axis=1, keepdims=True)
    alike = np.where(np.eye(n, dtype=bool), -np.inf, found).argmax(axis=1)
    best = int(cosine.argmax())
    return base_measurements(drawn) | {
        "numbers": drawn.positions.shape[1],
        "pairs": len(cosine),
        "lowest": float(cosine.min()),
        "highest": float(cosine.max()),
        "one": int(pairs[0][best]) + 1,
        "two": int(pairs[1][best]) + 1,
        "near_cosine": float(cosine[far == far.min()].mean()),
        "far_cosine": float(cosine[far == far.max()].mean()),
        "near": float(far.min()),
        "far": float(far.max()),
        "correlation": spearman(far, cosine),
        "neighbours": int(nearest[np.arange(n), alike].sum()),
        "by_chance": float((nearest.sum(axis=1) / (n - 1)).sum()),
    }


def positions_caption(drawn: AttentionRecord) -> Caption:
    """Measure the positions, and let the rules write.

    Raises
    ------
    DataError
        If the positions are not known, or there is one token.
    """
    facts = positions_facts(drawn)
    title = "How alike the learned positions are"
    return Caption(
        to_statements(facts, title)[0],
        to_statements(facts, _shown(), input_notes(drawn)),
        to_statements(facts, _reading()),
        to_statements(facts, _findings(facts)),
        to_statements(facts, _LIMITS),
        to_statements(
            facts,
            f"{title}: a matrix of {{tokens}} × {{tokens}} cosines, and a plot of each against distance.",
            _order(facts),
        ),
    )


def _shown() -> Iterator[str]:
    yield (
        "Left: <cosine> for every two of the {tokens} tokens' position embeddings, <e> of {numbers} numbers each, "
        "tokens of {box_height} × {box_width} pixels in reading order."
    )
    yield (
        "The grey diagonal is each with itself; the scale runs from {lowest:.2f} to {highest:.2f}, the least and the "
        "most of all others, and the class token is left out."
    )
    yield (
        "Right: the same {pairs} cosines against the distance between the two tokens' centres, and their mean at each."
    )


def _reading() -> Iterator[str]:
    yield (
        "If the model has learned where its tokens lie, near ones are alike: dark beside the diagonal, falling on "
        "the right."
    )
    yield "Cosines of random directions would lie around <from 0>."


def _findings(facts: Facts) -> Iterator[str]:
    yield _order(facts)
    yield (
        "The nearest tokens ({near:.1f} pixels) have a cosine of {near_cosine:.2f} on average, the farthest ({far:.1f} "
        "pixels) one of {far_cosine:.2f}."
    )
    yield "The most alike are tokens {one} and {two}, with {highest:.2f}."
    yield (
        "For {neighbours} of {tokens} tokens the most alike is one of the nearest; by chance it would be "
        "{by_chance:.1f}."
    )


def _order(facts: Facts) -> str:
    correlation, beyond = facts["correlation"], facts["ordered"]
    said = "Ordered by distance they are not"
    if correlation <= -beyond:
        said = "The nearer two tokens are, the more alike are their positions"
    elif correlation >= beyond:
        said = "The farther apart two tokens are, the more alike are their positions"
    return said + " (rank correlation of cosine and distance {correlation:.2f}; beyond {ordered} either way it counts)."

"""The catalogue of mistakes: a table of small entries, one mistake each.

Adding a mistake is adding one `Mistake` to one of the tables here: its code, its sentence, what the reference does with
the mistake put in, and how to correct it.
"""

from headwise.checker.catalogue import (
    heads,
    interface,
    limits,
    masking,
    positions,
    projections,
    scaling,
    softmax,
)
from headwise.checker.catalogue.entry import Mistake

__all__ = ["CATALOGUE", "Mistake"]

_UNEXPLAINED = (
    Mistake(
        "tokens-scrambled",
        "The function treats tokens by their place in the sequence, in a way that no entry of the catalogue explains.",
        "f(Π X) = Π f(X) for every permutation Π of the tokens",
        "Self-attention without positions and masks gives the same outputs in another order for tokens in another"
        " order.",
        "Look for an axis that is reshaped where it should be moved, or an index that runs over the wrong axis.",
        ("split", "merge"),
    ),
    Mistake(
        "unknown",
        "The function differs from attention, and no entry of the catalogue, alone or with others, explains it.",
        "O = softmax(Q Kᵀ / √d) V",
        "The properties that hold and the example below narrow it down.",
        "Compare the intermediate results for the example: projections, logits, weights, output.",
        (),
    ),
)

CATALOGUE: dict[str, Mistake] = {
    entry.code: entry
    for table in (projections, scaling, softmax, heads, positions, masking, limits, interface)
    for entry in table.ENTRIES
} | {entry.code: entry for entry in _UNEXPLAINED}

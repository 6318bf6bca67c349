"""Which weights of two inputs with the same tokens differ significantly."""

from __future__ import annotations

from typing import Any

import numpy as np

from headwise.figures import AttentionRecord
from headwise.metrics.permutation import sign_flip_test
from headwise.shapes import Array, IntArray
from headwise.text import Statement, as_html

_LEVEL = 0.05
_PERMUTATIONS = 999
_MAX_WEIGHTS = 2_500_000  # of one record, up to which they are tested: 12 × 12 heads and 131 tokens


def find_differences(a: AttentionRecord, b: AttentionRecord) -> dict[str, Any]:
    """The significant differences of two records with the same tokens, as JSON types and arrays.

    Under ``"of_means"``, by view: the cells of a mean over heads that differ, tested over its heads. Under
    ``"of_heads"``, by view: the keys that receive more or less in one head, tested over its queries. Both are corrected
    for the number of cells or keys, and stored as steps from one to the next. Views that cannot be tested are missing.
    """
    layers, heads = a.weights.shape[:2]
    reason = ""
    if a.weights.shape != b.weights.shape:
        reason = "the models have different layers or heads."
    elif a.weights.size > _MAX_WEIGHTS:
        reason = "the input has too many tokens for it."
    of_means: dict[str, IntArray] = {}
    of_heads: dict[str, IntArray] = {}
    if not reason:
        difference = b.weights.astype(np.float64) - a.weights
        groups = {"mean": difference.reshape(layers * heads, -1)}
        groups |= {f"{i}.mean": layer.reshape(heads, -1) for i, layer in enumerate(difference)}
        of_means = {view: _significant(group) for view, group in groups.items() if _can_differ(len(group))}
        if _can_differ(difference.shape[2]):
            of_heads = {f"{i}.{j}": _significant(difference[i, j]) for i, j in np.ndindex(layers, heads)}
        reason = "it is neither a head nor a mean over enough heads."
    facts = {"level": _LEVEL, "permutations": _PERMUTATIONS}
    sentences = {
        "of_means": _OF_MEANS,
        "of_heads": _OF_HEADS,
        "of_none": f"The differences of this view are not tested: {reason}",
    }
    return {"of_means": of_means, "of_heads": of_heads} | {
        f"sentence_{name}": as_html(Statement(template, facts)) for name, template in sentences.items()
    }


_TEST = "exchanges the two inputs at random ({permutations} times) and compares it with the largest difference of all"
_OF_MEANS = (
    "A dot marks a cell whose mean difference over the heads is significant: a two-sided permutation test that, in "
    f"each head, {_TEST} cells, so that the probability of any dot by chance is at most {{level:.0%}}. Heads of one "
    "model depend on each other."
)
_OF_HEADS = (
    "A triangle marks a key that receives significantly more or less weight, as a mean over queries: a two-sided "
    f"permutation test that, in each query’s row, {_TEST} keys, so that the probability of any triangle by chance is "
    "at most {level:.0%}. Rows of one head depend on each other, and single cells are not tested."
)


def _can_differ(replicates: int) -> bool:
    """Whether so few replicates can have a significant difference."""
    return bool(2.0 ** (1 - replicates) <= _LEVEL)


def _significant(differences: Array) -> IntArray:
    """The places in which differences (K, J) are significant, as steps from one to the next."""
    p = sign_flip_test(differences, permutations=_PERMUTATIONS)
    return np.diff(np.flatnonzero(p <= _LEVEL), prepend=0)

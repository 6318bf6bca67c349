"""Two inputs of the page compared: tested differences of their weights and heads, and the heads that differ most."""

from __future__ import annotations

from typing import Any

import numpy as np

from headwise.explanation.explorer.measures import prefix_name
from headwise.figures import AttentionRecord
from headwise.figures.measurements import profile_heads
from headwise.metrics.concentration import effective_number, normalize_rows
from headwise.metrics.head_agreement import jensen_shannon_distance
from headwise.metrics.permutation import PERMUTATIONS, holm, permutation_test, sign_flip_test
from headwise.shapes import Array, IntArray
from headwise.text import Statement, as_html, as_text

_PERMUTATIONS = 999
_MAX_WEIGHTS = 2_500_000  # of one record, up to which they are tested: 12 × 12 heads and 131 tokens
_LEVEL = 0.05
_MOST_DIFFERENT = 6  # heads that are listed


def compare_records(a: AttentionRecord, b: AttentionRecord) -> dict[str, Any]:
    """The comparison of two records as JSON types.

    Each measure is a mean over the rows of a head. Heads with the same layer and number are paired if both records have
    the same layers and heads; otherwise the heads of both are two groups.
    """
    paired = a.weights.shape[:2] == b.weights.shape[:2]
    of_a, of_b = _head_measures(a), _head_measures(b)
    names = [name for name in of_a if name in of_b and _varies(of_a[name], of_b[name])]
    tests = [permutation_test(of_a[name].ravel(), of_b[name].ravel(), paired=paired) for name in names]
    corrected = holm(np.array([test.p_value for test in tests]))
    rows = []
    for name, test, p in zip(names, tests, corrected, strict=True):
        facts = {"a": float(of_a[name].mean()), "b": float(of_b[name].mean()), "d": test.difference,
                 "low": test.low, "high": test.high}  # fmt: skip
        cells = ("{a:.1%}", "{b:.1%}", "{d:+.1%}", "{low:+.1%} to {high:+.1%}")
        rows.append([name, *(as_text(Statement(cell, facts)) for cell in cells), _p_text(float(p)), bool(p <= _LEVEL)])
    same_tokens = have_same_tokens(a, b)
    return {
        "paired": paired,
        "rows": rows,
        "sentences": " ".join(map(as_html, _describe(a, b, paired, len(names), int((corrected <= _LEVEL).sum())))),
        "different": _most_different(a, b) if same_tokens and paired else [],
        "same_tokens": same_tokens,
        "cells": find_differences(a, b) if same_tokens else None,
    }


def _head_measures(record: AttentionRecord) -> dict[str, Array]:
    """(L, H) by name, each relative to what the input allows, so that inputs of different sizes can be compared."""
    p = normalize_rows(record.weights.astype(np.float64))
    shares = (effective_number(p) / np.maximum(record.counts, 1)[:, None]).mean(axis=-1)
    measures = {"effective tokens, of the visible ones": shares}
    if record.is_self_attention:
        profiles = profile_heads(record)
        if profiles.uniform_distance.min() > 0 and not np.isnan(profiles.distance).any():
            measures["mean distance, of an even spread’s"] = profiles.distance / profiles.uniform_distance[:, None]
        measures["weight on the same token"] = np.diagonal(p, axis1=-2, axis2=-1).mean(axis=-1)
        if p.shape[2] > 1 and not record.is_prefix[0]:
            measures["weight on the first token"] = p[:, :, 1:, 0].mean(axis=-1)
    if record.is_prefix.any():
        measures[f"weight on {prefix_name(record)}"] = p[..., record.is_prefix].sum(axis=-1).mean(axis=-1)
    return measures


def _varies(a: Array, b: Array) -> bool:
    return bool(np.ptp(np.concatenate([a.ravel(), b.ravel()])) > 0)


def _describe(a: AttentionRecord, b: AttentionRecord, paired: bool, count: int, significant: int) -> list[Statement]:
    facts = {
        "a_heads": a.weights.shape[0] * a.weights.shape[1],
        "b_heads": b.weights.shape[0] * b.weights.shape[1],
        "tests": count,
        "level": _LEVEL,
        "significant": significant,
        "permutations": PERMUTATIONS,
        "confidence": 1 - _LEVEL,
    }
    groups = "{a_heads} pairs of heads of the same layer and number" if paired else "{a_heads} and {b_heads} heads"
    exchange = (
        "exchanges the two heads of each pair at random"
        if paired
        else "distributes the heads, which have no counterparts in the other model, among both at random"
    )
    return [
        Statement("{significant} of {tests} differences are significant at {level:.2f}.", facts),
        Statement(
            f"Each measure is compared over {groups}: a two-sided permutation test {exchange} ({{permutations:,}} "
            "times). p-values are corrected for {tests} tests (Holm); intervals are bootstrap intervals of "
            "{confidence:.0%}.",
            facts,
        ),
        Statement("Heads of one model depend on each other, and the test says nothing about other inputs."),
    ]


def have_same_tokens(a: AttentionRecord, b: AttentionRecord) -> bool:
    """Whether the tokens of both correspond: the same places, and of texts at least half of the words."""
    if a.kind != b.kind or a.weights.shape[2:] != b.weights.shape[2:] or a.boxes.shape != b.boxes.shape:
        return False
    if a.kind in ("image", "series"):
        return len(a.query_words) == len(b.query_words)
    pairs = [zip(a.words, b.words, strict=True), zip(a.query_words, b.query_words, strict=True)]
    same = [first == second for words in pairs for first, second in words]
    return bool((a.is_prefix == b.is_prefix).all()) and 2 * sum(same) >= len(same)


def _most_different(a: AttentionRecord, b: AttentionRecord) -> list[list[Any]]:
    """The heads with the largest Jensen–Shannon distances, means over rows."""
    p, q = (normalize_rows(record.weights.astype(np.float64)) for record in (a, b))
    distance = jensen_shannon_distance(p, q).mean(axis=-1)
    order = np.argsort(-distance, axis=None, kind="stable")[:_MOST_DIFFERENT]
    places = np.stack(np.unravel_index(order, distance.shape), axis=1).tolist()
    return [[f"{layer}.{head}", f"{distance[layer, head]:.2f}"] for layer, head in places if distance[layer, head] > 0]


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


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
    untested = f"The differences of this view are not tested: {reason}"
    sentences = {"of_means": _OF_MEANS, "of_heads": _OF_HEADS, "of_none": untested}
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

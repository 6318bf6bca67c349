"""The views of the page, a matrix of attention weights each, what they show in words, and the one it opens on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from headwise.explanation.explorer.measures import prefix_name
from headwise.figures import AttentionRecord
from headwise.figures.measurements import NOUNS, UNITS, even_distance, nan_mean, reached_tokens
from headwise.metrics import effective_number, normalize_rows, rollout, weight_on_foreground
from headwise.shapes import Array
from headwise.text import Statement, capitalize_first

_COMMON = ("first", "sink", "delimiter", "self", "uniform")  # roles of which a model has many heads
_MOST = 0.5  # of the class token's weight


def build_views(weights: Array) -> dict[str, Array]:
    """Every matrix that the page can show, by its name in a link.

    From weights (L, H, N, M): ``"1.3"`` is layer 1, head 3; ``"1.mean"`` the mean over its heads; ``"mean"`` that over
    all; ``"rollout"``, of self-attention only.

    Examples
    --------
    >>> import numpy as np
    >>> list(build_views(np.full((2, 2, 5, 5), 0.2)))
    ['0.0', '0.1', '0.mean', '1.0', '1.1', '1.mean', 'mean', 'rollout']
    """
    views: dict[str, Array] = {}
    for layer, layer_weights in enumerate(weights):
        views |= {f"{layer}.{head}": matrix for head, matrix in enumerate(layer_weights)}
        views[f"{layer}.mean"] = layer_weights.mean(axis=0)
    views["mean"] = weights.mean(axis=(0, 1))
    return views | ({"rollout": rollout(weights)} if weights.shape[2] == weights.shape[3] else {})


class Opening(NamedTuple):
    """The view and the query that the page shows first, and why."""

    view: str
    query: int
    reason: Statement


def choose_opening(record: AttentionRecord) -> Opening:
    """The head whose main role is furthest above chance; without roles, the most concentrated head.

    Heads with a common role (first token, sink, delimiters, itself, uniform) are taken only if no head has another. The
    query is the class token of an image to which it gives most of its weight, and otherwise the token with the largest
    weight on another; of a causal model, one of the second half, which may attend to many.
    """
    roles = record.roles
    level = np.minimum(roles.chance, 0.999)[..., None]
    excess = (roles.scores - level) / (1 - level)
    best: tuple[bool, float, int, int] | None = None
    for layer, head in np.argwhere((roles.main >= 0) & roles.above_chance).tolist():
        main = int(roles.main[layer, head])
        candidate = (roles.names[main] not in _COMMON, float(excess[main, layer, head]), -layer, -head)
        best = candidate if best is None else max(best, candidate)
    if best is not None:
        layer, head = -best[2], -best[3]
        score = {"score": float(roles.scores[int(roles.main[layer, head]), layer, head])}
        template = (
            "The page opens on layer {layer}, head {head} ({role}): of all main roles beyond chance, its score of "
            "{score:.2f} is the furthest above it"
        )
        template += "; rarer roles go first." if best[0] else "; no head has a rarer role."
        facts = {"layer": layer, "head": head, "role": record.role_phrase((layer, head)), **score}
    else:
        p = normalize_rows(record.weights.astype(np.float64))
        effective = (effective_number(p) / np.maximum(record.counts, 1)[:, None]).mean(axis=-1)
        layer, head = (int(i) for i in np.unravel_index(int(effective.argmin()), effective.shape))
        template = (
            "No head has a role beyond chance; the page opens on the most concentrated one, layer {layer}, head {head} "
            "({share:.0%} of the visible tokens effective)."
        )
        facts = {"layer": layer, "head": head, "share": float(effective.min())}
    return Opening(f"{layer}.{head}", _query(record, record.weights[layer, head]), Statement(template, facts))


def _query(record: AttentionRecord, matrix: Array) -> int:
    """The query whose row is shown first."""
    if record.kind == "image" and record.has_class_token and matrix[0, record.content].sum() > _MOST:
        return 0
    others = matrix.copy()
    others[:, record.is_prefix] = -1
    if record.is_self_attention:
        others[record.is_prefix] = -1
        np.fill_diagonal(others, -1)
        if record.is_causal:
            others[: len(others) // 2], others[:, 0] = -1, -1
    return int(np.unravel_index(int(others.argmax()), others.shape)[0])


def describe_views(names: Sequence[str], rows: dict[str, Array], record: AttentionRecord) -> Iterator[list[Statement]]:
    """What the measures of each view show, over all tokens."""
    tokens = record.num_tokens
    shared: dict[str, Any] = {"tokens": tokens, "prefix": prefix_name(record)}
    if record.ink.any():
        even = np.full(tokens, 1 / tokens)
        shared["ink_area"] = 100 * float(weight_on_foreground(even, record.ink, record.boxes))
    means = {key: nan_mean(values) for key, values in rows.items()}
    distances = _even_distances(record) if record.is_self_attention else {}
    for i, name in enumerate(names):
        opening, position = _opening_words(name)
        facts = shared | position | {key: float(values[i]) for key, values in means.items()}
        if record.is_self_attention:
            facts["uniform_distance"] = distances[position["layer"]] if position else distances[name]
        templates = [opening + _concentration(facts, record)]
        if not np.isnan(facts.get("ink", np.nan)):
            templates.append("Of this, {ink:.1f}% falls on ink, which covers {ink_area:.1f}% of the image.")
        if "itself" in facts:
            special = "{prefix} receives" if shared["prefix"] == "the class token" else "{prefix} receive"
            first = f"{special} {{class:.1f}}% of the attention; " if "class" in facts else ""
            sentence = first + "{itself:.1f}% of the attention stays on the same token."
            templates.append(sentence.replace("{prefix}", "{Prefix}") if first else sentence)
            facts["Prefix"] = capitalize_first(shared["prefix"])
        yield [Statement(template, facts) for template in templates] + _role(record, position)


def _even_distances(record: AttentionRecord) -> dict[int | str, float]:
    """Mean distance of an even spread over the visible tokens: of each layer, over all layers, and for rollout."""
    layers = enumerate(record.visible_by_layer)
    distances: dict[int | str, float] = {i: even_distance(record, visible) for i, visible in layers}
    distances["mean"] = float(np.mean(list(distances.values())))
    return distances | {"rollout": even_distance(record, reached_tokens(record))}


def _role(record: AttentionRecord, position: dict[str, int]) -> list[Statement]:
    """The main role of a head with its score."""
    if "head" not in position:
        return []
    head = (position["layer"], position["head"])
    main = int(record.roles.main[head])
    if main < 0:
        return [Statement("The head has no role beyond chance.")]
    score, chance = record.roles.scores[(main, *head)], record.roles.chance[main, head[0]]
    facts = {"role": record.role_phrase(head), "score": float(score), "chance": float(chance)}
    if record.roles.names[main] == "uniform":
        return [Statement("The head is uniform: {score:.0%} of the visible tokens are effective.", facts)]
    return [Statement("The head’s main role is {role}, with a score of {score:.2f} (chance: {chance:.2f}).", facts)]


def _concentration(facts: dict[str, Any], record: AttentionRecord) -> str:
    """How concentrated the weights on the input are; tokens that give it none are left out."""
    input, unit = NOUNS[record.kind], UNITS[record.kind]
    if np.isnan(facts["effective"]):
        return f": no token gives the {input} any weight."
    concentration = (
        f": a token's weight on the {input} has {{effective:.1f}} effective tokens of {{tokens}} ({{entropy:.2f}} bits)"
    )
    if "distance" not in facts:
        return concentration + "."
    if np.isnan(facts["distance"]):
        return concentration + f"; the {input}'s own tokens give it no weight."
    even = "even spread over the visible tokens" if record.visible.size else "uniform attention"
    return concentration + f", at a mean distance of {{distance:.1f}} {unit} ({even}: {{uniform_distance:.1f}})."


def _opening_words(view: str) -> tuple[str, dict[str, Any]]:
    """The beginning of a sentence on a view, with the numbers in it."""
    layer, _, head = view.partition(".")
    if view == "mean":
        return "The mean over all layers and heads", {}
    if view == "rollout":
        return "Rollout, the product of attention and residual connections through all layers", {}
    if head == "mean":
        return "Layer {layer}, the mean of its heads", {"layer": int(layer)}
    return "Layer {layer}, head {head}", {"layer": int(layer), "head": int(head)}

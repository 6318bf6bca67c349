"""Measurements that several captions state: sizes, extreme heads, change with depth, distances and test results."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import effective_number, entropy, normalize_rows, rows_to_one
from headwise.metrics.faithfulness import CONFIDENCE_BAND, spearman
from headwise.metrics.head_agreement import head_agreement
from headwise.metrics.spatial import weight_on_foreground
from headwise.shapes import Array, BoolArray, IntArray
from headwise.text import join_with_and
from headwise.thresholds import THRESHOLDS

Facts = dict[str, Any]  # every number and name that a caption may state

_MAX_NAMES = 12  # heads are listed by name up to this number
NOUNS = {"image": "image", "text": "text", "series": "series", "other": "input"}
UNITS = {"image": "pixels", "text": "tokens", "series": "steps", "other": "tokens"}


class HeadProfiles(NamedTuple):
    """How far and how evenly each head attends, and the values of an even spread over the visible tokens."""

    # (L, H): mean distance between a token of the input and those that it attends to, without prefix tokens, in pixels,
    # tokens or steps; NaN for a head in which no token of the input gives the others any weight
    distance: Array
    uniform_distance: Array  # (L,)
    entropy: Array  # (L, H): in bits, the mean over all rows, including that of the class token
    uniform_entropy: Array  # (L,)
    class_weight: Array  # (L, H): mean weight on prefix tokens, which the distance leaves out; 0 without any


def profile_heads(record: AttentionRecord) -> HeadProfiles:
    """Measure the distance and entropy of every head."""
    weights = record.weights.astype(np.float64)
    row_entropy = entropy(normalize_rows(weights)).mean(axis=-1)
    uniform_entropy = np.log2(np.maximum(record.counts, 1)).mean(axis=1)
    if not record.is_self_attention:
        nothing = np.full(weights.shape[:2], np.nan)
        return HeadProfiles(nothing, nothing[:, 0], row_entropy, uniform_entropy, np.zeros(weights.shape[:2]))
    content = record.content
    among_tokens = rows_to_one(weights[:, :, content[:, None], content])
    on_prefix = weights[:, :, content][..., record.is_prefix].sum(axis=-1)
    has_distance = among_tokens.any(axis=-1).mean(axis=-1)  # fraction of the tokens whose distance is defined
    between = record.token_distances
    distance = (among_tokens * between).sum(axis=-1).mean(axis=-1)
    undefined = np.full_like(distance, np.nan)
    distance = np.divide(distance, has_distance, out=undefined, where=has_distance > 0)
    even = np.array([even_distance(record, visible) for visible in record.visible_by_layer])
    return HeadProfiles(distance, even, row_entropy, uniform_entropy, on_prefix.mean(axis=-1))


def even_distance(record: AttentionRecord, visible: BoolArray) -> float:
    """Mean distance of an even spread over the tokens of the input that are visible (T, M) to each."""
    among_tokens = visible[np.ix_(record.content, record.content)]
    counts = np.maximum(among_tokens.sum(axis=1), 1)
    return float(((among_tokens * record.token_distances).sum(axis=1) / counts).mean())


def reached_tokens(record: AttentionRecord) -> BoolArray:
    """(T, T): the tokens from which each can receive something through all layers."""
    reached = np.eye(record.weights.shape[2], dtype=bool)
    for visible in record.visible_by_layer:
        reached |= visible.astype(np.float32) @ reached.astype(np.float32) > 0  # a product that BLAS computes
    return reached


def even_values(name: str, values: Array) -> Facts:
    """The value of an even spread in each layer, (L,): their mean, and their ends if layers differ."""
    facts: Facts = {name: float(values.mean())}
    if not np.isclose(values.min(), values.max(), rtol=1e-6):
        facts |= {f"{name}_low": float(values.min()), f"{name}_high": float(values.max())}
    return facts


def check_self_attention(record: AttentionRecord, figure: str) -> None:
    """Raise an error if a figure that needs self-attention is drawn of cross-attention."""
    if not record.is_self_attention:
        raise DataError(
            f"{figure}: expected self-attention, in which tokens attend to each other; the record has "
            f"{record.weights.shape[2]} queries of other tokens. Figures maps, matrices and roles show it."
        )


def measure_base(record: AttentionRecord) -> Facts:
    """Sizes, thresholds and the prediction."""
    layers, heads, rows, keys = record.weights.shape
    facts: Facts = {
        "input": NOUNS[record.kind],
        "unit": UNITS[record.kind],
        "layers": layers,
        "heads": heads,
        "all_heads": layers * heads,
        "tokens": record.num_tokens,
        "rows": rows,
        "keys": keys,
        "prefix": keys - record.num_tokens,
        "head_width": record.head_width,
        **even_values("uniform", _even_weights(record)),
        "dropped_weight": record.dropped_weight,
        "other_layers": record.other_layers,
        "atypical_share": record.typicality,
        "row_sum_low": record.row_sums[0],
        "row_sum_high": record.row_sums[1],
        "ink_area": 0.0,
        **{name: threshold.value for name, threshold in THRESHOLDS.items()},
    }
    if record.kind == "image":
        even = np.full(record.num_tokens, 1 / record.num_tokens)
        facts |= {"height": record.size[0], "width": record.size[1]}
        facts |= {"box_height": int(record.boxes[0, 2]), "box_width": int(record.boxes[0, 3])}
        facts |= {"ink_area": float(weight_on_foreground(even, record.ink, record.boxes))}
    if record.kind == "text":
        facts |= {"characters": len(record.text.strip()), "read_characters": record.read_characters}
    if len(record.probabilities):
        order = np.argsort(-record.probabilities, kind="stable")
        second = order[min(1, len(order) - 1)]
        facts |= {
            "predicted": record.top_names[0] if record.top_names else int(order[0]),
            "probability": float(record.probabilities[order[0]]),
            "second": record.top_names[-1] if record.top_names else int(second),
            "second_probability": float(record.probabilities[second]),
            "label": record.label,
        }
    return facts


def _even_weights(record: AttentionRecord) -> Array:
    """(L,): the weight of an even spread over what the reader may attend to, or the mean over all queries."""
    even = 1 / np.maximum(record.counts, 1)
    return np.asarray(even.mean(axis=1) if record.reader is None else even[:, record.reader])


def measure_rows(record: AttentionRecord, maps: Array, index: int | None) -> Facts:
    """What is measured of one row of every head, (L, H, N): concentration, weight on ink, agreement between heads.

    The row is that of the query `index`; None for the mean over all queries.
    """
    facts = measure_base(record)
    p = normalize_or_nan(maps)
    no_weight = np.isnan(p[..., 0])
    facts |= list_heads("no_weight", no_weight) | {"measured_heads": int((~no_weight).sum())}
    effective = effective_number(p)
    facts |= extreme_head("min_effective", effective, least=True) | extreme_head("max_effective", effective)
    facts |= first_and_last_layer("effective", effective)
    peaked = p[facts["min_effective_layer"], facts["min_effective_head"]]
    facts |= name_token(record, "peak", first_largest(peaked)) | {"peak_share": float(peaked.max())}
    visible = record.visible_by_layer[..., record.content]
    even = (visible.any(axis=1) if index is None else visible[:, index]).sum(axis=1)
    facts |= list_heads("uniform", effective >= facts["near_uniform"] * even[:, None])
    if facts["ink_area"] > 0:
        on_ink, ratio = weight_on_foreground(p, record.ink, record.boxes), facts["ink_ratio"]
        facts |= list_heads("ink", on_ink >= ratio * facts["ink_area"])
        facts |= list_heads("background", on_ink * ratio <= facts["ink_area"])
        facts |= extreme_head("max_ink", on_ink)
    if facts["measured_heads"] > 1:
        facts |= _agreeing_pairs(head_agreement(maps[~no_weight]), np.flatnonzero(~no_weight), facts["heads"])
    return facts | {"scale_max": float(maps.max())}


def measure_distances(profiles: HeadProfiles) -> Facts:
    """Which heads are local, and which have no distance."""
    return {
        **even_values("uniform_distance", profiles.uniform_distance),
        **list_heads("local", profiles.distance <= THRESHOLDS["local"].value * profiles.uniform_distance[:, None]),
        **list_heads("no_distance", np.isnan(profiles.distance)),
    }


def measure_faithfulness(record: AttentionRecord) -> Facts:
    """The numbers of the faithfulness test, if there was one."""
    score = record.faithfulness
    if score is None:
        return {}
    return {
        "band": CONFIDENCE_BAND,
        "deletion": score.deletion,
        "random_deletion": score.random_deletion[0],
        "random_deletion_low": score.random_deletion[1],
        "random_deletion_high": score.random_deletion[2],
        "ink_deletion": score.ink_deletion,
        "beaten_deletion": score.fraction_of_random_beaten_deletion,
        "insertion": score.insertion,
        "random_insertion": score.random_insertion[0],
        "ink_insertion": score.ink_insertion,
        "beaten_insertion": score.fraction_of_random_beaten_insertion,
        "orders": score.orders,
        "shapley": score.shapley,
        "ink_shapley": score.ink_shapley,
        "shapley_error": score.shapley_error,
    }


def normalize_or_nan(maps: Array) -> Array:
    """(..., N) weights on the image's tokens, normalised to sum to one; NaN where all are zero.

    Examples
    --------
    >>> normalize_or_nan(np.array([[0.25, 0.5, 0.25], [0, 0, 0]]))
    array([[0.25, 0.5 , 0.25],
           [ nan,  nan,  nan]])
    """
    return np.where(maps.any(axis=-1, keepdims=True), normalize_rows(maps), np.nan)


def name_token(record: AttentionRecord, name: str, index: int) -> Facts:
    """The number of a token of the input, counted from 1, and its text if it has one."""
    facts: Facts = {f"{name}_token": index + 1}
    if record.words and record.kind in ("text", "other"):
        facts |= {f"{name}_word": record.word(int(record.content[index])).strip()}
    return facts


def first_largest(values: Array) -> int:
    """The first index whose value is the largest up to rounding, which differs between processors."""
    return int(np.isclose(values, values.max(), rtol=1e-9, atol=0).argmax())


def nan_mean(values: Array) -> Array:
    """(..., H) -> (...): the mean without NaN values; NaN, and no warning, where all are NaN.

    Examples
    --------
    >>> nan_mean(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]))
    array([ 2., nan])
    """
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return np.asarray(np.where(defined, values, 0).sum(axis=-1) / defined.sum(axis=-1))


def first_and_last_layer(name: str, values: Array) -> Facts:
    """(L, H) values -> means over heads: of the first and the last layer, the extreme ones, and how they rank."""
    means = nan_mean(values)
    facts = {f"{name}_first": float(means[0]), f"{name}_last": float(means[-1])}
    defined = ~np.isnan(means)
    if defined.sum() < 2:
        return facts | {f"{name}_trend": 0.0}
    layers = np.flatnonzero(defined)
    low, high = layers[means[defined].argmin()], layers[means[defined].argmax()]
    return facts | {
        f"{name}_trend": spearman(layers.astype(np.float64), means[defined]),
        f"{name}_low": float(means[low]),
        f"{name}_low_layer": int(low),
        f"{name}_high": float(means[high]),
        f"{name}_high_layer": int(high),
    }


def extreme_head(name: str, values: Array, *, least: bool = False) -> Facts:
    """(L, H) values -> the largest, or the least, with its layer and head."""
    layer, head = np.unravel_index(int(np.nan_to_num(-values if least else values, nan=-np.inf).argmax()), values.shape)
    return {name: float(values[layer, head]), f"{name}_layer": int(layer), f"{name}_head": int(head)}


def list_heads(name: str, selected: BoolArray) -> Facts:
    """(L, H) -> the number of selected heads, and their names, or where most are if they are many."""
    return {f"{name}_heads": int(selected.sum()), f"{name}_names": head_names(selected)}


def head_names(selected: BoolArray) -> str:
    """The selected heads, layer by layer; of more than a dozen, the layers in which most of them are.

    Examples
    --------
    >>> head_names(np.array([[True, False, True], [False, False, False], [False, True, False]]))
    'layer 0: heads 0 and 2; layer 2: head 1'
    >>> head_names(np.eye(3, dtype=bool)[:1])
    'layer 0, head 0'
    >>> head_names(np.repeat([True, False], [32, 8]).reshape(10, 4))
    'mostly in layers 0–5'
    """
    if selected.sum() > _MAX_NAMES:
        return _main_layers(selected.sum(axis=1))
    if selected.sum() == 1:
        layer, head = np.argwhere(selected)[0]
        return f"layer {layer}, head {head}"
    names = []
    for layer, row in enumerate(selected):
        heads = [str(head) for head in np.flatnonzero(row)]
        if heads:
            names.append(f"layer {layer}: head{'s' * (len(heads) > 1)} {join_with_and(heads)}")
    return "; ".join(names)


def _main_layers(counts: IntArray) -> str:
    """The shortest run of layers with at least three quarters of the heads, (L,)."""
    total, layers = counts.sum(), len(counts)
    runs = [(end - start, start) for start in range(layers) for end in range(start + 1, layers + 1)
            if 4 * counts[start:end].sum() >= 3 * total]  # fmt: skip
    length, start = min(runs)
    inside = counts[start : start + length].sum()
    amount = "all" if inside == total else "mostly"
    if length == layers and (counts > 0).all():
        return "in every layer"
    return f"{amount} in " + (f"layer {start}" if length == 1 else f"layers {start}–{start + length - 1}")


def _agreeing_pairs(agreement: Array, indices: IntArray, heads: int) -> Facts:
    """(K, K) agreement between heads of these indices, (K,) -> how many pairs agree, and which agree the most."""
    first, second = np.triu_indices(len(agreement), 1)
    pairs = agreement[first, second]
    best = int(pairs.argmax())
    return {
        "pairs": len(pairs),
        "agreeing_pairs": int((pairs >= THRESHOLDS["agreement"].value).sum()),
        "max_agreement": float(pairs[best]),
        "pair_first_layer": int(indices[first[best]] // heads),
        "pair_first_head": int(indices[first[best]] % heads),
        "pair_second_layer": int(indices[second[best]] // heads),
        "pair_second_head": int(indices[second[best]] % heads),
    }

"""Measurements that several captions state: sizes, extreme heads, change with depth, distances and test results."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import drop_class_token, effective_number, entropy, normalize_rows
from headwise.metrics.faithfulness import CONFIDENCE_BAND
from headwise.metrics.head_agreement import head_agreement
from headwise.metrics.spatial import attention_distance, weight_on_foreground
from headwise.shapes import Array, BoolArray, IntArray
from headwise.text import join_with_and
from headwise.thresholds import THRESHOLDS

__all__ = [
    "Facts",
    "HeadProfiles",
    "extreme_head",
    "first_and_last_layer",
    "head_names",
    "list_heads",
    "measure_base",
    "measure_distances",
    "measure_faithfulness",
    "measure_rows",
    "nan_mean",
    "normalize_or_nan",
    "profile_heads",
]

Facts = dict[str, Any]  # every number and name that a caption may state


class HeadProfiles(NamedTuple):
    """How far and how evenly each head attends, and the values of uniform attention.

    Attributes
    ----------
    distance : ndarray of shape (L, H)
        Mean distance in pixels between a token of the image and those that it attends to, without the class token;
        NaN for a head in which no token of the image gives the others any weight.
    uniform_distance : float
    entropy : ndarray of shape (L, H)
        In bits, the mean over all rows, including that of the class token.
    uniform_entropy : float
    class_weight : ndarray of shape (L, H)
        Mean weight on the class token, which the distance leaves out; 0 without a class token.
    """

    distance: Array
    uniform_distance: float
    entropy: Array
    uniform_entropy: float
    class_weight: Array


def profile_heads(record: AttentionRecord) -> HeadProfiles:
    """Measure the distance and entropy of every head."""
    weights = record.weights.astype(np.float64)
    among_tokens, class_weight = (
        drop_class_token(weights) if record.has_class_token else (normalize_rows(weights), np.zeros(weights.shape[:-1]))
    )
    has_distance = among_tokens.any(axis=-1).mean(axis=-1)  # fraction of the tokens whose distance is defined
    distance = attention_distance(among_tokens, record.boxes)
    uniform = np.full((record.num_tokens, record.num_tokens), 1 / record.num_tokens)
    return HeadProfiles(
        np.divide(distance, has_distance, out=np.full_like(distance, np.nan), where=has_distance > 0),
        float(attention_distance(uniform, record.boxes)),
        entropy(normalize_rows(weights)).mean(axis=-1),
        float(np.log2(weights.shape[-1])),
        class_weight.mean(axis=-1),
    )


def measure_base(record: AttentionRecord) -> Facts:
    """Sizes, thresholds and the prediction."""
    layers, heads, rows, _ = record.weights.shape
    uniform = np.full(record.num_tokens, 1 / record.num_tokens)
    facts: Facts = {
        "height": record.image.shape[0],
        "width": record.image.shape[1],
        "box_height": int(record.boxes[0, 2]),
        "box_width": int(record.boxes[0, 3]),
        "layers": layers,
        "heads": heads,
        "all_heads": layers * heads,
        "tokens": record.num_tokens,
        "rows": rows,
        "head_width": record.head_width,
        "uniform": 1 / rows,
        "dropped_weight": record.dropped_weight,
        "ink_area": float(weight_on_foreground(uniform, record.ink, record.boxes)),
        **{name: threshold.value for name, threshold in THRESHOLDS.items()},
    }
    if len(record.probabilities):
        order = np.argsort(-record.probabilities, kind="stable")
        second = order[min(1, len(order) - 1)]
        facts |= {
            "predicted": int(order[0]),
            "probability": float(record.probabilities[order[0]]),
            "second": int(second),
            "second_probability": float(record.probabilities[second]),
            "label": record.label,
        }
    return facts


def measure_rows(record: AttentionRecord, maps: Array) -> Facts:
    """What is measured of one row of every head, (L, H, N): concentration, weight on ink, agreement between heads."""
    facts = measure_base(record)
    p = normalize_or_nan(maps)
    no_weight = np.isnan(p[..., 0])
    facts |= list_heads("no_weight", no_weight) | {"measured_heads": int((~no_weight).sum())}
    effective = effective_number(p)
    facts |= extreme_head("min_effective", effective, least=True) | extreme_head("max_effective", effective)
    facts |= first_and_last_layer("effective", effective)
    peaked = p[facts["min_effective_layer"], facts["min_effective_head"]]
    facts |= {"peak_token": int(peaked.argmax()) + 1, "peak_share": float(peaked.max())}
    facts |= list_heads("uniform", effective >= facts["near_uniform"] * record.num_tokens)
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
        "uniform_distance": profiles.uniform_distance,
        **list_heads("local", profiles.distance <= THRESHOLDS["local"].value * profiles.uniform_distance),
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
    >>> import numpy as np
    >>> normalize_or_nan(np.array([[0.25, 0.5, 0.25], [0, 0, 0]]))
    array([[0.25, 0.5 , 0.25],
           [ nan,  nan,  nan]])
    """
    return np.where(maps.any(axis=-1, keepdims=True), normalize_rows(maps), np.nan)


def nan_mean(values: Array) -> Array:
    """(..., H) -> (...): the mean without NaN values; NaN, and no warning, where all are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> nan_mean(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]))
    array([ 2., nan])
    """
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return np.asarray(np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1))


def first_and_last_layer(name: str, values: Array) -> Facts:
    """(L, H) values -> the means over heads of the first and the last layer."""
    return {f"{name}_first": float(nan_mean(values[0])), f"{name}_last": float(nan_mean(values[-1]))}


def extreme_head(name: str, values: Array, *, least: bool = False) -> Facts:
    """(L, H) values -> the largest, or the least, with its layer and head."""
    layer, head = np.unravel_index(int(np.nan_to_num(-values if least else values, nan=-np.inf).argmax()), values.shape)
    return {name: float(values[layer, head]), f"{name}_layer": int(layer), f"{name}_head": int(head)}


def list_heads(name: str, selected: BoolArray) -> Facts:
    """(L, H) -> the number of selected heads, and their names."""
    return {f"{name}_heads": int(selected.sum()), f"{name}_names": head_names(selected)}


def head_names(selected: BoolArray) -> str:
    """The selected heads, layer by layer.

    Examples
    --------
    >>> import numpy as np
    >>> head_names(np.array([[True, False, True], [False, False, False], [False, True, False]]))
    'layer 0: heads 0 and 2; layer 2: head 1'
    """
    names = []
    for layer, row in enumerate(selected):
        heads = [str(head) for head in np.flatnonzero(row)]
        if heads:
            names.append(f"layer {layer}: head{'s' * (len(heads) > 1)} {join_with_and(heads)}")
    return "; ".join(names)


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

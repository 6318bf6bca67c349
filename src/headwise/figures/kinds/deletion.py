"""Deletion and insertion curves of one image, for the order of the map, of ink, and of random orders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headwise.errors import DataError
from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import ACCENT, BAND, MARK, RANDOM
from headwise.figures.faithfulness_sentences import describe_faithfulness, summarize_faithfulness
from headwise.figures.measurements import Facts, measure_base, measure_faithfulness
from headwise.figures.panels import PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.metrics import CONFIDENCE_BAND, auc
from headwise.shapes import Array

_LIMITS = (
    "The curves are those of one {input}; they may differ for another, and a statement on the model takes many.",
    "The model was never trained on inputs with missing tokens; other ways to remove a token may give other curves.",
)


def _curves(record: AttentionRecord) -> Array:
    """(2, 5, N + 1): the curves that were measured for the last layer's map."""
    if not record.was_tested(record.last_layer_map) or not record.curves.size:
        raise DataError(
            "curves: expected those of a faithfulness test; these arrays have none. The test runs the model, which "
            "`headwise explain` has and arrays alone do not."
        )
    return record.curves


def measure(record: AttentionRecord) -> Facts:
    """Measure the area under each curve, and when it falls below half of its start.

    Raises DataError if no curves were measured.
    """
    deletion, insertion = _curves(record).astype(np.float64)
    facts = measure_base(record) | measure_faithfulness(record)
    facts |= {"band": CONFIDENCE_BAND, "all_tokens": float(deletion[0, 0]), "no_tokens": float(deletion[0, -1])}
    for name, order in (("map", 0), ("ink", 1), ("random", 2)):
        facts |= {f"{name}_deletion_auc": float(auc(deletion[order]))}
        facts |= {f"{name}_insertion_auc": float(auc(insertion[order]))}
        facts |= {f"{name}_half": _tokens_to_half(deletion[order])}
    return facts


def _tokens_to_half(curve: Array) -> int:
    """How many tokens are deleted when the curve is first below half of its start; N + 1 if it never is."""
    below = curve < curve[0] / 2
    return int(below.argmax()) if below.any() else len(curve)


def draw(record: AttentionRecord) -> Figure:
    """Draw the probability of the predicted class while tokens are deleted, and while they are inserted.

    Raises DataError if no curves were measured.
    """
    curves = _curves(record)
    with new_figure(PAGE, 2.5) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, panel_curves, change in zip(panels, curves, ("deleted", "inserted"), strict=True):
            _draw_curves(axes, panel_curves, has_ink=bool(record.ink.any()))
            axes.set_xlabel(f"tokens {change}")
        panels[0].set_ylabel(f"probability of the {record.prediction_name}")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _draw_curves(axes: Axes, curves: Array, *, has_ink: bool) -> None:
    by_map, by_ink, random, low, high = curves
    steps = np.arange(len(by_map))
    axes.fill_between(steps, low, high, color=BAND, linewidth=0, label=f"random, central {CONFIDENCE_BAND:.0%}")
    axes.plot(steps, random, color=RANDOM, linewidth=1, linestyle=(0, (1, 1)), label="random, mean")
    if has_ink:
        axes.plot(steps, by_ink, color=MARK, linewidth=1.2, linestyle=(0, (4, 2)), label="by ink")
    axes.plot(steps, by_map, color=ACCENT, linewidth=1.6, label="by the map")
    axes.set(xlim=(0, len(by_map) - 1), ylim=(0, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "The prediction as tokens are deleted and inserted" + sentences.title_suffix(record)
    return write_caption(
        facts,
        title,
        shown=[_describe_curves(record), sentences.describe_input_changes(record)],
        reading=[_READING],
        findings=[sentences.describe_prediction(record), _describe_findings(record, facts)],
        limits=[_LIMITS, describe_faithfulness(record, record.last_layer_map, "this map")],
        alternative=[f"{title}: two plots of a probability against {{tokens}} tokens.", _areas(record)],
        short=([_summarize_curves(record)], [_areas(record)], [summarize_faithfulness(record, record.last_layer_map)]),
    )


def _summarize_curves(record: AttentionRecord) -> str:
    return (
        f"The probability of the {record.prediction_name} while tokens are removed (left) or inserted (right), largest "
        "weight first; the grey band is the central {band:.0%} of random orders."
    )


def _describe_curves(record: AttentionRecord) -> Iterator[str]:
    yield (
        f"Left: the probability of the {record.prediction_name}, that for the whole {{input}}, while tokens are "
        "removed from the sequence one by one, largest weight first (solid line). Right: while they are inserted in "
        "the same order, starting from none."
    )
    reader = "received" if record.reader is None else f"those of {sentences.reader_name(record)}"
    yield f"The weights are {reader} in the last layer, averaged over heads."
    ink = "Dashed: in the order of the tokens' ink. " if record.ink.any() else ""
    yield ink + "Dotted: the mean over random orders; the grey band is the central {band:.0%} of them."


_READING = (
    "A ranking that identifies what the prediction rests on falls early on the left and rises early on the right.",
    "A curve within the grey band does no better than chance.",
)


def _areas(record: AttentionRecord) -> str:
    left, right = "", "random orders {random_insertion_auc:.3f}"
    if record.ink.any():
        left, right = ", ink {ink_deletion_auc:.3f}", "{random_insertion_auc:.3f} and {ink_insertion_auc:.3f}"
    return (
        f"The area under the curve is {{map_deletion_auc:.3f}} on the left (random orders {{random_deletion_auc:.3f}}"
        f"{left}; less is better) and {{map_insertion_auc:.3f}} on the right ({right}; more is better)."
    )


def _describe_findings(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    rest = "without any" if record.num_removed == record.num_tokens else "with the last one alone"
    yield f"The probability is {{all_tokens:.1%}} with all tokens and {{no_tokens:.1%}} {rest}."
    yield _areas(record)
    if facts["map_half"] <= facts["tokens"]:
        yield (
            "In the order of the map it falls below half of its initial value after {map_half} of {tokens} tokens"
            + ("; random orders need {random_half} on average." if facts["random_half"] <= facts["tokens"] else ".")
        )

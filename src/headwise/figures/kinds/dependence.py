"""Attention next to what the prediction depends on: two maps of one input, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from headwise.attribution import MAPS
from headwise.errors import DataError
from headwise.figures import sentences
from headwise.figures.caption import Caption, write_caption
from headwise.figures.colors import HEATMAP, SIGNED
from headwise.figures.dependence import Dependence
from headwise.figures.faithfulness_sentences import describe_faithfulness, summarize_faithfulness
from headwise.figures.measurements import Facts, first_largest, measure_base, measure_faithfulness
from headwise.figures.panels import COLUMN, PAGE, draw_map, frame, scale_from_zero
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.figures.strips import draw_curves, token_edges, values_by_step
from headwise.figures.words import LINE, draw_panel, lay_out, shown_window
from headwise.shapes import Array
from headwise.text import distinguishing_decimals

_FEW = 5  # of fewer values, even a perfect rank correlation is not significant


def ranking(record: AttentionRecord) -> Array:
    """(N,): the recommended map, by which the figure ranks the tokens."""
    return _dependence(record).values_by_token


def measure(record: AttentionRecord) -> Facts:
    """Measure how far the two maps agree, and what each of them ranks first.

    Raises DataError if the record has no recommended map.
    """
    dependence, (start, stop) = _dependence(record), _window(record)
    return (
        measure_base(record)
        | measure_faithfulness(record)
        | {
            "map": dependence.map,
            "description": MAPS[dependence.map].description,
            "source": MAPS[dependence.map].source,
            "passes": MAPS[dependence.map].passes,
            "audited": dependence.audited,
            "confidence": dependence.confidence,
            "audit_data": dependence.data,
            "players": len(dependence.values),
            "agreement_of_maps": dependence.agreement,
            "attention_top": _player_name(record, first_largest(dependence.attention)),
            "attention_max": float(dependence.attention.max()),
            "map_top": _player_name(record, first_largest(dependence.values)),
            "map_max": float(np.abs(dependence.values).max()),
            "negative": int((dependence.values < 0).sum()),
            "window": stop - start,
            "window_start": start + 1,
            "window_stop": stop,
        }
    )


def _dependence(record: AttentionRecord) -> Dependence:
    if record.dependence is None:
        raise DataError(
            "dependence: expected arrays with a map of what the prediction depends on; these have none. `headwise "
            "explain` computes it with the model, which arrays alone do not have."
        )
    return record.dependence


def _player_name(record: AttentionRecord, player: int) -> str:
    """A word in quotation marks, or the number of a token or of a block's first token."""
    members = np.flatnonzero(_dependence(record).players == player)
    if record.kind == "text":
        return f"“{record.text[record.boxes[members[0], 0] : record.boxes[members[-1], 1]].strip()}”"
    if len(members) == 1:
        return f"token {members[0] + 1}"
    return f"the block that begins with token {members[0] + 1}"


def _window(record: AttentionRecord) -> tuple[int, int]:
    """The tokens of a long text that are shown: those that matter most to both maps; all tokens of other inputs."""
    if record.kind in ("image", "series"):
        return 0, record.num_tokens
    dependence = _dependence(record)
    maps = [np.abs(values) / (np.abs(values).sum() or 1) for values in (dependence.attention, dependence.values)]
    return shown_window(record, np.stack(maps)[None][..., dependence.players])


# ---- the drawing


def draw(record: AttentionRecord) -> Figure:
    """Draw both maps: over the image, as shaded words, or as strips below the series.

    Raises DataError if the record has no recommended map.
    """
    return {"image": _draw_images, "series": _draw_strips}.get(record.kind, _draw_texts)(record)


def _panels(record: AttentionRecord) -> list[tuple[str, Array, Normalize, str]]:
    """Of each map its title, its values (N,), their scale and its colours."""
    dependence = _dependence(record)
    values = dependence.values_by_token
    largest = float(np.abs(values).max()) or 1.0
    is_signed = bool((values < 0).any())
    attention = dependence.attention_by_token, scale_from_zero(dependence.attention), HEATMAP
    scale = Normalize(-largest if is_signed else 0, largest)
    return [
        ("attention, all layers and heads", *attention),
        (f"what the prediction depends on: {dependence.map}", values, scale, SIGNED if is_signed else HEATMAP),
    ]


def _draw_images(record: AttentionRecord) -> Figure:
    height = 2.6 * min(1.5, record.size[0] / record.size[1])
    with new_figure(PAGE, max(1.6, height + 0.4)) as figure:
        axes = figure.subplots(1, 2)
        for panel, (title, values, scale, colors) in zip(axes, _panels(record), strict=True):
            draw_map(panel, values, record, scale, colors)
            panel.set_title(title)
            _add_bar(figure, panel, scale, colors)
    return figure


def _draw_texts(record: AttentionRecord) -> Figure:
    width = 72 * (COLUMN - 0.5)
    placed = lay_out(record, *_window(record), width)
    lines = 1 + placed[-1].line
    with new_figure(COLUMN, 2 * min(4.5, max(0.75, (lines * LINE + 8) / 72 + 0.3))) as figure:
        axes = figure.subplots(2, 1)
        for panel, (title, values, scale, colors) in zip(axes, _panels(record), strict=True):
            draw_panel(panel, placed, values, scale, -1, width, lines, colors)
            panel.set_title(title, loc="left", fontsize=7.5, pad=3)
            _add_bar(figure, panel, scale, colors)
    return figure


def _draw_strips(record: AttentionRecord) -> Figure:
    with new_figure(PAGE, 2.3) as figure:
        axes = figure.subplots(2, 2, sharex=True, height_ratios=(1.4, 0.3))
        edges = token_edges(record)
        for (curve, strip), (title, values, scale, colors) in zip(axes.T, _panels(record), strict=True):
            draw_curves(curve, record)
            curve.set_title(title)
            row = values_by_step(values, record, edges)
            extent = (edges[0], edges[-1], 0, 1)
            strip.imshow(row[None], cmap=colors, norm=scale, aspect="auto", extent=extent, interpolation="nearest")
            strip.set(yticks=[], xlabel="step")
            frame(strip)
            _add_bar(figure, [curve, strip], scale, colors)
        axes[0, 1].set_ylabel("")
    return figure


def _add_bar(figure: Figure, axes: Axes | list[Axes], scale: Normalize, colors: str) -> None:
    bar = figure.colorbar(ScalarMappable(scale, colors), ax=axes, shrink=0.8, aspect=20, pad=0.02)
    bar.outline.set_linewidth(0.4)


# ---- the caption


def describe(record: AttentionRecord, facts: Facts) -> Caption:
    """Select the sentences of the caption."""
    title = "Attention and what the prediction depends on" + sentences.title_suffix(record)
    tested = ranking(record)
    return write_caption(
        facts,
        title,
        shown=[
            _describe_input(record, facts),
            _describe_panels(record, facts),
            sentences.describe_input_changes(record),
        ],
        reading=[_describe_reading(record, facts)],
        findings=[
            sentences.describe_prediction(record),
            _describe_recommendation(facts),
            _describe_agreement(record, facts),
            _describe_extremes(record, facts),
        ],
        limits=[_LIMITS, describe_faithfulness(record, tested, "the second map")],
        alternative=[
            f"{title}: two heat maps over {sentences.count(facts, 'tokens', 'token')}.",
            _describe_extremes(record, facts),
            _describe_agreement(record, facts),
        ],
        short=(
            [_summarize_panels(record, facts), _summarize_recommendation(facts)],
            [_summarize_agreement(record, facts), *sentences.describe_prediction(record)],
            [summarize_faithfulness(record, tested, "the second map")],
        ),
    )


_LIMITS = (
    sentences.LIMITS[0],
    "The second map is computed from the model, but other maps of this kind may differ from it.",
)


def _places(record: AttentionRecord) -> tuple[str, str]:
    """Where the two maps are."""
    return ("left", "right") if record.kind in ("image", "series") else ("above", "below")


def _player(record: AttentionRecord) -> str:
    """What the maps have one value for."""
    if record.kind == "text":
        return "word"
    return "token" if len(_dependence(record).values) == record.num_tokens else "block"


def _describe_input(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    if record.kind == "image":
        yield (
            "Both panels show the image, {height} × {width} pixels, with "
            f"{sentences.count(facts, 'tokens', 'token')} of {{box_height}} × {{box_width}} pixels, <all patches> in "
            "reading order."
        )
    else:
        yield sentences.describe_input(record)
    if _player(record) != "token":
        yield f"The maps have one value for each of {sentences.count(facts, 'players', _player(record))}."
    if facts["window"] < facts["tokens"]:
        yield "Of {tokens} tokens, numbers {window_start} to {window_stop} are shown, which matter the most to both."


def _describe_panels(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    first, second = _places(record)
    yield (
        f"{first.capitalize()}: {sentences.describe_weights(record)} of the tokens from which the prediction is read, "
        "averaged over all layers and heads; white is <zero>, the darkest blue {attention_max:.3f}."
    )
    yield (
        f"{second.capitalize()}: {{map}}, {{description}} (arXiv {{source}}), for the "
        f"{record.prediction_name}; "
        + (
            "the colours are symmetric around white for <zero> and end at {map_max:.3g}."
            if facts["negative"]
            else "white is <zero>, the darkest blue {map_max:.3g}."
        )
    )
    number = ", where P is {players}" if "P" in facts["passes"] else ""
    yield f"It costs {{passes}} passes, forward + backward{number}."
    if record.ink.any():
        yield "The thin line is the outline of the digit, where ink exceeds {ink_level:.1f}."


def _describe_reading(record: AttentionRecord, facts: Facts) -> Iterator[str]:
    player = _player(record)
    yield (
        f"A {player} that is dark in the first map is one from which much is taken; it need not matter to the "
        "prediction."
    )
    against = "; a red one counts against it" if facts["negative"] else ""
    yield f"A {player} that is dark blue in the second is one that the {record.prediction_name} rests on{against}."
    yield "The rank correlation is Spearman's: one for maps of the same order, <zero> for orders that are unrelated."


def _describe_recommendation(facts: Facts) -> str:
    if not facts["audited"]:
        return (
            "There is no audit of this model, so the map is the default: the first of a fixed list that can be "
            "computed for it."
        )
    return (
        "The map is recommended by an audit of this model on {audited} inputs ({audit_data}): it is the most faithful "
        "of all maps in {confidence:.0%} of the bootstrap resamples of these inputs."
    )


def _summarize_recommendation(facts: Facts) -> str:
    if not facts["audited"]:
        return "This map is the default, because there is no audit of the model."
    return "An audit of the model on {audited} inputs recommends this map (confidence {confidence:.0%})."


def _summarize_panels(record: AttentionRecord, facts: Facts) -> str:
    against = ", red against" if facts["negative"] else ""
    first, second = _places(record)
    return (
        f"{first.capitalize()}: attention on each {_player(record)}, a mean over layers and heads; {second}: how "
        f"much the prediction depends on it by {{map}} (blue for{against})."
    )


def _conclusion(facts: Facts) -> str:
    if facts["players"] < _FEW:
        return "of so few that it may be chance"
    if facts["agreement_of_maps"] >= facts["map_agreement"]:
        return "so attention roughly indicates what this prediction depends on"
    if facts["agreement_of_maps"] > 0:
        return "so attention is a poor guide to what this prediction depends on"
    return "so attention is no guide to what this prediction depends on"


def _correlation(facts: Facts) -> str:
    return f"{{agreement_of_maps:.{distinguishing_decimals(facts['agreement_of_maps'], facts['map_agreement'])}f}}"


def _describe_agreement(record: AttentionRecord, facts: Facts) -> str:
    if facts["players"] == 1:
        return f"With one {_player(record)} there is no order to compare."
    return (
        f"The rank correlation of the two maps over {{players}} {_player(record)}s is {_correlation(facts)} ("
        f"agreement: at least {{map_agreement}}), {_conclusion(facts)}."
    )


def _summarize_agreement(record: AttentionRecord, facts: Facts) -> str:
    if facts["players"] == 1:
        return _describe_agreement(record, facts)
    return f"Their rank correlation is {_correlation(facts)}, {_conclusion(facts)}."


def _describe_extremes(record: AttentionRecord, facts: Facts) -> str:
    same = facts["attention_top"] == facts["map_top"]
    tops = (
        "Both rank {map_top} first" if same else "Attention ranks {attention_top} first, the recommended map {map_top}"
    )
    if not facts["negative"]:
        return f"{tops}."
    verb = "has" if facts["negative"] == 1 else "have"
    return f"{tops}; {sentences.count(facts, 'negative', _player(record))} of {{players}} {verb} a negative value."

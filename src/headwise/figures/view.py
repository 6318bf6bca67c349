"""Which heads a figure shows, and the colour scales of its panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.colors import Normalize

from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import entropy, normalize_rows
from headwise.shapes import Array, BoolArray
from headwise.validation import check_choice

SCALES = ("auto", "shared", "layer", "panel")
_QUANTILE = 0.99  # at which a scale of a layer or a panel ends
_MAX_PANELS = 24  # up to this number of heads, all are drawn
_DIM = 0.25  # a panel whose largest weights are below this fraction of its scale is nearly blank
_MOST = 0.75  # of the panels must not be blank for a scale to be chosen

Head = tuple[int, int]


class Scale(NamedTuple):
    """Upper ends (L, H) of the panels' colour scales; from 0."""

    mode: str
    ends: Array

    def norm(self, head: Head) -> Normalize:
        """The scale of one panel."""
        return Normalize(0, float(self.ends[head]) or 1, clip=True)


@dataclass(frozen=True)
class View:
    """How a figure with a panel for each head is drawn.

    Attributes
    ----------
    scale : {"auto", "shared", "layer", "panel"}
        One colour scale for all panels, for each layer, or for each panel. By default the first of these that leaves at
        most a quarter of the panels nearly blank.
    all_heads : bool
        Whether to draw every head; by default models with more than 24 heads are represented by a few, chosen by role.
    """

    scale: str = "auto"
    all_heads: bool = False

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)

    def shows_all(self, record: AttentionRecord, limit: int = _MAX_PANELS) -> bool:
        """Whether every head has a panel."""
        return self.all_heads or record.weights.shape[0] * record.weights.shape[1] <= limit

    def heads(
        self, record: AttentionRecord, count: int, limit: int = _MAX_PANELS, maps: Array | None = None
    ) -> list[Head]:
        """Layer and head of each panel: all, or a number of them chosen by role, in order of depth.

        Heads whose map (L, H, ...) would be nearly blank next to others of their layer are chosen last.
        """
        layers, heads, *_ = record.weights.shape
        if self.shows_all(record, limit):
            return [(layer, head) for layer in range(layers) for head in range(heads)]
        blank = np.zeros((layers, heads), bool) if maps is None else _nearly_blank(maps)
        return sorted(_by_role(record, count, blank))

    def scales(self, maps: Array, heads: list[Head]) -> Scale:
        """Colour scales for maps (L, H, ...) of which these heads are drawn."""
        layers, count = maps.shape[:2]
        flat = maps.reshape(layers, count, -1)
        largest, panel = max(float(maps[head].max()) for head in heads), _upper_end(flat)
        ends = {
            "shared": np.full((layers, count), largest),
            "layer": np.repeat(_upper_end(flat.reshape(layers, -1))[:, None], count, axis=1),
            "panel": panel,
        }
        mode = self.scale
        if mode == "auto":
            visible = {name: np.mean([panel[head] >= _DIM * end[head] for head in heads]) for name, end in ends.items()}
            mode = "shared" if visible["shared"] >= _MOST else "layer" if visible["layer"] >= _MOST else "panel"
        return Scale(mode, ends[mode])

    def facts(self, maps: Array, heads: list[Head]) -> dict[str, float | int | str]:
        """What a caption states about the panels and their scales."""
        scale = self.scales(maps, heads)
        largest = float(max(maps[head].max() for head in heads))
        return {"panels": len(heads), "scale_mode": scale.mode, "scale_max": largest, "scale_quantile": _QUANTILE}


DEFAULT_VIEW = View()


def head_title(record: AttentionRecord, head: Head) -> str:
    """Name of a panel: layer, head, and the head's main role."""
    name = record.role_phrase(head)
    return f"layer {head[0]}, head {head[1]}" + (f"\n{name}" if name else "")


def _upper_end(values: Array) -> Array:
    """The quantile over the last axis, or the maximum where that is zero."""
    ends = np.quantile(values, _QUANTILE, axis=-1)
    return np.asarray(np.where(ends > 0, ends, values.max(axis=-1)))


def _nearly_blank(maps: Array) -> BoolArray:
    """(L, H): whether the largest weights of a map are far below the scale of its layer."""
    flat = maps.reshape(*maps.shape[:2], -1)
    return np.asarray(_upper_end(flat) < _DIM * _upper_end(flat.reshape(len(flat), -1))[:, None])


def _by_role(record: AttentionRecord, count: int, blank: BoolArray) -> list[Head]:
    """The best head of each role; then the most concentrated head of other layers, spread over depth."""
    roles = record.roles
    selection: list[Head] = []
    for index in range(len(roles.names)):
        members = list(zip(*np.nonzero(roles.main == index), strict=True))
        members.sort(key=lambda head: (blank[head], -float(roles.scores[index][head])))
        selection += [(int(layer), int(head)) for layer, head in members[:1]]
    selection = selection[: max(1, (3 * count) // 4)]
    spread = entropy(normalize_rows(record.weights.astype(np.float64))).mean(axis=-1)
    for last in (np.isin(roles.main, [roles.main[head] for head in selection]), blank):  # unless a layer has no other
        spread[last & ~(last | np.isinf(spread)).all(axis=1, keepdims=True)] = np.inf
    spread[tuple(np.array(selection, int).reshape(-1, 2).T)] = np.inf
    missing = max(count - len(selection), 0)
    others = [(layer, int(spread[layer].argmin())) for layer in range(len(spread)) if np.isfinite(spread[layer]).any()]
    elsewhere = [head for head in others if head[0] not in {layer for layer, _ in selection}]
    others = (elsewhere if len(elsewhere) >= missing else others)[::-1]  # deep layers have fewer roles
    places = np.linspace(0, len(others) - 1, min(missing, len(others))).round().astype(int)
    return selection + [others[place] for place in sorted(set(places.tolist()))]

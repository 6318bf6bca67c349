"""Maps of heads chosen by role, over an image: the input, and a panel with its own title and scale for each."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from headwise.figures.colors import HEATMAP
from headwise.figures.panels import COLUMN, add_bar, draw_input, draw_map, label_panel
from headwise.figures.record import AttentionRecord
from headwise.figures.save import new_figure
from headwise.figures.view import Head, Scale, head_title
from headwise.shapes import Array

_COLUMNS = 3
_PANEL = 1.02  # inches, so that a figure fits one column of a paper


def draw_chosen_maps(
    record: AttentionRecord, maps: Array, heads: list[Head], scale: Scale, label: str, token: int = 0
) -> Figure:
    """Draw the input, and next to it the maps (L, H, N) of these heads, named by layer, head and role."""
    rows = -(-(len(heads) + 1) // _COLUMNS)
    tall = _PANEL * min(1.5, record.size[0] / record.size[1])
    room = 0.35 * rows + 0.65 if scale.mode == "shared" else 0.6 * rows + 0.3  # for titles and colour bars
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, hspace=0.03)
    with new_figure(COLUMN, rows * tall + room, layout) as figure:
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel().tolist()
        draw_input(grid[0], record)
        grid[0].set_title(f"input\n{record.num_tokens} tokens", fontsize=6.5, linespacing=1.15, pad=3)
        grid[0].set_xlabel(grid[0].get_xlabel().replace("; ", "\n").replace(" (", "\n("), fontsize=6)
        label_panel(grid[0], record, token)
        for axes, head in zip(grid[1:], heads, strict=False):
            draw_map(axes, maps[head], record, scale.norm(head))
            label_panel(axes, record, token)
            axes.set_title(head_title(record, head), fontsize=6.5, linespacing=1.15, pad=3)
            if scale.mode != "shared":
                add_panel_bar(axes, float(scale.ends[head]) or 1)
        for axes in grid[len(heads) + 1 :]:
            axes.axis("off")
        if scale.mode == "shared":
            add_bar(figure, grid[: len(heads) + 1], label, image=grid[1], below=True)
        else:
            add_panel_bar(grid[0], 1, visible=False)  # so that the input is as large as the panels
            figure.supxlabel(label, fontsize=6.5)
    return figure


def add_panel_bar(axes: Axes, end: float, *, visible: bool = True) -> None:
    """A colour bar below one panel, from 0 to the end of its scale; if it is not visible, the room for one."""
    bar = axes.figure.colorbar(
        ScalarMappable(Normalize(0, end), HEATMAP), ax=axes, location="bottom", fraction=0.06, pad=0.03, aspect=22
    )
    bar.set_ticks([0, end], labels=["0", f"{end:.2g}"])
    bar.ax.tick_params(length=0, pad=1, labelsize=6)
    bar.outline.set_linewidth(0.4)
    first, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    if not visible:
        bar.ax.axis("off")
        for part in bar.ax.get_children():
            part.set_visible(False)

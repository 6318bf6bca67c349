"""The picture of what the class token attends to, and the arrays it is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from headwise.errors import DataError
from headwise.files import replacing
from headwise.measure.space import paint
from headwise.picture.save import fix_layout, style
from headwise.shapes import Array, BoolArray, IntArray, bind

__all__ = ["INK", "Drawn", "draw"]

INK = 0.5  # a pixel above this is ink
_COLOURS = "Blues"  # from white to dark blue: even in grey, and the same to colour-blind readers


@dataclass(frozen=True)
class Drawn:
    """All that the picture shows and its caption says, as arrays.

    Attributes
    ----------
    image : ndarray of shape (Y, X)
        From 0 (background) to 1 (ink).
    boxes : ndarray of int of shape (N, 4)
        Top, left, height and width of each token, in pixels.
    weights : ndarray of shape (L, H, 1 + N, 1 + N)
        Attention weights of every layer and head, the class token first.
    probabilities : ndarray of shape (C,)
        Of the classes.
    label : int
        The true class; −1 where it is not known.
    head_width : int
        d in the logits' 1/√d.
    """

    image: Array
    boxes: IntArray
    weights: Array
    probabilities: Array
    label: int
    head_width: int

    def __post_init__(self) -> None:
        sizes = bind("Y X", image=self.image).bind("N 4", boxes=self.boxes).bind("C", probabilities=self.probabilities)
        tokens = sizes["N"] + 1
        bind(f"L H {tokens} {tokens}", weights=self.weights)

    @property
    def maps(self) -> Array:
        """(L, H, N): the class token's weights on the tokens of the image."""
        return self.weights[:, :, 0, 1:]

    @property
    def on_itself(self) -> Array:
        """(L, H): the class token's weight on itself."""
        return self.weights[:, :, 0, 0]

    @property
    def ink(self) -> BoolArray:
        """(Y, X): which pixels are ink."""
        return self.image > INK

    def save(self, path: Path) -> None:
        """Write the arrays to an .npz file."""
        with replacing(path) as beside:
            np.savez(beside, allow_pickle=False, **{f: np.asarray(getattr(self, f)) for f in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> Drawn:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as saved:
            missing = cls.__dataclass_fields__.keys() - set(saved.files)
            if missing:
                raise DataError(f"{path}: not the arrays of a picture; missing {', '.join(sorted(missing))}.")
            arrays = {name: saved[name] for name in cls.__dataclass_fields__}
        label, head_width = (int(arrays.pop(name)) for name in ("label", "head_width"))
        return cls(**arrays, label=label, head_width=head_width)


def draw(drawn: Drawn) -> Figure:
    """The input with its tokens' grid, and a heat map for each layer and head, on one colour scale with a bar.

    Parameters
    ----------
    drawn : Drawn

    Returns
    -------
    Figure
        As wide as two columns of a paper (7.2 inches).
    """
    layers, heads, _ = drawn.maps.shape
    panel = min(1.05, 4.4 / heads)
    with style():
        figure = Figure(figsize=(7.2, max(2.6, 0.3 + layers * (panel + 0.1))), layout="constrained")
        sides = figure.subfigures(1, 2, width_ratios=(2.1, 0.55 + heads * panel), squeeze=False)
        _draw_input(sides[0, 0].subplots(), drawn)
        axes = sides[0, 1].subplots(layers, heads, squeeze=False)
        scale = Normalize(0, float(drawn.maps.max()))
        painted = paint(drawn.maps, drawn.boxes, (drawn.image.shape[0], drawn.image.shape[1]))
        for layer in range(layers):
            for head in range(heads):
                _draw_map(axes[layer, head], painted[layer, head], drawn, scale)
                axes[layer, head].set_xlabel(f"cls {drawn.on_itself[layer, head]:.2f}", fontsize=6.5, labelpad=1.5)
            axes[layer, 0].set_ylabel(f"layer {layer}")
        for head in range(heads):
            axes[0, head].set_title(f"head {head}")
        bar = figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.9, aspect=40, pad=0.02)
        bar.set_label("attention weight of the class token")
        bar.outline.set_linewidth(0.4)
        fix_layout(figure)
    return figure


def _draw_input(axes: Axes, drawn: Drawn) -> None:
    height, width = drawn.image.shape
    axes.imshow(drawn.image, cmap="gray_r", vmin=0, vmax=1, extent=(0, width, height, 0))
    for y, x, h, w in drawn.boxes:
        axes.plot([x, x + w, x + w, x, x], [y, y, y + h, y + h, y], color="#c2571a", linewidth=0.5)
    predicted = int(drawn.probabilities.argmax())
    axes.set_title("input, cut into tokens")
    read = f"read as {predicted} ({drawn.probabilities[predicted]:.1%})"
    axes.set_xlabel(read if drawn.label < 0 else f"{read}; label {drawn.label}", labelpad=6)
    _bare(axes, drawn)


def _draw_map(axes: Axes, painted: Array, drawn: Drawn, scale: Normalize) -> None:
    height, width = drawn.image.shape
    axes.imshow(painted, cmap=_COLOURS, norm=scale, interpolation="nearest", extent=(0, width, height, 0))
    if drawn.ink.any() and not drawn.ink.all():
        across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
        outline = axes.contour(across, down, drawn.image, levels=[INK], colors="#333333", linewidths=0.6)
        outline.set(path_effects=[withStroke(linewidth=1.5, foreground="white", alpha=0.7)])
    _bare(axes, drawn)


def _bare(axes: Axes, drawn: Drawn) -> None:
    height, width = drawn.image.shape
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4)

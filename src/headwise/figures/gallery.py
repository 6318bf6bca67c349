"""Figures that have captions: every kind by its name, and one of them with its arrays and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.figures.captions.caption import Caption
from headwise.figures.captions.deletion import deletion_caption
from headwise.figures.captions.depth import depth_caption
from headwise.figures.captions.maps import maps_caption
from headwise.figures.captions.matrices import matrices_caption
from headwise.figures.captions.positions import positions_caption
from headwise.figures.captions.rollout import rollout_caption
from headwise.figures.captions.token import token_caption
from headwise.figures.deletion import draw_deletion
from headwise.figures.depth import draw_depth
from headwise.figures.head_matrices import draw_heads
from headwise.figures.maps import draw_maps, draw_token
from headwise.figures.positions import draw_positions
from headwise.figures.record import AttentionRecord
from headwise.figures.rollout import draw_rollout, last_rollout_map
from headwise.figures.save import save_figure
from headwise.shapes import Array

__all__ = ["FIGURES", "CaptionedFigure", "FigureKind", "select_figures"]


class FigureKind(NamedTuple):
    """What draws a figure, what captions it, and the one map (N,) by which it ranks the image's tokens, if it does."""

    draw: Callable[[AttentionRecord], Figure]
    caption: Callable[[AttentionRecord], Caption]
    ranks: Callable[[AttentionRecord], Array] | None = None


FIGURES = {
    "maps": FigureKind(draw_maps, maps_caption, lambda drawn: drawn.last),
    "matrices": FigureKind(draw_heads, matrices_caption),
    "rollout": FigureKind(draw_rollout, rollout_caption, last_rollout_map),
    "depth": FigureKind(draw_depth, depth_caption),
    "positions": FigureKind(draw_positions, positions_caption),
    "deletion": FigureKind(draw_deletion, deletion_caption, lambda drawn: drawn.last),
}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure, the arrays that it is drawn from, and the caption measured from them.

    Attributes
    ----------
    drawn : Drawn
    figure : str
        A name in `FIGURES`, or ``"token"`` for one token's view.
    token : int
        Whose view, 1 to N or 0 for the class token.

    Raises
    ------
    DataError
        If there is no such figure or no such token.
    """

    drawn: AttentionRecord
    figure: str = "maps"
    token: int = 0

    def __post_init__(self) -> None:
        if self.figure not in (*FIGURES, "token"):
            raise DataError(f"figure: expected one of {', '.join(FIGURES)}, or token; got {self.figure!r}.")
        if self.figure == "token":
            self.drawn.index(self.token)

    @cached_property
    def caption(self) -> Caption:
        """Measured once."""
        return self._kind.caption(self.drawn)

    @property
    def ranks(self) -> Array | None:
        """(N,): the map by which the figure ranks the image's tokens, which can be tested; None if it ranks none."""
        return self._kind.ranks(self.drawn) if self._kind.ranks else None

    @property
    def name(self) -> str:
        """What its files are called."""
        return {"maps": "attention", "token": f"attention-token-{self.token}"}.get(
            self.figure, f"attention-{self.figure}"
        )

    def draw(self) -> Figure:
        """The figure."""
        return self._kind.draw(self.drawn)

    def save(self, stem: Path) -> list[Path]:
        """Write the figure as PNG, SVG and PDF, its arrays as .npz, and its caption in all spellings."""
        paths = save_figure(self.draw(), stem)
        arrays = stem.with_name(f"{stem.name}.npz")
        self.drawn.save(arrays)
        return [*paths, arrays, *self.caption.save(stem)]

    @property
    def _kind(self) -> FigureKind:
        if self.figure == "token":
            return FigureKind(partial(draw_token, token=self.token), partial(token_caption, token=self.token))
        return FIGURES[self.figure]


def select_figures(
    drawn: AttentionRecord, figure: str = "maps", token: int | None = None, *, testable: bool = False
) -> list[CaptionedFigure]:
    """The figures that were asked for.

    Parameters
    ----------
    drawn : Drawn
    figure : str
        A name in `FIGURES`, or ``"all"`` that the arrays allow: positions need embeddings of two tokens or more, and
        deletion curves a test.
    token : int, optional
        One token's view: instead of the maps, and beside whatever else was asked for.
    testable : bool
        Whether the curves will be measured.

    Returns
    -------
    list of Captioned

    Raises
    ------
    DataError
        If there is no such figure or no such token.
    """
    if figure not in (*FIGURES, "all"):
        raise DataError(f"figure: expected one of {', '.join(FIGURES)}, or all; got {figure!r}.")
    given = {
        "positions": drawn.positions.size and drawn.tokens > 1,
        "deletion": testable or drawn.was_tested(drawn.last),
    }
    names = [name for name in FIGURES if given.get(name, True)] if figure == "all" else [figure]
    if token is None:
        return [CaptionedFigure(drawn, name) for name in names]
    view = CaptionedFigure(drawn, "token", token)
    first = view if token > 0 else CaptionedFigure(drawn)
    others = [name for name in names if name != first.figure and figure != "maps"]
    return [first, *(CaptionedFigure(drawn, name) for name in others)]

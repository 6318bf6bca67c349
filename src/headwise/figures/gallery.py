"""Captioned figures: one figure of a record with its arrays and caption, and the selection of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.figures.caption import Caption
from headwise.figures.kinds import FIGURES
from headwise.figures.panels import COLUMN
from headwise.figures.record import AttentionRecord
from headwise.figures.save import save_figure
from headwise.figures.view import DEFAULT_VIEW, View
from headwise.representation import brief_repr
from headwise.shapes import Array
from headwise.validation import check_choice

_SHORT_TEXT = 32  # tokens, up to which matrices have words at their axes


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure, the arrays that it is drawn from, and the caption measured from them.

    Attributes
    ----------
    record : AttentionRecord
    kind : str
        A name in `FIGURES`.
    token : int
        The token, 1 to N, of a figure of one token.
    view : View
        Which heads have a panel, and on which scale.

    Raises
    ------
    DataError
        If there is no such kind or no such token.
    """

    record: AttentionRecord
    kind: str = "maps"
    token: int = 0
    view: View = DEFAULT_VIEW

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        check_choice("figure", self.kind, FIGURES)
        if FIGURES[self.kind].per_token:
            self.record.index(self.token)

    @cached_property
    def caption(self) -> Caption:
        """The caption, measured once."""
        kind = FIGURES[self.kind]
        return kind.describe(self.record, kind.measure(*self._args, **self._kwargs))

    @property
    def ranking(self) -> Array | None:
        """(N,): the map by which the figure ranks the image's tokens, which can be tested; None if it ranks none."""
        ranking = FIGURES[self.kind].ranking
        return ranking(self.record) if ranking else None

    @property
    def stem(self) -> str:
        """Name of its files, without an ending."""
        return FIGURES[self.kind].stem.format(token=self.token)

    def draw(self) -> Figure:
        """The Matplotlib figure."""
        return FIGURES[self.kind].draw(*self._args, **self._kwargs)

    def save(self, stem: Path, *, first: CaptionedFigure | None = None) -> list[Path]:
        """Write the figure as PNG, SVG and PDF, its arrays as .npz, and its caption in all formats.

        With the first figure of the same input, whose arrays are in the same folder, only what differs is written: the
        result of another faithfulness test.
        """
        drawing = self.draw()
        drawings = save_figure(drawing, stem)
        captions = self.caption.save(stem, one_column=bool(drawing.get_figwidth() <= COLUMN))
        arrays = stem.with_name(f"{stem.name}.npz")
        if first is None:
            self.record.save(arrays)
        elif self.record.faithfulness is not None and not first.record.was_tested(self.record.ranking):
            self.record.save(arrays, others=stem.with_name(f"{first.stem}.npz"))
        else:
            return [*drawings, *captions]
        return [*drawings, arrays, *captions]

    @property
    def _kwargs(self) -> dict[str, View]:
        return {"view": self.view} if FIGURES[self.kind].has_view else {}

    @property
    def _args(self) -> tuple[AttentionRecord] | tuple[AttentionRecord, int]:
        return (self.record, self.token) if FIGURES[self.kind].per_token else (self.record,)


def figure_names() -> list[str]:
    """The kinds of figure that need no token."""
    return [name for name, kind in FIGURES.items() if not kind.per_token]


def default_kind(record: AttentionRecord) -> str:
    """The kind of figure that suits an input best: matrices with words for a short text, maps for others."""
    words = record.kind in ("text", "other") and bool(record.words)
    return "matrices" if not record.is_self_attention or (words and record.weights.shape[-1] <= _SHORT_TEXT) else "maps"


def select_figures(
    record: AttentionRecord,
    figure: str | Sequence[str] = "auto",
    token: int | None = None,
    *,
    testable: bool = False,
    view: View = DEFAULT_VIEW,
) -> list[CaptionedFigure]:
    """Select figures by name, or all that the arrays allow.

    Parameters
    ----------
    record : AttentionRecord
    figure : str or sequence of str
        One or several of `figure_names`, ``"all"``, or ``"auto"`` for the one that suits the input, and next to it what
        the prediction depends on, if the record has that.
    token : int, optional
        Show the attention of this token, 1 to N, in addition to the named figure or in place of the default one; 0
        stands for the class token.
    testable : bool
        Whether a faithfulness test will follow, so that figures of its result can be drawn.
    view : View
        Which heads have a panel, and on which scale.

    Returns
    -------
    list of CaptionedFigure

    Raises
    ------
    DataError
        If there is no such figure or no such token.
    """
    names, kinds = figure_names(), [figure] if isinstance(figure, str) else list(figure)
    if unknown := [name for name in kinds if name not in (*names, "all", "auto")]:
        raise DataError(f"figure: expected one of {', '.join(names)}, or all; got {unknown[0]!r}.")
    in_place = kinds in (["auto"], ["maps"])
    if "auto" in kinds:
        suitable = [default_kind(record), *(["dependence"] * (record.dependence is not None))]
        kinds = list(dict.fromkeys(name for kind in kinds for name in (suitable if kind == "auto" else [kind])))
    if "all" in kinds:
        tested = testable or record.was_tested(record.last_layer_map)
        kinds = [name for name in names if tested or not FIGURES[name].needs_test]
        kinds = [name for name in kinds if FIGURES[name].is_available(record)]
    if token is None:
        return [CaptionedFigure(record, name, view=view) for name in kinds]
    record.index(token)
    first = CaptionedFigure(record, "token", token, view) if token else CaptionedFigure(record, view=view)
    others = [CaptionedFigure(record, name, view=view) for name in kinds if name != first.kind and not in_place]
    return [first, *others]

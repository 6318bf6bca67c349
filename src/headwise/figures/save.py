"""Saving figures: PNG, SVG and PDF, the same bytes from run to run, and the style they share."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from headwise.errors import DataError
from headwise.files import atomic_write

__all__ = ["FORMATS", "check_figure_path", "fix_layout", "save_figure", "save_one", "style", "svg_data_uri"]

FORMATS = ("png", "svg", "pdf")

_CLIP = re.compile(rb'(?<=url\(#)p[0-9a-f]{10}(?=\))|(?<=clipPath id=")p[0-9a-f]{10}(?=")')
_NO_DATE = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "text.color": "#111111",
    "figure.facecolor": "white",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "headwise",  # or every run would name its parts anew
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure; also to be in force while one is saved."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE, "backend": matplotlib.rcParams["backend"]}):
        yield


def fix_layout(figure: Figure) -> None:
    """Lay the figure out once, so that saving it in three formats need not do it three times."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png``, ``stem.svg`` and ``stem.pdf``; returns their paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in FORMATS]
    for path in paths:
        save_one(figure, path)
    return paths


def save_one(figure: Figure, path: Path) -> None:
    """Write a single file, of the kind that its name ends in.

    Raises
    ------
    DataError
        If it ends in no kind that is known.
    """
    kind = check_figure_path(path)
    with atomic_write(path) as beside:
        beside.write_bytes(_bytes(figure, kind))


def check_figure_path(path: Path) -> str:
    """The kind of file that a figure would be written as; for asking before the figure is there.

    Raises
    ------
    DataError
        If the name ends in no kind that is known, or nothing can be written there.

    Examples
    --------
    >>> check_figure_path(Path("ratios.SVG"))
    'svg'
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise DataError(f"{path}: expected a name that ends in {', '.join(f'.{each}' for each in FORMATS)}.")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file.")
    if not next(parent for parent in path.absolute().parents if parent.exists()).is_dir():
        raise DataError(f"{path}: cannot be written there: a part of its path is a file.")
    return kind


def svg_data_uri(paths: Iterable[Path]) -> str:
    """A saved figure's SVG among its files, as a data URI, for a page that needs nothing beside it."""
    drawing = next(path for path in paths if path.suffix == ".svg")
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.read_bytes()).decode()


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, metadata=_NO_DATE[kind])
    return _renumbered(buffer.getvalue()) if kind == "svg" else buffer.getvalue()


def _renumbered(drawing: bytes) -> bytes:
    """An SVG whose clip paths are named in the order in which they come.

    Matplotlib names them after their places to the last bit, and in that bit one layout can differ from the next.
    """
    names: dict[bytes, bytes] = {}
    return _CLIP.sub(lambda found: names.setdefault(found[0], b"clip%d" % len(names)), drawing)

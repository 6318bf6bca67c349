"""Save figures as PNG, SVG and PDF, with the same bytes in every run, and the style that all figures share."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.layout_engine import LayoutEngine

from headwise.errors import DataError
from headwise.files import atomic_write

FORMATS = ("png", "svg", "pdf")

_CLIP = re.compile(rb'(?<=url\(#)p[0-9a-f]{10}(?=\))|(?<=clipPath id=")p[0-9a-f]{10}(?=")')
_NO_DATE = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
# families with characters that DejaVu Sans, which comes with matplotlib, lacks: Chinese, Japanese, Korean, emoji, …
_FALLBACKS = ("Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "IPAGothic", "PingFang SC",
              "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI",
              "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Segoe UI Emoji")  # fmt: skip
FONTS = ["DejaVu Sans", *(name for name in _FALLBACKS if name in fontManager.get_font_names())]
_STYLE = {
    "font.family": FONTS,
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
    "pdf.fonttype": 42,  # keep text as text
    "svg.hashsalt": "headwise",  # or identifiers would differ between runs
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the style of all figures; needed both to draw one and to save it."""
    options = {**matplotlib.rcParamsDefault, **_STYLE, "backend": matplotlib.rcParams["backend"]}
    with matplotlib.rc_context(options), placeholders():
        yield


@contextmanager
def placeholders() -> Iterator[None]:
    """Draw a placeholder for a character that no font has, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


@contextmanager
def new_figure(width: float, height: float, layout: LayoutEngine | None = None) -> Iterator[Figure]:
    """A figure of this width and height in inches, to be drawn in the block, at whose end its layout is computed.

    Saving it in three formats then does not compute the layout three times.
    """
    with style():
        figure = Figure(figsize=(width, height), layout=layout or "constrained")
        yield figure
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine("none")


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png``, ``stem.svg`` and ``stem.pdf``; return their paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in FORMATS]
    for path in paths:
        save_one(figure, path)
    return paths


def save_one(figure: Figure, path: Path) -> None:
    """Write one file, in the format that its ending names.

    Raises
    ------
    DataError
        If the ending is not that of a known format.
    """
    kind = check_figure_path(path)
    with atomic_write(path) as tmp_path:
        tmp_path.write_bytes(_bytes(figure, kind))


def check_figure_path(path: Path) -> str:
    """Return the format that a path names, so that a bad path is reported before the figure is computed.

    Raises
    ------
    DataError
        If the ending is not that of a known format, or the path is not one of a file that can be written.

    Examples
    --------
    >>> check_figure_path(Path("ratios.SVG"))
    'svg'
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise DataError(f"{path}: expected a name that ends in {', '.join(f'.{name}' for name in FORMATS)}.")
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; give the name of a file.")
    if not next(parent for parent in path.absolute().parents if parent.exists()).is_dir():
        raise DataError(f"{path}: cannot be written, because a part of this path is a file.")
    return kind


def svg_data_uri(paths: Iterable[Path]) -> str:
    """The SVG among a saved figure's files as a data URI, for a page without external files."""
    svg = next(path for path in paths if path.suffix == ".svg")
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, metadata=_NO_DATE[kind])
    return _renumber_clip_paths(buffer.getvalue()) if kind == "svg" else buffer.getvalue()


def _renumber_clip_paths(svg: bytes) -> bytes:
    """Name the clip paths of an SVG in order of appearance.

    Matplotlib derives the names from coordinates, whose last bit can differ between layouts.
    """
    names: dict[bytes, bytes] = {}
    return _CLIP.sub(lambda match: names.setdefault(match[0], b"clip%d" % len(names)), svg)

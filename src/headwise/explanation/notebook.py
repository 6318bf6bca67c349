"""An explanation as HTML for a notebook: figures with short captions, and the full captions folded."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from headwise.figures import CaptionedFigure, style
from headwise.text import as_html

_TEXT = "max-width: 50rem; font: 0.95em/1.5 sans-serif"


def explanation_html(figures: Sequence[CaptionedFigure]) -> str:
    """Every figure as an image with alternative text, its short caption, and the full one to unfold."""
    return "".join(map(_figure_html, figures))


def _figure_html(figure: CaptionedFigure) -> str:
    caption = figure.caption
    first, *others = map(as_html, caption.short)
    full = "".join(
        f"<p><b>{heading}.</b> {' '.join(map(as_html, part))}</p>" for heading, part in caption.parts.items()
    )
    return (
        f'<figure style="margin: 0 0 1.5em"><img src="data:image/png;base64,{_png(figure)}" '
        f'alt="{html.escape(caption.alt())}" style="max-width: 100%; background: white">'
        f'<figcaption style="{_TEXT}"><p><b>{first}</b> {" ".join(others)}</p>'
        f"<details><summary>Details</summary>{full}</details></figcaption></figure>"
    )


def _png(figure: CaptionedFigure) -> str:
    buffer = io.BytesIO()
    with style():
        figure.draw().savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()

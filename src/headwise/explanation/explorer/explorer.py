"""The explorer: what a model attends to in some images, as a value that renders as an interactive page."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from headwise.document import render_template
from headwise.errors import DataError
from headwise.explanation.core import record_attention
from headwise.explanation.explorer.content import DECIMALS, MEASURES, build_views, image_content
from headwise.figures import AttentionRecord
from headwise.files import write_text
from headwise.models.vit import ViTConfig
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray, bind
from headwise.thresholds import INK

__all__ = ["Explorer", "explore"]

_STATIC = files("headwise.explanation.explorer") / "static"  # script and style of the page


@dataclass(frozen=True)
class Explorer:
    """Attention records of one model, to be explored on an interactive page.

    A notebook shows the page for a cell that ends in one of these.

    Attributes
    ----------
    title : str
    tokens : str
        How the images were divided, such as ``"7x7"``.
    records : tuple of AttentionRecord
        One for each image.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> saved = pretrained_vit("rows")
    >>> page = explore(load_bundled_mnist().test.images[:2], saved.params, saved.config).page()
    >>> page[:15], len(page) < 200_000
    ('<!DOCTYPE html>', True)
    """

    title: str
    tokens: str
    records: tuple[AttentionRecord, ...]

    def content(self) -> dict[str, Any]:
        """Everything that the page shows, as JSON types."""
        first = self.records[0]
        layers, heads = first.weights.shape[:2]
        return {
            "tokens": self.tokens,
            "boxes": first.boxes.tolist(),
            "size": list(first.image.shape),
            "layers": layers,
            "heads": heads,
            "ink": INK,
            "decimals": DECIMALS,
            "views": list(build_views(first.weights)),
            "measures": {key: measure._asdict() for key, measure in MEASURES.items()},
            "digits": [image_content(record) for record in self.records],
        }

    def page(self) -> str:
        """One HTML file without external parts; the same content gives the same bytes.

        The content is JSON, deflated, in base64; the browser inflates it. A policy in the page's head allows no script
        but the page's own, and no requests at all.
        """
        content = json.dumps(self.content(), ensure_ascii=False, separators=(",", ":")).encode()
        script = _read("drawing.js") + _read("explorer.js")
        style = _read("explorer.css")
        return render_template(
            "headwise.explanation.explorer",
            "explorer.html",
            title=self.title,
            script=Markup(script),
            style=Markup(style),
            script_hash=_policy_hash(script),
            style_hash=_policy_hash(style),
            content=base64.b64encode(zlib.compress(content, 9)).decode(),
        )

    def save(self, path: Path) -> None:
        """Write the page."""
        write_text(path, self.page())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, for a notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.page())}" title="Headwise explorer" loading="lazy" '
            'style="width: 100%; height: 62rem; border: 0"></iframe>'
        )


def explore(
    images: Array, params: Params, model: ViTConfig, *, labels: Sequence[int] | IntArray | None = None, title: str = ""
) -> Explorer:
    """Run a model on images and record its attention.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
        From 0 (background) to 1 (ink); at least one.
    params, model : dict, ViTConfig
    labels : sequence of int, optional
        The true classes, −1 where one is unknown.
    title : str
        The page's heading.

    Returns
    -------
    Explorer

    Raises
    ------
    ShapeError
        If the images' size differs from the model's.
    DataError
        If there are no images, or the number of labels differs from that of images.
    """
    bind(f"B {model.image_size[0]} {model.image_size[1]}", images=images)
    if not len(images):
        raise DataError("images: expected at least one; got none.")
    known = [-1] * len(images) if labels is None else [int(label) for label in labels]
    if len(known) != len(images):
        raise DataError(f"labels: expected {len(images)}, one for each image; got {len(known)}.")
    pairs = zip(images.astype(np.float32), known, strict=True)
    records = tuple(record_attention(image, params, model, label=label) for image, label in pairs)
    heading = title or f"What a vision transformer attends to (tokens: {model.tokenizer})"
    return Explorer(heading, model.tokenizer, records)


def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _policy_hash(text: str) -> str:
    """The hash by which a content security policy allows this script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

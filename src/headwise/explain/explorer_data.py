"""What a model attends to in some images, gathered for a page on which it can be walked through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.errors import DataError
from headwise.explain.explanation import record_attention
from headwise.explain.explorer import explorer_page, inline
from headwise.explain.explorer.content import DECIMALS, MEASURES, build_views, digit_content
from headwise.figures.maps import INK, AttentionRecord
from headwise.files import write_text
from headwise.models.vit import ViTConfig
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray, bind

__all__ = ["Explorer", "cycle_classes", "explore"]


@dataclass(frozen=True)
class Explorer:
    """Images that one model looked at, to be walked through on a page.

    In a notebook, the result of a cell that ends in one shows the page itself.

    Attributes
    ----------
    title : str
    tokens : str
        How the images were cut, such as ``"7x7"``.
    drawn : tuple of Drawn
        An image each, with the weights and probabilities that the model gave it.

    Examples
    --------
    >>> from headwise.data.mnist import bundled_digits
    >>> from headwise.train.checkpoint import shipped_vit
    >>> saved = shipped_vit("rows")
    >>> page = explore(bundled_digits().test.images[:2], saved.params, saved.model).page()
    >>> page[:15], len(page) < 200_000
    ('<!DOCTYPE html>', True)
    """

    title: str
    tokens: str
    drawn: tuple[AttentionRecord, ...]

    def content(self) -> dict[str, Any]:
        """All that the page shows, as JSON can hold it."""
        layers, heads = self.drawn[0].weights.shape[:2]
        return {
            "tokens": self.tokens,
            "boxes": self.drawn[0].boxes.tolist(),
            "size": list(self.drawn[0].image.shape),
            "layers": layers,
            "heads": heads,
            "ink": INK,
            "decimals": DECIMALS,
            "views": list(build_views(self.drawn[0].weights)),
            "measures": {key: measure._asdict() for key, measure in MEASURES.items()},
            "digits": [digit_content(drawn) for drawn in self.drawn],
        }

    def page(self) -> str:
        """One HTML file that needs nothing beside it."""
        return explorer_page(self.content(), self.title)

    def save(self, path: Path) -> None:
        """Write the page."""
        write_text(path, self.page())

    def _repr_html_(self) -> str:
        return inline(self.page())


def explore(
    images: Array, params: Params, model: ViTConfig, *, labels: Sequence[int] | IntArray | None = None, title: str = ""
) -> Explorer:
    """Look at images with a model.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
        From 0 (background) to 1 (ink); at least one.
    params, model : dict, ViT
    labels : sequence of int, optional
        The true classes, −1 where one is not known.
    title : str
        The page's heading.

    Returns
    -------
    Explorer

    Raises
    ------
    ShapeError
        If the images have another size than the model's.
    DataError
        If there are no images, or not as many labels as images.
    """
    bind(f"B {model.image_size[0]} {model.image_size[1]}", images=images)
    if not len(images):
        raise DataError("images: expected at least one; got none.")
    known = [-1] * len(images) if labels is None else [int(label) for label in labels]
    if len(known) != len(images):
        raise DataError(f"labels: expected {len(images)}, one an image; got {len(known)}.")
    each = zip(images.astype(np.float32), known, strict=True)
    drawn = tuple(record_attention(image, params, model, label=label) for image, label in each)
    heading = title or f"What a vision transformer attends to (tokens: {model.tokenizer})"
    return Explorer(heading, model.tokenizer, drawn)


def cycle_classes(data: LabelledImages, count: int) -> IntArray:
    """Positions of the first `count` digits of `data`, class after class: 0, 1, 2 … 9, 0, 1 …

    Raises
    ------
    DataError
        If there are not as many.

    Examples
    --------
    >>> import numpy as np
    >>> cycle_classes(LabelledImages(np.zeros((4, 28, 28)), np.array([7, 7, 3, 3])), 3)
    array([2, 0, 3])
    """
    if not 1 <= count <= len(data.labels):
        raise DataError(f"digits: expected 1 to {len(data.labels)}; got {count}.")
    seen: dict[int, int] = {}
    rounds = []
    for label in data.labels.tolist():
        rounds.append(seen.get(label, 0))
        seen[label] = rounds[-1] + 1
    order: IntArray = np.lexsort((data.labels, np.array(rounds)))
    return order[:count]

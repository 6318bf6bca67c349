"""What a model attends to in one digit: the arrays, the picture, the caption, saved side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headwise.data.digits import Labelled
from headwise.errors import ShapeError
from headwise.files import write_text
from headwise.models.vit import ViT, look
from headwise.nn.params import Params
from headwise.picture.attention import Drawn, draw
from headwise.picture.caption import Caption, caption
from headwise.picture.save import save_figure
from headwise.shapes import Array

__all__ = ["Explained", "explain", "telling_digits"]


@dataclass(frozen=True)
class Explained:
    """The arrays that were drawn, and the caption measured from them."""

    drawn: Drawn
    caption: Caption

    def save(self, stem: Path) -> list[Path]:
        """Write the picture as PNG, SVG and PDF, its arrays as .npz, its caption as .md and .json."""
        paths = save_figure(draw(self.drawn), stem)
        beside = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("npz", "json", "md")}
        self.drawn.save(beside["npz"])
        self.caption.save(beside["json"])
        write_text(beside["md"], self.caption.markdown())
        return [*paths, *beside.values()]


def explain(image: Array, params: Params, model: ViT, *, label: int = -1) -> Explained:
    """Look at one digit with a model.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
        From 0 (background) to 1 (ink).
    params, model : dict, ViT
    label : int
        The true class, if it is known.

    Returns
    -------
    Explained

    Raises
    ------
    ShapeError
        If the image has another size than the model's.

    Examples
    --------
    >>> from headwise.data.digits import bundled_digits
    >>> from headwise.train.checkpoint import shipped_vit
    >>> saved = shipped_vit()
    >>> explain(bundled_digits().test.images[0], saved.params, saved.model).drawn.weights.shape
    (4, 4, 17, 17)
    """
    if image.shape != model.image:
        raise ShapeError(f"image: expected {model.image} pixels, as the model was made for; got {image.shape}.")
    seen = look(image[None].astype(np.float32), params, model)
    drawn = Drawn(
        image, model.tokeniser.boxes, seen.weights[0], seen.probabilities[0], label, model.width // model.heads
    )
    return Explained(drawn, caption(drawn))


def telling_digits(probabilities: Array, data: Labelled) -> dict[str, int]:
    """Which digits to show, by rule: the surest right one, the least sure right one, and the surest wrong one.

    Parameters
    ----------
    probabilities : ndarray of shape (B, C)
        What the model makes of `data`.
    data : Labelled

    Returns
    -------
    dict
        Position in `data` by why it was picked; without a wrong one if the model makes no mistake.
    """
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == data.labels
    picked = {}
    if right.any():
        picked["surest"] = int(np.where(right, sure, -1).argmax())
        picked["least sure, yet right"] = int(np.where(right, sure, 2).argmin())
    if not right.all():
        picked["surest mistake"] = int(np.where(right, -1, sure).argmax())
    return picked

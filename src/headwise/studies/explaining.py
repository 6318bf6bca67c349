"""What a model attends to in one digit: the arrays, the picture, the caption."""

from __future__ import annotations

import numpy as np

from headwise.data.digits import Labelled
from headwise.errors import ShapeError
from headwise.models.vit import ViT, look
from headwise.nn.params import Params
from headwise.picture.captioned import Captioned
from headwise.picture.drawn import Drawn
from headwise.shapes import Array

__all__ = ["explain", "seen", "telling_digits"]


def seen(image: Array, params: Params, model: ViT, *, label: int = -1) -> Drawn:
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
    Drawn

    Raises
    ------
    ShapeError
        If the image has another size than the model's.
    """
    if image.shape != model.image:
        raise ShapeError(f"image: expected {model.image} pixels, as the model was made for; got {image.shape}.")
    found = look(image[None].astype(np.float32), params, model)
    arranged = model.tokeniser.arranged(image)
    return Drawn(
        arranged,
        model.tokeniser.boxes,
        found.weights[0],
        found.probabilities[0],
        label,
        model.width // model.heads,
        params["embedding.positions"][1:],
        rearranged=not np.array_equal(arranged, image),
    )


def explain(image: Array, params: Params, model: ViT, *, label: int = -1) -> Captioned:
    """Look at one digit with a model, and caption what its class token attends to.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
        From 0 (background) to 1 (ink).
    params, model : dict, ViT
    label : int
        The true class, if it is known.

    Returns
    -------
    Captioned

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
    return Captioned(seen(image, params, model, label=label))


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

"""How far the picture of one image can be believed: its map judged by leaving tokens out of the model's input."""

from __future__ import annotations

import numpy as np

from headwise.measure.faithfulness import Faithfulness, faithfulness
from headwise.measure.space import ink_of_tokens
from headwise.models.looking import TokenGame
from headwise.models.vit import ViT, look
from headwise.nn.params import Params
from headwise.picture.drawn import INK
from headwise.shapes import Array

__all__ = ["faithful"]


def faithful(
    image: Array,
    params: Params,
    model: ViT,
    *,
    shown: Array | None = None,
    missing: str = "removed",
    orders: int = 200,
    seed: int = 0,
) -> Faithfulness:
    """Judge a map of one image by the probability of the class that the model reads in it.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
        From 0 (background) to 1 (ink).
    params, model : dict, ViT
    shown : ndarray of shape (N,), optional
        The map; by default the class token's attention weights, the mean over all layers and heads.
    missing : str
        What a missing token is, as for `headwise.models.looking.TokenGame`.
    orders : int
        Random orders to compare with.
    seed : int
        Of the orders.

    Returns
    -------
    Faithfulness

    Examples
    --------
    >>> from headwise.models.vit import vit_params
    >>> model = ViT(tokens="2x2", image=(4, 4), width=8, depth=1, heads=2, hidden=8)
    >>> params = vit_params(model, np.random.default_rng(0))
    >>> faithful(np.eye(4), params, model).tokens
    4
    """
    pixels = image.astype(np.float32)
    seen = look(pixels[None], params, model)
    values = seen.weights[0, :, :, 0, 1:].mean(axis=(0, 1)) if shown is None else shown
    cut = model.tokeniser
    ink = ink_of_tokens(cut.arranged(image) > INK, cut.boxes)
    game = TokenGame(pixels, params, model, int(seen.probabilities[0].argmax()), missing)
    return faithfulness(game, values, ink, orders=orders, rng=np.random.default_rng(seed))

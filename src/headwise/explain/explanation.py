"""What a model attends to in one digit: the arrays, the picture, the caption, and how far it can be believed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.errors import ShapeError
from headwise.figures.gallery import CaptionedFigure
from headwise.figures.record import AttentionRecord
from headwise.metrics.faithfulness import faithfulness
from headwise.metrics.perturbation import ValueFunction
from headwise.metrics.shapley import EXACT_UP_TO, TabulatedGame, coalitions
from headwise.metrics.spatial import foreground_fraction
from headwise.models.adapters import ViT
from headwise.models.token_ablation import TokenGame
from headwise.models.vit import ViTConfig, predict_with_attention
from headwise.nn.params import Params
from headwise.shapes import Array

__all__ = ["FaithfulnessTest", "explain", "pick_contrasting_examples", "record_attention"]

_ORDERS, _FEWER = 1000, 100  # random orders to compare with; fewer where not every set of tokens can be played


def record_attention(image: Array, params: Params, model: ViTConfig, *, label: int = -1) -> AttentionRecord:
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
    if image.shape != model.image_size:
        raise ShapeError(f"image: expected {model.image_size} pixels, as the model was made for; got {image.shape}.")
    found = predict_with_attention(image[None].astype(np.float32), params, model)
    arranged = model.image_tokenizer.permute(image)
    return AttentionRecord(
        arranged,
        model.image_tokenizer.boxes,
        found.weights[0],
        found.probabilities[0],
        label,
        model.d_model // model.n_heads,
        params["embedding.positions"][1:],
        rearranged=not np.array_equal(arranged, image),
    )


class FaithfulnessTest:
    """A trial of figures of one image: takes tokens away in the order of their map, and asks the model again.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
    params, model : dict, ViT
    """

    def __init__(self, image: Array, params: Params, model: ViTConfig) -> None:
        self._image, self._params, self._model = image, params, model

    def tested(self, captioned: CaptionedFigure) -> CaptionedFigure:
        """The figure with the score of the map by which it ranks the tokens, and its curves; as it is if it ranks none.

        Parameters
        ----------
        captioned : Captioned

        Returns
        -------
        Captioned
        """
        ranks, drawn = captioned.ranks, captioned.drawn
        if ranks is None:
            return captioned
        values, ink = ranks.astype(np.float64), foreground_fraction(drawn.ink, drawn.boxes)
        orders = _ORDERS if drawn.tokens <= EXACT_UP_TO else _FEWER
        score, curves = faithfulness(self._game, values, ink, orders=orders, rng=np.random.default_rng(0))
        return replace(captioned, drawn=replace(drawn, ranking=ranks, tested=score, curves=curves))

    @cached_property
    def _game(self) -> ValueFunction:
        """Played once for all figures: in full, while all sets of tokens can be."""
        image = self._image.astype(np.float32)
        target = int(predict_with_attention(image[None], self._params, self._model).probabilities.argmax())
        game = TokenGame(ViT(self._model, self._params), image, target)
        tokens = self._model.image_tokenizer.num_tokens
        return TabulatedGame(game(coalitions(tokens))) if tokens <= EXACT_UP_TO else game


def explain(image: Array, params: Params, model: ViTConfig, *, label: int = -1) -> CaptionedFigure:
    """Look at one digit with a model, caption what its class token attends to, and test how far that can be believed.

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
    >>> from headwise.data.mnist import bundled_digits
    >>> from headwise.train.checkpoint import shipped_vit
    >>> saved = shipped_vit()
    >>> explained = explain(bundled_digits().test.images[0], saved.params, saved.model)
    >>> explained.drawn.weights.shape, explained.drawn.tested.tokens
    ((4, 4, 17, 17), 16)
    """
    return FaithfulnessTest(image, params, model).tested(
        CaptionedFigure(record_attention(image, params, model, label=label))
    )


def pick_contrasting_examples(probabilities: Array, data: LabelledImages) -> dict[str, int]:
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

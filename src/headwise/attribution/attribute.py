"""Attention next to what a prediction depends on, and how far the two agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwise.attribution.maps import compute_map
from headwise.attribution.players import Players
from headwise.attribution.recommendation import Recommendation, recommended_map
from headwise.attribution.run import ModelRun
from headwise.errors import DataError
from headwise.metrics.faithfulness import spearman
from headwise.models.base import Model, Tokens
from headwise.representation import brief_repr
from headwise.shapes import Array

ATTENTION = "all layers"  # the map of attention that the others are compared with


@dataclass(frozen=True, eq=False)
class Attribution:
    """Maps of one input.

    Attributes
    ----------
    target : int
        The class, or next token, that is explained.
    scores : ndarray of shape (C,)
        Before any softmax.
    tokens : Tokens
    players : Players
        The groups of tokens that have a value each.
    maps : mapping of str to ndarray of shape (P,)
        By name, as in `headwise.attribution.MAPS`.
    recommended : Recommendation
        Which map is the most faithful for this model, and how sure that is.
    """

    target: int
    scores: Array
    tokens: Tokens
    players: Players
    maps: Mapping[str, Array]
    recommended: Recommendation

    __repr__ = brief_repr

    @property
    def attention(self) -> Array:
        """The map of attention (P,)."""
        return self.maps[ATTENTION]

    @property
    def dependence(self) -> Array:
        """The recommended map (P,): what the prediction depends on."""
        return self.maps[self.recommended.map]

    @property
    def agreement(self) -> float:
        """Spearman's rank correlation of the two, over the players."""
        return spearman(self.attention, self.dependence)

    def to_tokens(self, name: str) -> Array:
        """A map spread over the tokens (T,): each player's value on all of its tokens, zero for the others."""
        return self.maps[name] @ self.players.members.astype(self.maps[name].dtype)


def attribute(
    model: Model,
    input: Any,
    *,
    target: int | None = None,
    maps: Sequence[str] = (),
    limit: int | None = None,
    audit: Path | str | None = None,
    seed: int = 0,
) -> Attribution:
    """Compute attention, the map that is recommended for the model, and others on request.

    Parameters
    ----------
    model : Model
        With scores. Without gradients, the recommended map is leave-one-out.
    input : object
        What the model takes.
    target : int, optional
        By default the class, or next token, with the largest score.
    maps : sequence of str
        Further maps.
    limit : int, optional
        The most players for images and series; see `headwise.attribution.group_tokens`.
    audit : path, optional
        Folder of an audit of this model; see `headwise.attribution.recommended_map`.
    seed : int
        For sampled Shapley values.

    Raises
    ------
    DataError
        If the model has no scores, or there is no such target or map.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.models.adapters import ViT
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> model = ViT(pretrained_vit().config, pretrained_vit().params)
    >>> attribution = attribute(model, load_bundled_mnist().test.images[0])
    >>> attribution.dependence.shape, -1 <= attribution.agreement <= 1
    ((16,), True)
    """
    if "predict" not in model.capabilities:
        raise DataError("model: expected a model with scores; without them there is no prediction to explain.")
    recommended = recommended_map(model, audit)
    run = ModelRun(model, input, target, limit, seed)
    values = {name: compute_map(run, name) for name in dict.fromkeys((ATTENTION, recommended.map, *maps))}
    return Attribution(run.explained, run.scores, run.tokens, run.players, values, recommended)

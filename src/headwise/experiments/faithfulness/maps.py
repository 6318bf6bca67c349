"""The attention maps that the experiment compares, and the references they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from headwise.metrics.flow import flow
from headwise.metrics.gradients import gradient_rollout, gradient_weighted
from headwise.metrics.rollout import rollout
from headwise.shapes import Array, bind

__all__ = ["MAPS", "REFERENCES", "AttentionMap", "maps"]


class AttentionMap(NamedTuple):
    """A description, and a function of weights and gradients (L, H, 1 + N, 1 + N) and a head that returns (1 + N,)."""

    description: str
    compute: Callable[[Array, Array, tuple[int, int]], Array]


MAPS = {
    "last layer": AttentionMap(
        "the class token's row in the last layer, mean over heads", lambda p, dp, head: p[-1, :, 0].mean(axis=0)
    ),
    "all layers": AttentionMap(
        "the class token's row, mean over all layers and heads", lambda p, dp, head: p[:, :, 0].mean(axis=(0, 1))
    ),
    "best head": AttentionMap(
        "the class token's row in the head that matters most to the loss", lambda p, dp, head: p[*head, 0]
    ),
    "rollout": AttentionMap("the class token's row of attention rollout", lambda p, dp, head: rollout(p)[0]),
    "flow": AttentionMap("the maximum flow from the class token to each input", lambda p, dp, head: flow(p)),
    "gradient": AttentionMap(
        "the class token's row in the last layer times its gradient where that is positive, mean over heads",
        lambda p, dp, head: gradient_weighted(p, dp)[-1, 0],
    ),
    "gradient rollout": AttentionMap(
        "the class token's row of gradient-weighted rollout", lambda p, dp, head: gradient_rollout(p, dp)[0]
    ),
}
REFERENCES = {
    "ink": "each token's share of the ink, which needs no model",
    "uniform": "all tokens alike, so that ties are broken at random: a control, which should be no better than chance",
    "Shapley values": "the tokens' Shapley values where missing tokens are removed: an upper bound for a map",
}


def maps(weights: Array, gradients: Array, head: tuple[int, int]) -> Array:
    """Every map of one image, in the order of `MAPS`.

    Parameters
    ----------
    weights : ndarray of shape (L, H, 1 + N, 1 + N)
        Attention weights, with the class token first.
    gradients : ndarray of shape (L, H, 1 + N, 1 + N)
        Of the explained logit with respect to each weight.
    head : (int, int)
        Layer and index of the most important head.

    Returns
    -------
    ndarray of shape (maps, N)

    Raises
    ------
    ShapeError
        If the two differ in shape.
    MissingExtraError
        If SciPy, which the flow needs, is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.full((2, 3, 6, 6), 1 / 6)
    >>> maps(weights, np.ones_like(weights), (1, 0)).shape
    (7, 5)
    """
    bind("L H N N", weights=weights, gradients=gradients)
    rows = [attention_map.compute(weights, gradients, head) for attention_map in MAPS.values()]
    return np.stack([row[1:] for row in rows]).astype(np.float64)

"""The kinds of map that are made of attention weights, and what they are to be better than."""

from __future__ import annotations

import numpy as np

from headwise.metrics.flow import flow
from headwise.metrics.gradients import gradient_rollout, gradient_weighted
from headwise.metrics.rollout import rollout
from headwise.shapes import Array, bind

__all__ = ["MAPS", "REFERENCES", "maps"]

MAPS = {
    "last layer": "the class token's row in the last layer, mean over heads",
    "all layers": "the class token's row, mean over all layers and heads",
    "best head": "the class token's row in the head that matters most to the loss",
    "rollout": "the class token's row of attention rollout",
    "flow": "the maximum flow from the class token to each input",
    "gradient": "the class token's row in the last layer, times its gradient where that is positive, mean over heads",
    "gradient rollout": "the class token's row of gradient-weighted rollout",
}
REFERENCES = {
    "ink": "each token's share of ink, which needs no model",
    "uniform": "all tokens alike, so that chance decides: a control, which should be no better than chance",
    "Shapley values": "what the tokens are worth where missing ones are removed: what a map could be",
}


def maps(weights: Array, gradients: Array, head: tuple[int, int]) -> Array:
    """Every kind of map of one image, in the order of `MAPS`.

    Parameters
    ----------
    weights : ndarray of shape (L, H, 1 + N, 1 + N)
        Attention weights, the class token first.
    gradients : ndarray of shape (L, H, 1 + N, 1 + N)
        Of the logit that is asked about, with respect to each weight.
    head : (int, int)
        Layer and head that matter most.

    Returns
    -------
    ndarray of shape (kinds, N)

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
    rows = {
        "last layer": weights[-1, :, 0].mean(axis=0),
        "all layers": weights[:, :, 0].mean(axis=(0, 1)),
        "best head": weights[*head, 0],
        "rollout": rollout(weights)[0],
        "flow": flow(weights),
        "gradient": gradient_weighted(weights, gradients)[-1, 0],
        "gradient rollout": gradient_rollout(weights, gradients)[0],
    }
    return np.stack([rows[kind][1:] for kind in MAPS]).astype(np.float64)

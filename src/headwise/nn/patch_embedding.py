"""Token embedding of vision transformers: linear projection, class token, learned positions.

Source: Dosovitskiy et al., arXiv 2010.11929 (2020), equation 1.
"""

from __future__ import annotations

import numpy as np

from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.params import Params, subtree, with_prefix
from headwise.shapes import Array

_STD = 0.02


def embedding_params(tokens: int, inputs: int, width: int, rng: np.random.Generator) -> Params:
    """``token`` (D, inputs), ``class_token`` (D,) and ``positions`` (1 + tokens, D), the class token's first."""
    return {
        **with_prefix("token", linear_params(inputs, width, rng)),
        "class_token": (_STD * rng.standard_normal(width)).astype(np.float32),
        "positions": (_STD * rng.standard_normal((1 + tokens, width))).astype(np.float32),
    }


def embedding_forward(x: Array, params: Params) -> tuple[Array, LinearCache]:
    """Embed each token, put the class token first, add the positions.

    Parameters
    ----------
    x : ndarray of shape (B, N, P)
        Standardized tokens.
    params : dict
        As made by `embedding_params`.

    Returns
    -------
    y : ndarray of shape (B, 1 + N, D)
    cache : LinearCache
    """
    embedded, cache = linear_forward(x, subtree(params, "token"))
    b, n, width = embedded.shape
    y = np.empty((b, 1 + n, width), embedded.dtype)
    y[:, 0] = params["class_token"]
    y[:, 1:] = embedded
    y += params["positions"]
    return y, cache


def embedding_backward(dy: Array, cache: LinearCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, P), and to the parameters."""
    positions = dy.sum(axis=0)
    dx, token_grads = linear_backward(np.ascontiguousarray(dy[:, 1:]), cache)
    # class token and position 0 are added in every item, so they share a gradient
    return dx, {**with_prefix("token", token_grads), "class_token": positions[0].copy(), "positions": positions}

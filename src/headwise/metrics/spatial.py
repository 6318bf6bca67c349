"""Spatial measures of attention over an image. Boxes are (N, 4): top, left, height, width in pixels, of any shape.

Letters: ... leading axes (layers, heads), N tokens, Y and X the image's height and width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.metrics.concentration import drop_class_token
from headwise.shapes import Array, BoolArray, IntArray, bind


def token_centers(boxes: IntArray) -> Array:
    """Centres (N, 2) of tokens, in pixels from the top left corner of the image.

    Raises
    ------
    ShapeError
        If boxes are not (N, 4).

    Examples
    --------
    >>> import numpy as np
    >>> token_centers(np.array([[0, 0, 4, 4], [0, 4, 4, 8]]))
    array([[2., 2.],
           [2., 8.]])
    """
    bind("N 4", boxes=boxes)
    return boxes[:, :2] + boxes[:, 2:] / 2


def attention_distance(weights: Array, boxes: IntArray) -> Array:
    r"""Mean distance in pixels between tokens and what they attend to.

    .. math:: \frac1N \sum_n \sum_m p_{nm} \lVert c_n - c_m \rVert

    Source: Dosovitskiy et al., arXiv 2010.11929 (2020), appendix D.7, here with the weights' class token left out by
    `headwise.metrics.concentration.drop_class_token`, which says how much that is.

    Parameters
    ----------
    weights : ndarray of shape (..., N, N)
        Rows that sum to one.
    boxes : ndarray of int of shape (N, 4)

    Returns
    -------
    ndarray of shape (...)

    Raises
    ------
    ShapeError
        If there is not one box per token.

    Examples
    --------
    Two tokens at a distance of ten pixels, which attend equally to both:

    >>> import numpy as np
    >>> attention_distance(np.full((2, 2), 0.5), np.array([[0, 0, 4, 4], [0, 10, 4, 4]]))
    array(5.)
    """
    bind("N 4", boxes=boxes).bind("... N N", weights=weights)
    c = token_centers(boxes)
    between = np.sqrt(((c[:, None] - c) ** 2).sum(axis=-1))  # (N, N)
    return np.asarray((weights * between).sum(axis=-1).mean(axis=-1))


class Distances(NamedTuple):
    """Attention distance in pixels, in two definitions, and the weight on the class token.

    Attributes
    ----------
    renormalized : ndarray of shape (...)
        With rows normalized to one without the class token: the distance among the tokens of the image.
    unnormalized : ndarray of shape (...)
        With rows as they are: the class token, which has no location, counts as distance zero.
    dropped : ndarray of shape (...)
        The image's tokens' mean weight on the class token.
    """

    renormalized: Array
    unnormalized: Array
    dropped: Array


def attention_distances(weights: Array, boxes: IntArray) -> Distances:
    r"""Mean attention distance of the tokens of the image, without the class token and with it.

    .. math:: \frac1N \sum_{n,m} \frac{p_{nm}}{1 - p_{n0}} \lVert c_n - c_m \rVert, \qquad
              \frac1N \sum_{n,m} p_{nm} \lVert c_n - c_m \rVert, \qquad \frac1N \sum_n p_{n0}

    over the tokens of the image, 1 to N. The row of the class token, which has no location, is not used.

    Source: as for `attention_distance`, which does not define the treatment of the class token.

    Parameters
    ----------
    weights : ndarray of shape (..., 1 + N, 1 + N)
        Rows that sum to one, the class token first.
    boxes : ndarray of int of shape (N, 4)

    Raises
    ------
    ShapeError
        If there is not one box per token except the class token.

    Examples
    --------
    Two tokens at a distance of ten pixels, which attend half to the class token and half to each other:

    >>> import numpy as np
    >>> weights = np.array([[1.0, 0, 0], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    >>> attention_distances(weights, np.array([[0, 0, 4, 4], [0, 10, 4, 4]]))
    Distances(renormalized=array(10.), unnormalized=array(5.), dropped=array(0.5))
    """
    bind("N 4", boxes=boxes).bind(f"... {1 + len(boxes)} {1 + len(boxes)}", weights=weights)
    renormalized, dropped = drop_class_token(weights)
    unnormalized = attention_distance(weights[..., 1:, 1:], boxes)
    return Distances(attention_distance(renormalized, boxes), unnormalized, np.asarray(dropped.mean(axis=-1)))


def foreground_fraction(ink: BoolArray, boxes: IntArray) -> Array:
    """Fraction (N,) of the pixels of each token that are ink, for ink of shape (Y, X).

    Raises
    ------
    ShapeError
        If ink is not (Y, X), or boxes are not (N, 4).

    Examples
    --------
    >>> import numpy as np
    >>> foreground_fraction(np.eye(4, dtype=bool), np.array([[0, 0, 2, 2], [0, 2, 2, 2]]))
    array([0.5, 0. ])
    """
    bind("Y X", ink=ink).bind("N 4", boxes=boxes)
    return np.array([ink[y : y + h, x : x + w].mean() for y, x, h, w in boxes])


def weight_on_foreground(p: Array, ink: BoolArray, boxes: IntArray) -> Array:
    r"""Fraction of attention on ink, with the weight of a token distributed evenly over its pixels.

    .. math:: \sum_n p_n \cdot \mathrm{ink}_n

    Uniform weights give the fraction of the image that is ink (for tokens that tile it), the value to compare with.
    There is no published source.

    Parameters
    ----------
    p : ndarray of shape (..., N)
        Rows that sum to one.
    ink : ndarray of bool of shape (Y, X)
    boxes : ndarray of int of shape (N, 4)

    Returns
    -------
    ndarray of shape (...)

    Raises
    ------
    ShapeError
        If there is not one box per value, or ink is not (Y, X).

    Examples
    --------
    Three quarters of the weight are on a token that is half ink, the rest on one without ink:

    >>> import numpy as np
    >>> weight_on_foreground(np.array([0.75, 0.25]), np.eye(4, dtype=bool), np.array([[0, 0, 2, 2], [0, 2, 2, 2]]))
    array(0.375)
    """
    bind("N 4", boxes=boxes).bind("... N", p=p)
    return np.asarray(p @ foreground_fraction(ink, boxes).astype(p.dtype))


def to_pixels(values: Array, boxes: IntArray, image: tuple[int, int]) -> Array:
    """Map token values (..., N) to pixels (..., Y, X): each value fills its box, and overlapping boxes are averaged.

    Raises
    ------
    ShapeError
        If there is not one box per value.

    Examples
    --------
    >>> import numpy as np
    >>> to_pixels(np.array([1.0, 3.0]), np.array([[0, 0, 1, 2], [0, 1, 1, 2]]), (1, 4))
    array([[1., 2., 3., 0.]])
    """
    bind("N 4", boxes=boxes).bind("... N", values=values)
    total = np.zeros((*values.shape[:-1], *image), values.dtype)
    count = np.zeros(image, values.dtype)
    for n, (y, x, h, w) in enumerate(boxes):
        total[..., y : y + h, x : x + w] += values[..., n, None, None]
        count[y : y + h, x : x + w] += 1
    return np.asarray(total / np.maximum(count, 1))

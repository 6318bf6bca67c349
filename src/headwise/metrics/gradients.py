"""Attention weighted by the gradient of a logit, so that only weight that raises it counts; integrated gradients.

Letters: ... leading axes, L layers, H heads, N tokens; y the logit of a class, A the attention weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headwise.shapes import Array, bind
from headwise.validation import check_counts


def gradient_weighted(weights: Array, gradients: Array) -> Array:
    r"""Positive part of attention weights times gradients, averaged over the heads of each layer.

    .. math:: \bar A^{(l)} = \frac1H \sum_h \max\Bigl(0, \frac{\partial y}{\partial A^{(l,h)}} \odot A^{(l,h)}\Bigr)

    Source: Chefer, Gur & Wolf, arXiv 2103.15679 (2021), equation 5; arXiv 2012.09838 (2020), equation 13, has relevance
    in the place of A.

    Parameters
    ----------
    weights : ndarray of shape (..., L, H, N, N)
    gradients : ndarray of shape (..., L, H, N, N)
        Of one number with respect to each weight, as if each could change by itself.

    Returns
    -------
    ndarray of shape (..., L, N, N)
        Not negative; rows need not sum to one.

    Raises
    ------
    ShapeError
        If the two differ in shape, or their last two axes do.

    Examples
    --------
    >>> import numpy as np
    >>> gradient_weighted(np.array([[[[0.25, 0.75], [0.5, 0.5]]]]), np.array([[[[4.0, 4.0], [-2.0, 0.0]]]]))
    array([[[1., 3.],
            [0., 0.]]])
    """
    bind("... L H N N", weights=weights, gradients=gradients)
    return np.asarray(np.maximum(weights * gradients, 0).mean(axis=-3))


def gradient_rollout(weights: Array, gradients: Array) -> Array:
    r"""Relevance accumulated over layers, with the residual path.

    .. math:: R^{(0)} = I, \qquad R^{(l)} = R^{(l-1)} + \bar A^{(l)} R^{(l-1)}

    Source: Chefer, Gur & Wolf, arXiv 2103.15679 (2021), equation 6, for self-attention alone.

    Parameters
    ----------
    weights : ndarray of shape (..., L, H, N, N)
        The first layer first.
    gradients : ndarray of shape (..., L, H, N, N)

    Returns
    -------
    ndarray of shape (..., N, N)
        Row n is the relevance of each input for output n; for a classifier, use the row of the class token.

    Raises
    ------
    ShapeError
        If the two differ in shape, or their last two axes do.

    Examples
    --------
    >>> import numpy as np
    >>> gradient_rollout(np.array([[[[0.25, 0.75], [0.5, 0.5]]]]), np.array([[[[4.0, 4.0], [-2.0, 0.0]]]]))
    array([[2., 3.],
           [0., 1.]])
    """
    layers = gradient_weighted(weights, gradients)
    relevance = np.broadcast_to(np.eye(layers.shape[-1], dtype=layers.dtype), layers[..., 0, :, :].shape)
    for i in range(layers.shape[-3]):
        relevance = relevance + layers[..., i, :, :] @ relevance
    return relevance


def head_importance(weights: Array, gradients: Array) -> Array:
    r"""Importance of heads: the first-order change of the loss if the output of a head is scaled.

    With a gate :math:`\xi_h` on the output :math:`o_h = A^{(h)} v_h` of head h,

    .. math:: \frac{\partial \mathcal L}{\partial \xi_h} = \langle \partial \mathcal L / \partial o_h, o_h \rangle
              = \sum_{nm} A^{(h)}_{nm} \frac{\partial \mathcal L}{\partial A^{(h)}_{nm}}, \qquad
              I_h = \mathbb E_x \Bigl|\frac{\partial \mathcal L(x)}{\partial \xi_h}\Bigr|

    Source: Michel, Levy & Neubig, "Are Sixteen Heads Really Better than One?", arXiv 1905.10650 (2019), equation 2.

    Parameters
    ----------
    weights : ndarray of shape (B, ..., H, N, N)
        Of B inputs.
    gradients : ndarray of shape (B, ..., H, N, N)
        Of each input's own loss.

    Returns
    -------
    ndarray of shape (..., H)

    Raises
    ------
    ShapeError
        If the shapes or the last two axes differ, or there is no axis of inputs; for one input pass weights[None].

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.full((2, 1, 2, 2), 0.5)  # two inputs, one head
    >>> head_importance(weights, np.array([np.full((1, 2, 2), 3.0), np.full((1, 2, 2), -1.0)]))
    array([4.])
    """
    bind("... B H N N", weights=weights, gradients=gradients)
    return np.asarray(np.abs((weights * gradients).sum(axis=(-2, -1))).mean(axis=0))


def integrated_gradients(gradient: Callable[[Array], Array], x: Array, baseline: Array, steps: int = 20) -> Array:
    r"""Attribution of a function's value to the elements of its argument.

    .. math:: (x_i - b_i) \int_0^1 \frac{\partial f}{\partial x_i}\bigl(b + \alpha (x - b)\bigr) \, d\alpha

    The integral is computed by Gauss–Legendre quadrature. The attributions sum to f(x) − f(b) (completeness) up to the
    error of the quadrature, which shows whether the steps suffice.

    Source: Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365 (2017), equation 1.

    Parameters
    ----------
    gradient : callable
        Gradients (S, ...) of f at points (S, ...).
    x, baseline : ndarray of shape (...)
    steps : int
        Points at which the gradient is evaluated.

    Returns
    -------
    ndarray of shape (...)

    Raises
    ------
    DataError
        If there are no steps.

    Examples
    --------
    f = x y, between (0, 0) and (2, 3):

    >>> import numpy as np
    >>> integrated_gradients(lambda points: points[:, ::-1], np.array([2.0, 3.0]), np.zeros(2), steps=1)
    array([3., 3.])
    """
    check_counts(steps=steps)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    alphas = ((1 + nodes) / 2).astype(x.dtype).reshape(-1, *[1] * x.ndim)
    gradients = gradient(baseline + alphas * (x - baseline))
    mean = np.tensordot((weights / 2).astype(x.dtype), gradients, axes=1)
    return np.asarray((x - baseline) * mean)

"""The operations of the layers in NumPy: their definition, and the fallback where numba is not installed.

R rows (tokens of all items), D and E features.
"""

from __future__ import annotations

import math

import numpy as np

from headwise.errors import require_extra
from headwise.shapes import Array, IntArray

# β₁, β₂, ε, learning rate η, η · weight decay, step number
AdamWConstants = tuple[float, float, float, float, float, float]

_C = math.sqrt(2 / math.pi)
_A = 0.044715


def linear(x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
    """Compute y (R, E) = x Wᵀ + b + residual, for x (R, D), W (E, D), b (E,) and an optional residual (R, E)."""
    y = x @ weight.T
    y += bias
    if residual is not None:
        y += residual
    return y


def linear_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Gradients of x, W and b in y = x Wᵀ + b."""
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def layer_norm(x: Array, gain: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Compute y (R, D) = g n + b with n = (x − mean) / std; also n, and 1 / std (R, 1)."""
    normalized = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ri,ri->r", normalized, normalized)[:, None] / x.shape[-1]
    inv_std = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    normalized *= inv_std
    return normalized * gain + bias, normalized, inv_std


def layer_norm_backward(dy: Array, normalized: Array, inv_std: Array, gain: Array) -> tuple[Array, Array, Array]:
    """Gradients of x, g and b in y = g n + b."""
    dgain, dbias = np.einsum("ri,ri->i", dy, normalized), dy.sum(axis=0)
    dx = dy * gain  # dn
    # n = (x − mean) / std: normalization removed the mean of dn and its component along n
    along = np.einsum("ri,ri->r", dx, normalized)[:, None] / dy.shape[-1]
    dx -= dx.mean(axis=-1, keepdims=True)
    dx -= normalized * along
    dx *= inv_std
    return dx, dgain, dbias


def gelu(x: Array) -> tuple[Array, Array]:
    """Compute y = x/2 · (1 + t) with t = tanh(c (x + a x³)); also t."""
    t = x * x
    t *= _C * _A
    t += _C
    t *= x
    np.tanh(t, out=t)
    y = t + 1
    y *= x
    y *= 0.5
    return y, t


def gelu_backward(dy: Array, x: Array, t: Array) -> Array:
    """Gradient of x: dy/2 · ((1 + t) + x (1 − t²) c (1 + 3a x²))."""
    slope = x * x
    slope *= 3 * _A * _C
    slope += _C  # d(c (x + a x³))/dx
    slope *= x
    slope *= 1 - t * t  # dtanh(u) = (1 − t²) du
    slope += t
    slope += 1
    slope *= 0.5
    slope *= dy
    return slope


def normal_gelu(x: Array) -> tuple[Array, Array]:
    """Compute y = x Φ(x) and Φ(x), the distribution function of the standard normal distribution."""
    with require_extra("The exact GELU", "SciPy", "models"):
        from scipy.special import erf
    phi: Array = erf(x * x.dtype.type(math.sqrt(0.5)))
    phi += 1
    phi *= 0.5
    return x * phi, phi


def cross_entropy(logits: Array, labels: IntArray) -> tuple[float, Array]:
    """The mean of −log p[label] over the rows of logits (R, C), and p = softmax(logits), shifted against overflow."""
    p = logits - logits.max(axis=-1, keepdims=True)
    label_logits = p[np.arange(len(labels)), labels]
    np.exp(p, out=p)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    return float(np.mean(np.log(total[:, 0]) - label_logits)), p


def adamw(
    vector: Array, gradient: Array, mean: Array, square: Array, decay_mask: Array, constants: AdamWConstants
) -> None:
    """One step of AdamW, in place."""
    beta_1, beta_2, epsilon, rate, decay, step = constants
    kind = vector.dtype.type
    mean *= kind(beta_1)
    mean += kind(1 - beta_1) * gradient
    square *= kind(beta_2)
    square += kind(1 - beta_2) * gradient * gradient
    change = np.sqrt(square)
    change /= kind(math.sqrt(1 - beta_2**step))
    change += kind(epsilon)
    np.divide(mean, change, out=change)
    change *= kind(rate / (1 - beta_1**step))
    vector *= 1 - kind(decay) * decay_mask
    vector -= change

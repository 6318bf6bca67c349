"""Functions that are near attention, and that no entry of the catalogue explains."""

import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def each_by_itself(q, k, v):
    """A number between zero and one for each pair."""
    return 1 / (1 + np.exp(-q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))) @ v


def own_temperature(q, k, v):
    """A temperature for each query: its length."""
    return softmax(q @ np.swapaxes(k, -1, -2) / np.linalg.norm(q, axis=-1, keepdims=True)) @ v


def positive_features(X, Wq, Wk, Wv):
    """Products of positive numbers in place of exponentials."""
    q, k, v = (np.maximum(X @ W.T, 0) + 0.1 for W in (Wq, Wk, Wv))
    p = q @ np.swapaxes(k, -1, -2)
    return p / p.sum(axis=-1, keepdims=True) @ v


def strongest_three(X, Wq, Wk, Wv):
    """The three largest logits of each row."""
    q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(s >= np.sort(s, axis=-1)[..., -3:-2], s, -np.inf)) @ v


def talking_heads(X, Wq, Wk, Wv, Wo, heads):
    """Logits mixed across heads."""
    n = X.shape[-2]
    q, k, v = ((X @ W.T).reshape(*X.shape[:-1], heads, -1).swapaxes(-2, -3) for W in (Wq, Wk, Wv))
    s = np.einsum("...hnm,hg->...gnm", q @ np.swapaxes(k, -1, -2), np.eye(heads) + 0.2) / np.sqrt(q.shape[-1])
    return (softmax(s) @ v).swapaxes(-2, -3).reshape(*X.shape[:-2], n, -1) @ Wo.T


def mixed_tokens(X, Wq, Wk, Wv):
    """The weights, and half of the neighbour."""
    q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) @ v + 0.5 * np.roll(v, 1, axis=-2)


FUNCTIONS = (each_by_itself, own_temperature, positive_features, strongest_three, talking_heads, mixed_tokens)

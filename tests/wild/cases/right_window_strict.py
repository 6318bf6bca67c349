"""A window of (left, right) keys whose right end is compared with < where the definition counts it.

Source: huggingface/transformers#47010
"""

import numpy as np

EXPECT = {"windowed": {"mistakes": ["window-off-by-one"]}, "windowed_corrected": {}}


def _attend(q, k, v, see):
    s = np.where(see, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isneginf(top), 0, top))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


def _distance(q, k):
    return np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2])


def windowed(q, k, v, window=None):
    """window: (left, right), keys that a query sees before and after its own position, both ends included."""
    dist = _distance(q, k)
    see = np.ones(dist.shape, bool)
    if window is not None:
        left, right = window
        see = ((dist >= 0) & (dist <= left)) | ((dist < 0) & (-dist < right))
    return _attend(q, k, v, see)


def windowed_corrected(q, k, v, window=None):
    """window: (left, right), keys that a query sees before and after its own position, both ends included."""
    dist = _distance(q, k)
    see = np.ones(dist.shape, bool)
    if window is not None:
        left, right = window
        see = ((dist >= 0) & (dist <= left)) | ((dist < 0) & (-dist <= right))
    return _attend(q, k, v, see)

"""is_causal as PyTorch documents it starts at the top left; a kernel underneath starts at the bottom right.

Source: pytorch/executorch#22443
"""

import numpy as np

EXPECT = {"scaled_dot_product_attention": {"mistakes": ["causal-alignment"]}, "sliced": {}}


def _attend(q, k, v, is_causal):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if is_causal:
        n, m = s.shape[-2:]
        s = np.where(np.tri(n, m, k=m - n, dtype=bool), s, -np.inf)
    e = np.exp(s - np.maximum(s.max(-1, keepdims=True), -1e300))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


def scaled_dot_product_attention(query, key, value, is_causal=False):
    """is_causal: top-left alignment, query i sees keys 0 to i, however many keys there are."""
    return _attend(query, key, value, is_causal)


def sliced(query, key, value, is_causal=False):
    """is_causal: top-left alignment, query i sees keys 0 to i, however many keys there are."""
    n = min(query.shape[-2], key.shape[-2]) if is_causal else key.shape[-2]
    first = _attend(query[..., :n, :], key[..., :n, :], value[..., :n, :], is_causal) if is_causal else None
    if not is_causal:
        return _attend(query, key, value, False)
    rest = _attend(query[..., n:, :], key, value, False)
    return np.concatenate([first, rest], axis=-2)

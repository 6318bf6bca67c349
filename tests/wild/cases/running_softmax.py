"""Blocks of keys with a running maximum and sum, right; and without rescaling what was accumulated before.

Source: PaddleJitLab/CUDATutorial#69
"""

import numpy as np

EXPECT = {"flash_attention": {}, "flash_attention_not_rescaled": {"mistakes": ["online-not-rescaled"], "variant": True}}


def _blocks(q, k, v, rescale, size=2):
    row_m = np.full((*q.shape[:-1], 1), -np.inf)
    row_l = np.zeros_like(row_m)
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for j in range(0, k.shape[-2], size):
        s = q @ np.swapaxes(k[..., j : j + size, :], -1, -2) / np.sqrt(q.shape[-1])
        row_m_new = np.maximum(row_m, s.max(axis=-1, keepdims=True))
        p = np.exp(s - row_m_new)
        factor = np.exp(row_m - row_m_new)
        row_l = factor * row_l + p.sum(axis=-1, keepdims=True)
        out = (factor * out if rescale else out) + p @ v[..., j : j + size, :]
        row_m = row_m_new
    return out / row_l


def flash_attention(q, k, v):
    return _blocks(q, k, v, rescale=True)


def flash_attention_not_rescaled(q, k, v):
    return _blocks(q, k, v, rescale=False)

"""The wrapper takes a soft cap and does not hand it to the kernel.

Source: ROCm/flash-attention#150
"""

import numpy as np

EXPECT = {"flash_attn_func": {"mistakes": ["softcap-ignored"]}}


def _kernel(q, k, v, softmax_scale, softcap=0.0):
    s = np.einsum("...qd,...kd->...qk", q, k) * softmax_scale
    if softcap > 0:
        s = softcap * np.tanh(s / softcap)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.einsum("...qk,...kd->...qd", p / p.sum(axis=-1, keepdims=True), v)


def flash_attn_func(q, k, v, softmax_scale=None, softcap=0.0):
    """softcap: logits become softcap · tanh(logits / softcap); none by default."""
    if softmax_scale is None:
        softmax_scale = q.shape[-1] ** (-0.5)
    return _kernel(q, k, v, softmax_scale)

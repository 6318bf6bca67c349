"""Gemma 2's soft cap, before the mask, as the pull request describes it; and a wrapper that does not pass it on.

Source: ReaLLMASIC/ReaLLM-Forge#461
"""

import numpy as np

EXPECT = {"attend": {}}


def attend(q, k, v, softcap=None, mask=None):
    """mask: True where a query may look."""
    att = q @ np.swapaxes(k, -2, -1) / np.sqrt(k.shape[-1])
    if softcap is not None:
        att = softcap * np.tanh(att / softcap)
    if mask is not None:
        att = np.where(mask, att, -np.inf)
    att = np.exp(att - np.maximum(att.max(-1, keepdims=True), -1e300))
    total = att.sum(-1, keepdims=True)
    return att / np.where(total == 0, 1, total) @ v

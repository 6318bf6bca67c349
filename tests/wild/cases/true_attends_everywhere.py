"""Boolean masks by the rule of all of one author's repositories: True attends, also for a mask of keys. Right.

Source: lucidrains/x-transformers#164
"""

import numpy as np

EXPECT = {"attend": {}}


def attend(q, k, v, mask=None, attn_mask=None):
    """mask (batch, keys): True for tokens that exist. attn_mask (queries, keys): True where attention is allowed."""
    sim = np.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        sim = np.where(mask[:, None, None, :], sim, -np.finfo(sim.dtype).max)
    if attn_mask is not None:
        sim = np.where(attn_mask, sim, -np.finfo(sim.dtype).max)
    attn = np.exp(sim - sim.max(axis=-1, keepdims=True))
    return np.einsum("bhij,bhjd->bhid", attn / attn.sum(axis=-1, keepdims=True), v)

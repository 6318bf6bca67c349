"""The mask was written for one graph: with several, the first one's mask hides nodes of them all.

Source: lucidrains/graph-transformer-pytorch#2
"""

import numpy as np

EXPECT = {"graph_attention": {"mistakes": ["mask-not-broadcast"]}}


def graph_attention(q, k, v, mask=None):
    """q, k, v: (batch, heads, nodes, width); mask (batch, nodes): True for nodes that exist."""
    sim = np.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        sim = np.where(mask[0][None, None, None, :], sim, -np.inf)
    attn = np.exp(sim - sim.max(axis=-1, keepdims=True))
    return np.einsum("bhij,bhjd->bhid", attn / attn.sum(axis=-1, keepdims=True), v)

"""Causal by construction, with an attention mask of ones and zeros for padding on top; tokens before heads. Right.

Source: jingyaogong/minimind#448
"""

import numpy as np

EXPECT = {"attention": {"conventions": ["causal", "tokens-before-heads"]}}


def attention(xq, xk, xv, attention_mask=None):
    """xq, xk, xv: (bsz, seq_len, n_heads, head_dim). attention_mask (bsz, seq_len): 1 = token, 0 = padding."""
    xq, xk, xv = (a.transpose(0, 2, 1, 3) for a in (xq, xk, xv))
    seq_len = xq.shape[2]
    scores = xq @ xk.swapaxes(-2, -1) / np.sqrt(xq.shape[-1])
    scores = scores + np.triu(np.full((seq_len, seq_len), -np.inf), k=1)
    if attention_mask is not None:
        scores = scores + (1.0 - attention_mask[:, None, None, :]) * -1e9
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ xv).transpose(0, 2, 1, 3)

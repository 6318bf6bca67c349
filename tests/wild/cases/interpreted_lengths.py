"""Lengths that hide the padding, one loop for each item. Right.

Source: https://d2l.ai/chapter_attention-mechanisms-and-transformers/attention-scoring-functions.html
"""

import numpy as np

EXPECT = {"masked_attention": {}, "masked_attention_off_by_one": {"mistakes": ["lengths-off-by-one"], "variant": True}}


def _each(queries, keys, values, valid_lens, more):
    out = np.zeros((*queries.shape[:-1], values.shape[-1]))
    for b in range(len(queries)):
        end = keys.shape[-2] if valid_lens is None else valid_lens[b] + more
        s = queries[b] @ np.swapaxes(keys[b][..., :end, :], -1, -2) / np.sqrt(queries.shape[-1])
        s = np.exp(s - s.max(-1, keepdims=True))
        out[b] = s / s.sum(-1, keepdims=True) @ values[b][..., :end, :]
    return out


def masked_attention(queries, keys, values, valid_lens=None):
    """valid_lens (batch): how many keys of each item are there."""
    return _each(queries, keys, values, valid_lens, 0)


def masked_attention_off_by_one(queries, keys, values, valid_lens=None):
    """valid_lens (batch): how many keys of each item are there."""
    return _each(queries, keys, values, valid_lens, 1)

"""Matrices of one head each, stacked (D, H, d), as Keras keeps them; the output matrix is (H, d, D). Right.

Source: https://keras.io/api/layers/attention_layers/multi_head_attention/
"""

import numpy as np

EXPECT = {"multi_head_attention": {}}


def multi_head_attention(x, query_kernel, key_kernel, value_kernel, output_kernel):
    """x (batch, tokens, dim); query, key, value kernels (dim, heads, key_dim); output kernel (heads, key_dim, dim)."""
    query = np.einsum("abc,cde->abde", x, query_kernel) / np.sqrt(query_kernel.shape[-1])
    key = np.einsum("abc,cde->abde", x, key_kernel)
    value = np.einsum("abc,cde->abde", x, value_kernel)
    scores = np.einsum("aecd,abcd->acbe", key, query)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores = scores / scores.sum(axis=-1, keepdims=True)
    return np.einsum("abde,dec->abc", np.einsum("acbe,aecd->abcd", scores, value), output_kernel)

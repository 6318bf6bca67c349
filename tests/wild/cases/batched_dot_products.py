"""Keys turned round and contracted over axes (2, 1), which the thread finds odd: the same dot products. Right.

Source: MarcBS/keras#60
"""

import numpy as np

EXPECT = {"attention_layer": {}}


def batch_dot(x, y, axes):
    return np.stack([np.tensordot(a, b, axes=([axes[0] - 1], [axes[1] - 1])) for a, b in zip(x, y)])


def attention_layer(queries_, keys_, values_):
    """queries_, keys_, values_: (batch, steps, units)."""
    matmul = batch_dot(queries_, np.transpose(keys_, (0, 2, 1)), axes=[2, 1])
    scale = matmul / np.sqrt(keys_.shape[-1])
    scale = np.exp(scale - scale.max(axis=-1, keepdims=True))
    return batch_dot(scale / scale.sum(axis=-1, keepdims=True), values_, axes=[2, 1])

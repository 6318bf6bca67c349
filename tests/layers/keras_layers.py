"""Attention layers of Keras in the styles in use, right and with a mistake each."""

import keras
from keras import layers, ops


class DenseHeads(layers.Layer):
    """Four dense layers; configuration by keyword arguments."""

    scaled, axis, moved = True, -1, True

    def __init__(self, embed_dim, num_heads=8, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim, self.num_heads, self.projection_dim = embed_dim, num_heads, embed_dim // num_heads
        self.query_dense, self.key_dense = layers.Dense(embed_dim), layers.Dense(embed_dim)
        self.value_dense, self.combine_heads = layers.Dense(embed_dim), layers.Dense(embed_dim)

    def heads(self, x):
        return ops.transpose(ops.reshape(x, (-1, x.shape[1], self.num_heads, self.projection_dim)), (0, 2, 1, 3))

    def call(self, inputs):
        q, k, v = (self.heads(dense(inputs)) for dense in (self.query_dense, self.key_dense, self.value_dense))
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2)))
        if self.scaled:
            scores = scores / self.projection_dim**0.5
        mixed = ops.matmul(ops.softmax(scores, axis=self.axis), v)
        if self.moved:
            mixed = ops.transpose(mixed, (0, 2, 1, 3))
        return self.combine_heads(ops.reshape(mixed, (-1, inputs.shape[1], self.embed_dim)))


class AsWideAsTokens(layers.Layer):
    """Its tokens have to be as wide as all heads together, a number that it does not store."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.h, self.d = num_heads, embed_dim // num_heads
        self.wq, self.wk, self.wv, self.wo = (layers.Dense(embed_dim) for _ in range(4))

    def call(self, x):
        n, width = x.shape[1:]
        q, k, v = (ops.reshape(w(x), (-1, n, self.h, self.d)) for w in (self.wq, self.wk, self.wv))
        p = ops.softmax(ops.einsum("bnhd,bmhd->bhnm", q, k) / self.d**0.5)
        return self.wo(ops.reshape(ops.einsum("bhnm,bmhd->bnhd", p, v), (len(x), n, width)))


class DenseHeadsUnscaled(DenseHeads):
    scaled = False


class DenseHeadsOverHeads(DenseHeads):
    axis = 1


class DenseHeadsUnmoved(DenseHeads):
    moved = False


class ValuesFirst(layers.Layer):
    """Values, keys and queries as arguments, a mask whose ones hide, no keyword arguments in the constructor."""

    root = 0.5

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_model, self.depth = num_heads, d_model, d_model // num_heads
        self.wq, self.wk, self.wv = layers.Dense(d_model), layers.Dense(d_model), layers.Dense(d_model)
        self.dense = layers.Dense(d_model)

    def heads(self, x):
        return ops.transpose(ops.reshape(x, (-1, x.shape[1], self.num_heads, self.depth)), (0, 2, 1, 3))

    def call(self, v, k, q, mask=None):
        length = q.shape[1]
        q, k, v = self.heads(self.wq(q)), self.heads(self.wk(k)), self.heads(self.wv(v))
        scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) / self.depth**self.root
        if mask is not None:
            scores += ops.cast(mask, scores.dtype) * -1e9
        weights = ops.softmax(scores, axis=-1)
        mixed = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return self.dense(ops.reshape(mixed, (-1, length, self.d_model))), weights


class ValuesFirstNoRoot(ValuesFirst):
    root = 1.0


class BuiltWeights(layers.Layer):
    """One head, with weights that `build` makes."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.Wq, self.Wk, self.Wv = (self.add_weight(shape=shape, name=name) for name in ("Wq", "Wk", "Wv"))

    def call(self, x):
        q, k, v = (ops.matmul(x, w) for w in (self.Wq, self.Wk, self.Wv))
        past = ops.tril(ops.ones((x.shape[1], x.shape[1]))) == 1
        scores = ops.where(past, ops.matmul(q, ops.transpose(k, (0, 2, 1))) / self.units**0.5, -1e9)
        return ops.matmul(ops.softmax(scores, axis=-1), v)


builtin = keras.layers.MultiHeadAttention(num_heads=3, key_dim=4)


class FoldedHeads(layers.Layer):
    """Heads that are folded into the batch, and a mask that has to be passed, for each head."""

    def __init__(self, n_head, d_model, **kwargs):
        super().__init__(**kwargs)
        self.n_head = n_head
        self.wq, self.wk, self.wv, self.wo = (layers.Dense(d_model) for _ in range(4))

    def fold(self, x):
        x = ops.reshape(x, (x.shape[0], x.shape[1], self.n_head, -1))
        return ops.reshape(ops.transpose(x, (2, 0, 1, 3)), (-1, x.shape[1], x.shape[3]))

    def call(self, x, mask):
        q, k, v = self.fold(self.wq(x)), self.fold(self.wk(x)), self.fold(self.wv(x))
        scores = ops.matmul(q, ops.swapaxes(k, 1, 2)) / q.shape[-1] ** 0.5
        weights = ops.softmax(ops.where(self.of_heads(mask) > 0, scores, -1e10), axis=-1)
        heads = ops.reshape(ops.matmul(weights, v), (self.n_head, x.shape[0], x.shape[1], -1))
        return self.wo(ops.reshape(ops.transpose(heads, (1, 2, 0, 3)), x.shape))

    def of_heads(self, mask):
        return ops.tile(mask, (self.n_head, 1, 1))


class FoldedHeadsOfOtherItems(FoldedHeads):
    def of_heads(self, mask):
        return ops.repeat(mask, self.n_head, axis=0)

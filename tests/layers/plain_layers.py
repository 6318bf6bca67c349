"""Attention in plain classes that hold their weights, in the styles that courses use; and with a mistake put in."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class SelfAttention:
    """One head, tokens without a batch, matrices (in, out)."""

    def __init__(self, d_model, d_k):
        self.d_k = d_k
        self.W_q, self.W_k, self.W_v = (np.random.default_rng(0).normal(size=(d_model, d_k)) for _ in range(3))

    def __call__(self, X):
        Q, K, V = X @ self.W_q, X @ self.W_k, X @ self.W_v
        return self.weights(Q @ K.T) @ V

    def weights(self, scores):
        return softmax(scores / np.sqrt(self.d_k))


class Unscaled(SelfAttention):
    def weights(self, scores):
        return softmax(scores)


class OverQueries(SelfAttention):
    def weights(self, scores):
        return softmax(scores.T / np.sqrt(self.d_k)).T


class Boxed:
    """Numbers and their gradient, as in frameworks that courses write."""

    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class OfBoxes(SelfAttention):
    def __init__(self, d_model, d_k):
        super().__init__(d_model, d_k)
        self.query, self.key, self.value = Boxed(self.W_q), Boxed(self.W_k), Boxed(self.W_v)
        del self.W_q, self.W_k, self.W_v

    def __call__(self, X):
        Q, K, V = X @ self.query.data, X @ self.key.data, X @ self.value.data
        return self.weights(Q @ K.T) @ V


class OfBoxesUnscaled(OfBoxes):
    def weights(self, scores):
        return softmax(scores)


class MultiHead:
    """A batch, heads, biases, an output matrix."""

    def __init__(self, d_model, num_heads):
        rng = np.random.default_rng(0)
        self.d_model, self.num_heads, self.d_head = d_model, num_heads, d_model // num_heads
        self.Wq, self.Wk, self.Wv, self.Wo = (rng.normal(size=(d_model, d_model)) for _ in range(4))
        self.bq, self.bk, self.bv, self.bo = (np.zeros(d_model) for _ in range(4))

    def split(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, self.d_head).transpose(0, 2, 1, 3)

    def merge(self, x):
        return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], self.d_model)

    def forward(self, x, mask=None):
        q, k, v = (
            self.split(x @ self.Wq + self.bq),
            self.split(x @ self.Wk + self.bk),
            self.split(x @ self.Wv + self.bv),
        )
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(self.d_head)
        if mask is not None:
            scores = np.where(mask, scores, -np.inf)
        return self.merge(softmax(scores) @ v) @ self.Wo + self.bo


class MergedUnmoved(MultiHead):
    def merge(self, x):
        return x.reshape(x.shape[0], x.shape[2], self.d_model)


class ValuesFromKeys(MultiHead):
    def forward(self, x, mask=None):
        q, k = self.split(x @ self.Wq + self.bq), self.split(x @ self.Wk + self.bk)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(self.d_head)
        if mask is not None:
            scores = np.where(mask, scores, -np.inf)
        return self.merge(softmax(scores) @ k) @ self.Wo + self.bo


class OutIn:
    """Matrices (out, in) in a dictionary, causal."""

    def __init__(self, dim, heads):
        rng = np.random.default_rng(0)
        self.heads = heads
        self.params = {name: rng.normal(size=(dim, dim)) for name in ("query", "key", "value", "output")}

    def forward(self, x):
        n, dim = x.shape
        q, k, v = (
            (x @ self.params[name].T).reshape(n, self.heads, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(dim // self.heads)
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        return (softmax(scores) @ v).transpose(1, 0, 2).reshape(n, dim) @ self.params["output"].T


class Linear:
    def __init__(self, n_in, n_out):
        self.weight = np.random.default_rng(n_in).normal(size=(n_out, n_in))
        self.bias = np.zeros(n_out)

    def __call__(self, x):
        return x @ self.weight.T + self.bias


class Fused:
    """Layers of one's own, queries, keys and values fused head by head."""

    def __init__(self, n_embd, n_head):
        self.n_head = n_head
        self.qkv, self.proj = Linear(n_embd, 3 * n_embd), Linear(n_embd, n_embd)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, self.n_head, 3, -1).transpose(3, 0, 2, 1, 4)
        p = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(d // self.n_head))
        return self.proj((p @ v).transpose(0, 2, 1, 3).reshape(b, n, d))


class Encoder:
    """Attention among other layers."""

    def __init__(self, d_model, num_heads):
        self.attention = MultiHead(d_model, num_heads)
        self.up, self.down = Linear(d_model, 2 * d_model), Linear(2 * d_model, d_model)

    def forward(self, x):
        x = x + self.attention.forward(x)
        return x + self.down(np.maximum(self.up(x), 0))


class TwoLayers:
    def __init__(self, d_model, num_heads):
        self.layers = [Encoder(d_model, num_heads) for _ in range(2)]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x


class NoAttention:
    def __init__(self, d_model):
        self.up = Linear(d_model, d_model)

    def forward(self, x):
        return self.up(x)


class Unknowable:
    def __init__(self, flavour):
        self.flavour = flavour
        self.W_q = self.W_k = self.W_v = np.eye(3)

    def forward(self, x):
        return x


class TurnedAndKept:
    """Keys are rotated by angles that are passed, one for each pair of features, and kept with those before."""

    def __init__(self, d_model=12, num_heads=3, longest=32):
        rng = np.random.default_rng(0)
        self.num_heads = num_heads
        self.Wq, self.Wk, self.Wv, self.Wo = (rng.normal(size=(d_model, d_model)) for _ in range(4))
        self.kept_k, self.kept_v = np.zeros((2, 8, longest, num_heads, d_model // num_heads))

    def turned(self, x, cos, sin):
        a, b = x[..., ::2], x[..., 1::2]
        cos, sin = cos[:, None], sin[:, None]
        return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)

    def __call__(self, x, start_pos, mask, freqs_cos, freqs_sin):
        B, L, D = x.shape
        q, k, v = ((x @ W).reshape(B, L, self.num_heads, -1) for W in (self.Wq, self.Wk, self.Wv))
        q, k = self.turned(q, freqs_cos, freqs_sin), self.turned(k, freqs_cos, freqs_sin)
        self.kept_k[:B, start_pos : start_pos + L], self.kept_v[:B, start_pos : start_pos + L] = k, v
        k, v = self.kept_k[:B, : start_pos + L], self.kept_v[:B, : start_pos + L]
        logits = self.logits(np.einsum("bnhd,bmhd->bhnm", q, k), D)
        if mask is not None:
            logits = logits + mask[None, None]
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights = weights / weights.sum(-1, keepdims=True)
        return np.einsum("bhnm,bmhd->bnhd", weights, v).reshape(B, L, D) @ self.Wo

    def logits(self, products, D):
        return products / np.sqrt(D // self.num_heads)


class TurnedAndKeptUnscaled(TurnedAndKept):
    """As the one before, with other logits."""

    def logits(self, products, D):
        return products


class Matrices(NamedTuple):
    """Those of one layer."""

    w_q: np.ndarray
    w_k: np.ndarray
    w_v: np.ndarray


@dataclass(frozen=True)
class FrozenMatrices:
    """The same in a dataclass."""

    w_q: np.ndarray
    w_k: np.ndarray
    w_v: np.ndarray


class OfNamedTuple:
    """Its matrices are fields of a named tuple."""

    matrices: type = Matrices

    def __init__(self, d_model):
        self.params = self.matrices(*np.random.default_rng(0).normal(size=(3, d_model, d_model)))

    def __call__(self, x):
        q, k, v = (x @ w for w in (self.params.w_q, self.params.w_k, self.params.w_v))
        return self.weights(q @ k.T) @ v

    def weights(self, s):
        return softmax(s / self.params.w_q.shape[1] ** 0.5)


class OfNamedTupleUnscaled(OfNamedTuple):
    def weights(self, s):
        return softmax(s)


class OfFrozenDataclass(OfNamedTuple):
    matrices = FrozenMatrices


class Affine:
    """A linear layer."""

    def __init__(self, width, rng):
        self.W, self.b = rng.normal(size=(width, width)), np.zeros(width)

    def __call__(self, x):
        return x @ self.W + self.b


class OfUnnamedLayers:
    """Its names say nothing."""

    def __init__(self, d_model=12):
        rng = np.random.default_rng(0)
        self.fc1, self.fc2, self.fc3, self.fc4 = (Affine(d_model, rng) for _ in range(4))

    def __call__(self, x):
        q, k, v = self.fc1(x), self.fc2(x), self.fc3(x)
        return self.fc4(self.weights(q @ k.swapaxes(-1, -2)) @ v)

    def weights(self, s):
        return softmax(s / len(self.fc1.b) ** 0.5)


class OfUnnamedLayersUnscaled(OfUnnamedLayers):
    def weights(self, s):
        return softmax(s)


class ToWindow(SelfAttention):
    """A token attends to itself and to the `window` tokens before it."""

    before = 0

    def __init__(self, d_model, d_k, window=2):
        super().__init__(d_model, d_k)
        self.window = window

    def weights(self, scores):
        lag = np.subtract.outer(*map(np.arange, scores.shape))
        return super().weights(np.where((lag >= 0) & (lag <= self.window - self.before), scores, -np.inf))


class ToWindowLessOne(ToWindow):
    before = 1


class OutputMatrixTransposed:
    """Matrices (out, in), as in a linear layer."""

    def __init__(self, d_model=12, heads=3):
        self.wq, self.wk, self.wv, self.wo = np.random.default_rng(0).normal(size=(4, d_model, d_model))
        self.heads = heads

    def __call__(self, x):
        q, k, v = (np.dot(x, w.T).reshape(len(x), self.heads, -1) for w in (self.wq, self.wk, self.wv))
        p = softmax(np.einsum("ihc,jhc->hij", q, k) / q.shape[-1] ** 0.5)
        return np.dot(np.einsum("hij,jhc->ihc", p, v).reshape(len(x), -1), self.wo)

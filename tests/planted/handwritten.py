"""Mistakes as people write them: short functions, each with the codes that it should be given."""

import numpy as np


def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def student_a(X, Wq, Wk, Wv):
    Q, K, V = X @ Wq, X @ Wk, X @ Wv
    return softmax(Q @ K.T / np.sqrt(K.shape[1])) @ V


def student_b(X, Wq, Wk, Wv):
    Q, K, V = np.dot(X, Wq.T), np.dot(X, Wk.T), np.dot(X, Wv.T)
    scores = np.dot(Q, K.T) / np.sqrt(Q.shape[-1])
    weights = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
    return np.dot(weights, V), weights


def student_c(X, W_Q, W_K, W_V, n_heads):
    D = X.shape[1]
    d = D // n_heads
    outs = []
    for h in range(n_heads):
        rows = slice(h * d, (h + 1) * d)
        q, k, v = X @ W_Q[rows].T, X @ W_K[rows].T, X @ W_V[rows].T
        outs.append(softmax(q @ k.T / np.sqrt(D)) @ v)
    return np.hstack(outs)


def student_d(X, Wq, Wk, Wv, Wo, num_heads):
    B, N, D = X.shape
    q = (X @ Wq.T).reshape(B, num_heads, N, D // num_heads)
    k = (X @ Wk.T).reshape(B, num_heads, N, D // num_heads)
    v = (X @ Wv.T).reshape(B, num_heads, N, D // num_heads)
    a = softmax(q @ k.transpose(0, 1, 3, 2) / np.sqrt(D // num_heads)) @ v
    return a.transpose(0, 2, 1, 3).reshape(B, N, D) @ Wo.T


def student_e(X, Wq, Wk, Wv, heads):
    """Tokens are columns, as in the book."""
    Q, K, V = Wq @ X, Wk @ X, Wv @ X
    out = np.zeros_like(V)
    step = Q.shape[0] // heads
    for h in range(heads):
        s = slice(h * step, (h + 1) * step)
        A = softmax(K[s].T @ Q[s] / np.sqrt(step), axis=1)
        out[s] = V[s] @ A
    return out


def student_f(inputs, W_query, W_key, W_value):
    weights = softmax(inputs @ W_query.T @ (inputs @ W_key.T).T / W_query.shape[0] ** 0.5)
    return weights.T @ (inputs @ W_value.T)


def student_g(x, wq, wk, wv):
    q, k, v = (np.einsum("...nd,ed->...ne", x, w) for w in (wq, wk, wv))
    s = np.einsum("...nd,...md->...nm", q, k) * q.shape[-1] ** -0.5
    return np.einsum("...nm,...me->...ne", softmax(s), v) + x


def student_h(x, wq, wk, wv, wo, h):
    n, d = x.shape
    split = lambda a: a.reshape(n, h, -1).swapaxes(0, 1)  # noqa: E731 - as people write it
    q, k, v = split(x @ wq.T), split(x @ wk.T), split(x @ wv.T)
    o = softmax(q @ k.swapaxes(1, 2) / np.sqrt(d / h)) @ v
    return o.reshape(n, d) @ wo.T


def causal_a(q, k, v, is_causal=False):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if is_causal:
        s = np.where(np.triu(np.ones(s.shape[-2:], bool)), s, -np.inf)
    return softmax(s) @ v


def causal_b(q, k, v, causal=False):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    p = softmax(s)
    if causal:
        p = np.tril(p)
    return p @ v


def masked_a(Q, K, V, mask=None):
    scores = Q @ K.swapaxes(-2, -1) / np.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores + mask * -1e9
    return softmax(scores) @ V


def grouped(q, k, v):
    k = np.concatenate([k] * (q.shape[1] // k.shape[1]), axis=1)
    v = np.concatenate([v] * (q.shape[1] // v.shape[1]), axis=1)
    return softmax(q @ k.mT / q.shape[-1] ** 0.5) @ v


def two_sides(X, Wq, Wk, Wv):
    s = X @ Wq.T @ (X @ Wk.T).T * np.sqrt(len(Wk))
    return softmax(s, axis=0) @ (X @ Wv.T)


def padded(q, k, v, lengths):
    s = np.einsum("bhnd,bhmd->bhnm", q, k) / np.sqrt(q.shape[-1])
    return softmax(s) @ v


def rooted(queries, keys, values, attn_mask=None):
    s = queries @ keys.swapaxes(-1, -2) / queries.shape[-1]
    if attn_mask is not None:
        s = np.where(attn_mask, s, -np.inf)
        s = np.where(attn_mask.any(-1, keepdims=True), s, 0.0)
    p = softmax(s)
    if attn_mask is not None:
        p = np.where(attn_mask, p, 0.0)
        values = np.where(np.broadcast_to(attn_mask, p.shape).any(-2)[..., None], values, 0.0)
    return p @ values


def keys_as_values(Q, K, V):
    n, d = Q.shape
    out = np.zeros((n, V.shape[1]))
    for i in range(n):
        s = np.array([Q[i] @ K[j] for j in range(len(K))]) / np.sqrt(d)
        out[i] = softmax(s) @ K[:, : V.shape[1]]  # as many features as the values have
    return out


EXPECTED = {
    student_a: set(),  # (in, out) matrices are a convention
    student_b: {"softmax-overflow"},
    student_c: {"scale-model-width"},
    student_d: {"heads-split-unmoved"},
    student_e: {"softmax-axis"},
    student_f: {"mix-transposed"},  # or: the softmax over the queries of K Qᵀ
    student_g: {"residual-added"},
    student_h: {"heads-merged-unmoved"},
    causal_a: {"causal-reversed"},
    causal_b: {"mask-after-softmax"},
    masked_a: {"mask-finite-fill", "mask-leaks-nan"},  # and True hides
    grouped: {"groups-tiled"},
    two_sides: {"scale-inverted", "softmax-axis"},
    padded: {"lengths-ignored"},
    rooted: {"scale-no-root"},
    keys_as_values: {"values-are-keys"},
}

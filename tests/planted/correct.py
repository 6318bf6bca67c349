"""Correct functions, a hundred and more: every style, in every way people present theirs, and unusual algorithms."""

import inspect
from collections import namedtuple
from functools import partial

import numpy as np

from planted import mutants

Result = namedtuple("Result", "output attention")


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def presented():
    """The styles of the garden, each presented in several ways: style, kind, presentation and function."""
    for style in mutants.STYLES:
        for kind in ("self_attention", "multi_head", "attention"):
            if style == "columns" and kind == "attention":
                continue
            for name, present in PRESENTATIONS.items():
                if kind == "attention" and name in (
                    "in, out",
                    "fused names",
                    "heads in another order",
                    "whole batches",
                ):
                    continue
                if style == "columns" and name in ("in, out", "whole batches", "orientation as asked"):
                    continue
                if name == "heads in another order" and kind != "multi_head":
                    continue
                yield style, kind, name, present(style, kind)


def plain(style, kind):
    return mutants.plant(style, kind)


def with_weights(style, kind):
    return mutants.plant(style, kind, weights=True)


def as_named_tuple(style, kind):
    f = mutants.plant(style, kind, weights=True)
    return signed(f, lambda *a, **k: Result(*f(*a, **k)))


def as_lists(style, kind):
    f = mutants.plant(style, kind)
    return signed(f, lambda *a, **k: f(*a, **k).tolist())


def mean_weights(style, kind):
    f = mutants.plant(style, kind, weights=True)

    def g(*a, **k):
        output, p = f(*a, **k)
        return output, p.mean(axis=-3)

    return signed(f, g)


def with_more_options(style, kind):
    f = mutants.plant(style, kind)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in (("dropout", 0.0), ("training", False), ("verbose", 0))
    ]
    signature = inspect.signature(f)

    def g(*a, dropout=0.0, training=False, verbose=0, **k):
        print("called")
        return f(*a, **k)

    g.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])
    return g


def in_float32(style, kind):
    f = mutants.plant(style, kind)

    def g(*a, **k):
        """Works in float32 and returns float32."""
        a = [np.asarray(x, np.float32) if getattr(x, "dtype", None) == np.float64 else x for x in a]
        k = {n: np.asarray(x, np.float32) if getattr(x, "dtype", None) == np.float64 else x for n, x in k.items()}
        return np.asarray(f(*a, **k), np.float32)

    return signed(f, g)


def in_out(style, kind):
    f = mutants.plant(style, kind)

    def g(X, Wq, Wk, Wv, *rest, **k):
        """Each weight matrix is of shape (d_model, d_k): X @ W."""
        if "Wo" in k:
            k["Wo"] = k["Wo"].T
        return f(X, Wq.T, Wk.T, Wv.T, *rest, **k)

    return signed(f, g)


def fused_names(style, kind):
    f = mutants.plant(style, kind)
    if kind == "self_attention":
        return lambda embeddings, W_query, W_key, W_value: f(embeddings, W_query, W_key, W_value)
    return lambda inputs, W_Q, W_K, W_V, W_O, *, num_heads: f(inputs, W_Q, W_K, W_V, W_O, num_heads)


def positional_only(style, kind):
    f = mutants.plant(style, kind)
    if kind == "self_attention":
        return lambda a, b, c, d, /: f(a, b, c, d)
    if kind == "multi_head":
        return lambda a, b, c, d, e, f_, /: f(a, b, c, d, e, f_)
    return lambda a, b, c, /: f(a, b, c)


def heads_in_another_order(style, kind):
    f = mutants.plant(style, kind)

    def g(X, Wq, Wk, Wv, Wo, heads):
        order = np.roll(np.arange(Wq.shape[0]).reshape(heads, -1), 1, axis=0).ravel()
        if Wv.shape[0] != Wq.shape[0]:
            return f(X, Wq, Wk, Wv, Wo, heads)
        return f(X, Wq[order], Wk[order], Wv[order], Wo[:, order], heads)

    return g


def whole_batches(style, kind):
    f = mutants.plant(style, kind)

    def g(X, *a, **k):
        if X.ndim != 3:
            raise ValueError("expected (batch, tokens, features)")
        return np.stack([f(x, *a, **k) for x in X])

    return signed(f, g)


def read_only_and_fortran(style, kind):
    f = mutants.plant(style, kind)

    def g(*a, **k):
        a = [np.asfortranarray(x) if isinstance(x, np.ndarray) else x for x in a]
        return np.asfortranarray(f(*a, **k))

    return signed(f, g)


def signed(like, f):
    f.__signature__ = inspect.signature(like)
    f.__name__ = like.__name__
    return f


PRESENTATIONS = {
    "plain": plain,
    "with weights": with_weights,
    "a named tuple": as_named_tuple,
    "lists": as_lists,
    "the mean of the weights": mean_weights,
    "more options": with_more_options,
    "float32": in_float32,
    "in, out": in_out,
    "fused names": fused_names,
    "positional": positional_only,
    "heads in another order": heads_in_another_order,
    "whole batches": whole_batches,
    "another memory order": read_only_and_fortran,
}


# unusual algorithms ---------------------------------------------------------------------------------------------------


def products_of_weights(X, Wq, Wk, Wv):
    """The logits are X A Xᵀ with A made once."""
    A = Wq.T @ Wk / np.sqrt(len(Wq))
    return softmax(X @ A @ X.T) @ X @ Wv.T


def scale_in_the_queries(X, Wq, Wk, Wv):
    return softmax(X @ (Wq * len(Wq) ** -0.5).T @ Wk @ X.T) @ (X @ Wv.T)


def base_two_folded(X, Wq, Wk, Wv):
    s = X @ Wq.T @ (X @ Wk.T).T * (np.log2(np.e) / np.sqrt(len(Wq)))
    e = np.exp2(s - s.max(1)[:, None])
    return e @ (X @ Wv.T) / e.sum(1)[:, None]


def online_softmax(X, Wq, Wk, Wv):
    """One key at a time, with a running maximum."""
    q, k, v = X @ Wq.T / np.sqrt(len(Wq)), X @ Wk.T, X @ Wv.T
    top, total, o = np.full(len(X), -np.inf), np.zeros(len(X)), np.zeros((len(X), len(Wv)))
    for m in range(len(X)):
        s = q @ k[m]
        new = np.maximum(top, s)
        keep, add = np.exp(top - new), np.exp(s - new)
        total, o, top = total * keep + add, o * keep[:, None] + add[:, None] * v[m], new
    return o / total[:, None]


def one_maximum_for_all(X, Wq, Wk, Wv):
    s = (X @ Wq.T) @ (X @ Wk.T).T / np.sqrt(len(Wq))
    s = s - s.max(axis=1).reshape(-1, 1)
    return np.exp(s) @ (X @ Wv.T) / np.exp(s).sum(axis=1).reshape(-1, 1)


def log_sum_exp(X, Wq, Wk, Wv):
    s = np.einsum("nd,md->nm", X @ Wq.T, X @ Wk.T) / Wq.shape[0] ** 0.5
    return np.exp(s - np.logaddexp.reduce(s, axis=1, keepdims=True)) @ (X @ Wv.T)


def sigmoids_of_differences(X, Wq, Wk, Wv):
    """p[n, m] = 1 / Σ_j exp(s[n, j] − s[n, m]), no maximum needed: an infinite sum is a weight of zero."""
    s = X @ Wq.T @ (X @ Wk.T).T / np.sqrt(len(Wq))
    return 1 / np.exp(s[:, None, :] - s[:, :, None]).sum(-1) @ (X @ Wv.T)


def one_query_at_a_time(X, Wq, Wk, Wv):
    keys, values = list(map(Wk.__matmul__, X)), list(map(Wv.__matmul__, X))

    def attend(x):
        s = np.array([Wq @ x @ key for key in keys]) / np.sqrt(len(Wq))
        p = np.exp(s - s.max())
        return sum(w * value for w, value in zip(p / p.sum(), values, strict=True))

    return np.vectorize(attend, signature="(d)->(e)")(X)


def tokens_last_to_first(X, Wq, Wk, Wv):
    """Keys in the opposite order: a sum does not mind."""
    return softmax(X @ Wq.T @ (X[::-1] @ Wk.T).T / np.sqrt(len(Wq))) @ (X[::-1] @ Wv.T)


def in_long_double(X, Wq, Wk, Wv):
    X, Wq, Wk, Wv = (np.asarray(a, np.longdouble) for a in (X, Wq, Wk, Wv))
    return softmax(np.dot(np.dot(X, Wq.T), np.dot(X, Wk.T).T) / np.sqrt(np.longdouble(len(Wq)))) @ np.dot(X, Wv.T)


def unscaled_when_asked(X, Wq, Wk, Wv, scale=None):
    scale = 1 / np.sqrt(len(Wq)) if scale is None else scale
    return softmax(scale * X @ Wq.T @ (X @ Wk.T).T) @ X @ Wv.T


def as_asked(X, Wq, Wk, Wv, tokens="rows"):
    x = X if tokens == "rows" else X.T
    o = products_of_weights(x, Wq, Wk, Wv)
    return o if tokens == "rows" else o.T


def one_mask_of_blocks(X, Wq, Wk, Wv, heads):
    """All heads in one product: Q is masked to each head's features and stacked."""
    q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    width, values = q.shape[1] // heads, v.shape[1] // heads
    blocks = np.kron(np.eye(heads), np.ones((1, width)))
    s = (q[None] * blocks[:, None]) @ k.T / np.sqrt(width)
    return (softmax(s) @ v * np.kron(np.eye(heads), np.ones((1, values)))[:, None]).sum(0)


def one_matrix_for_all(X, Wq, Wk, Wv, Wo, n_heads):
    """Queries, keys and values in one product, as in most checkpoints; the output a sum over heads."""
    qkv = X @ np.concatenate([Wq, Wk, Wv]).T
    q, k, v = np.split(qkv, [len(Wq), 2 * len(Wq)], axis=-1)
    o = 0
    for a, b, c, w in zip(*(np.split(t, n_heads, -1) for t in (q, k, v, Wo)), strict=True):
        o = o + softmax(a @ b.mT / np.sqrt(a.shape[-1])) @ c @ w.T
    return o


def causal_by_slices(q, k, v, is_causal=False):
    """A query at a time, on the keys it may see."""

    def row(i):
        see = slice(0, i + 1) if is_causal else slice(None)
        s = np.einsum("...d,...md->...m", q[..., i, :], k[..., see, :]) / np.sqrt(q.shape[-1])
        return np.einsum("...m,...me->...e", softmax(s), v[..., see, :])

    if is_causal and q.shape[-2] != k.shape[-2]:
        raise ValueError("causal needs as many queries as keys")
    return np.stack([row(i) for i in range(q.shape[-2])], axis=-2)


def masked_arrays(query, key, value, mask=None):
    """One head; what is hidden is left out by numpy.ma."""
    s = query @ key.T / np.sqrt(query.shape[1])
    hidden = np.zeros(s.shape, bool) if mask is None else ~np.broadcast_to(mask, s.shape)
    s = np.ma.array(s, mask=hidden | np.isnan(s))
    e = np.ma.exp(s - s.max(axis=1)[:, None])
    p = (e / e.sum(axis=1)[:, None]).filled(0.0)
    return p @ np.where(hidden.all(axis=0)[:, None], 0.0, value)


def with_masks(X, Wq, Wk, Wv, Wo, num_heads, mask=None, causal=False):
    """Batches only, D × D matrices only, weights with the output."""
    batch, n, width = X.shape

    def split(a):
        return a.reshape(batch, n, num_heads, width // num_heads).transpose(0, 2, 1, 3)

    q, k, v = (split(X @ W.T) for W in (Wq, Wk, Wv))
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(width // num_heads)
    if causal:
        s = np.where(np.tril(np.ones((n, n), bool)), s, -np.inf)
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    top = s.max(axis=-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(top), 0, top))
    total = e.sum(axis=-1, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    return (p @ v).transpose(0, 2, 1, 3).reshape(X.shape) @ Wo.T, p


def with_partial(X, Wq, Wk, Wv, *, norm):
    return softmax(X @ Wq.T @ (X @ Wk.T).T / norm(len(Wq))) @ X @ Wv.T


class Module:
    """A class with a call."""

    def __call__(self, x, w_q, w_k, w_v):
        return products_of_weights(x, w_q, w_k, w_v)

    def forward(self, x, wq, wk, wv, d_k):
        return softmax(x @ wq.T @ (x @ wk.T).T / np.sqrt(d_k)) @ x @ wv.T


UNUSUAL = [
    products_of_weights, scale_in_the_queries, base_two_folded, online_softmax, one_maximum_for_all, log_sum_exp,
    sigmoids_of_differences, one_query_at_a_time, tokens_last_to_first, in_long_double, unscaled_when_asked, as_asked,
    with_masks, one_mask_of_blocks, one_matrix_for_all, causal_by_slices, masked_arrays,
    partial(with_partial, norm=np.sqrt),
    Module(), Module().forward,
]  # fmt: skip


def everything():
    """Names and functions."""
    yield from ((f"{style}, {kind}, {name}", function) for style, kind, name, function in presented())
    yield from ((getattr(f, "__name__", type(f).__name__), f) for f in UNUSUAL)

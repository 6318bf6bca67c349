"""Functions that use variables of their file: matrices, and sizes."""

import numpy as np
import pytest

import headwise as hw

rng = np.random.default_rng(0)
d_model, num_heads = 12, 3
head_dim = d_model // num_heads
scale = head_dim**-0.5
W_q, W_k, W_v, W_o = (rng.normal(size=(d_model, d_model)) for _ in range(4))
weights = {"query": rng.normal(size=(6, 4)), "key": rng.normal(size=(6, 4)), "value": rng.normal(size=(6, 4))}
omega_q, omega_k, omega_v = (rng.normal(size=(4, 4)) for _ in range(3))
beta_q, beta_k, beta_v = (rng.normal(size=(4, 1)) for _ in range(3))


omega_q1, omega_k1, omega_v1, omega_q2, omega_k2, omega_v2 = (rng.normal(size=(3, 6)) for _ in range(6))
beta_q1, beta_k1, beta_v1, beta_q2, beta_k2, beta_v2 = (rng.normal(size=(3, 1)) for _ in range(6))
omega_c = rng.normal(size=(6, 6))


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def split(x, heads):
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def project(x):
    return split(x @ W_q, num_heads), split(x @ W_k, num_heads), split(x @ W_v, num_heads)


def many_heads(x):
    q, k, v = project(x)
    p = softmax(q @ k.transpose(0, 2, 1) * scale)
    return (p @ v).transpose(1, 0, 2).reshape(len(x), d_model) @ W_o


def many_heads_unscaled(x):
    q, k, v = project(x)
    return (softmax(q @ k.transpose(0, 2, 1)) @ v).transpose(1, 0, 2).reshape(len(x), d_model) @ W_o


def heads_as_argument(x, heads):
    q, k, v = (split(x @ w, heads) for w in (W_q, W_k, W_v))
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(d_model))
    return (p @ v).transpose(1, 0, 2).reshape(len(x), d_model) @ W_o


def one_head(x):
    q, k, v = x @ weights["query"], x @ weights["key"], x @ weights["value"]
    return softmax(q @ k.T / np.sqrt(4), axis=0) @ v


def keys_as_queries(x):
    k, v = split(x @ W_k, num_heads), split(x @ W_v, num_heads)
    p = softmax(k @ k.transpose(0, 2, 1) * scale)
    return (p @ v).transpose(1, 0, 2).reshape(len(x), d_model) @ W_o


def columns(X):
    q, k, v = beta_q + omega_q @ X, beta_k + omega_k @ X, beta_v + omega_v @ X
    return v @ softmax(k.T @ q / 2, axis=0)


def columns_swapped(X):
    q, k, v = beta_q + omega_q @ X, beta_k + omega_k @ X, beta_v + omega_v @ X
    return v @ softmax(q.T @ k / 2, axis=0)


def column_head(X, omega_q, omega_k, omega_v, beta_q, beta_k, beta_v):
    q, k, v = beta_q + omega_q @ X, beta_k + omega_k @ X, beta_v + omega_v @ X
    return v @ softmax(k.T @ q / np.sqrt(len(k)), axis=0)


def two_column_heads(X):
    first = column_head(X, omega_q1, omega_k1, omega_v1, beta_q1, beta_k1, beta_v1)
    second = column_head(X, omega_q2, omega_k2, omega_v2, beta_q2, beta_k2, beta_v2)
    return omega_c @ np.concatenate([first, second])


def second_head_forgotten(X):
    first = column_head(X, omega_q1, omega_k1, omega_v1, beta_q1, beta_k1, beta_v1)
    second = column_head(X, omega_q1, omega_k1, omega_v2, beta_q1, beta_k1, beta_v2)
    return omega_c @ np.concatenate([first, second])


def matrices_as_arguments(x, w_q, w_k, w_v):
    q, k, v = (split(x @ w, num_heads) for w in (w_q, w_k, w_v))
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(w_q.shape[1] / num_heads))
    return np.hstack(list(p @ v))


def model_width_as_variable(x, w_q, w_k, w_v):
    q, k, v = (split(x @ w, num_heads) for w in (w_q, w_k, w_v))
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(d_model))
    return np.hstack(list(p @ v))


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes", "convention"),
    [
        (many_heads, (), ""),
        (many_heads_unscaled, ("scale-missing",), ""),
        (heads_as_argument, ("scale-model-width",), ""),
        (one_head, ("softmax-axis",), ""),
        (keys_as_queries, ("weights-reused",), ""),
        (columns, (), "tokens-as-columns"),
        (columns_swapped, ("qk-swapped",), "tokens-as-columns"),
        (two_column_heads, (), "tokens-as-columns"),
        (second_head_forgotten, ("heads-share-weights",), "tokens-as-columns"),
        (matrices_as_arguments, (), "weights-in-out"),
        (model_width_as_variable, ("scale-model-width",), "weights-in-out"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_variables_are_the_weights_and_sizes(function, mistakes, convention):
    before = [a.tobytes() for a in (W_q, W_k, W_v, W_o, omega_q, *weights.values())]
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes
    assert not convention or convention in verdict.conventions
    assert before == [a.tobytes() for a in (W_q, W_k, W_v, W_o, omega_q, *weights.values())]


def test_the_line_of_the_mistake_is_found():
    assert "softmax(q.T @ k / 2, axis=0)" in hw.check(columns_swapped).report()


def decode(x_t, keys_so_far, values_so_far):
    """One decoding step with the matrices of the file. x_t: (d,); keys_so_far, values_so_far: (t, d), those before."""
    q = x_t @ W_q
    K, V = np.vstack([keys_so_far, x_t @ W_k]), np.vstack([values_so_far, x_t @ W_v])
    return softmax(K @ q / np.sqrt(len(q))) @ V, K, V


def decode_with_dictionary(x_new, cache):
    """x_new: (1, d); cache: dict with "k" and "v" (t, d), those before."""
    K = np.concatenate([cache["k"], x_new @ W_k])
    V = np.concatenate([cache["v"], x_new @ W_v])
    return softmax(x_new @ W_q @ K.T) @ V, {"k": K, "v": V}


def test_matrices_next_to_earlier_keys_are_arguments():
    assert "keys-cached" in hw.check(decode).conventions
    assert hw.check(decode).mistakes == ()
    assert hw.check(decode_with_dictionary).mistakes == ("scale-missing",)

"""Queries, keys and values in one array, and tokens that are all three themselves."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.loading import load_function


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def tokens_before_heads(qkv):
    """qkv: (B, N, 3, H, d)"""
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    p = softmax(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("bhnm,bmhd->bnhd", p, v)


def without_scale(qkv):
    """qkv: (B, N, 3, H, d)"""
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    return np.einsum("bhnm,bmhd->bnhd", softmax(np.einsum("bnhd,bmhd->bhnm", q, k)), v)


def first_axis(qkv, mask=None):
    q, k, v = qkv
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(s if mask is None else np.where(mask, s, -np.inf)) @ v


def first_axis_reversed(qkv, causal=False):
    q, k, v = qkv
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(np.triu(np.ones(s.shape[-2:], bool)), s, -np.inf) if causal else s) @ v


def keys_last(qkv):
    q, v, k = np.split(qkv, 3, axis=-1)
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v


def all_heads(qkv, num_heads):
    items, n, width = qkv.shape
    q, k, v = qkv.reshape(items, n, 3, num_heads, -1).transpose(2, 0, 3, 1, 4)
    o = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v
    return o.swapaxes(1, 2).reshape(items, n, width // 3)


def all_heads_unmoved(qkv, num_heads):
    items, n, width = qkv.shape
    q, k, v = qkv.reshape(items, n, 3, num_heads, -1).transpose(2, 0, 3, 1, 4)
    return (softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v).reshape(items, n, width // 3)


def of_each_head(qkv, n_heads):
    """Columns are positions, and each head's queries, keys and values follow one another."""
    items, width, length = qkv.shape
    q, k, v = np.split(qkv.reshape(items * n_heads, -1, length), 3, axis=1)
    p = softmax(np.einsum("bct,bcs->bts", q, k) * (width // n_heads // 3) ** -0.5)
    return np.einsum("bts,bcs->bct", p, v).reshape(items, -1, length)


def merged(qkv):
    items, n, _, heads, d = qkv.shape
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    return (softmax(q @ k.swapaxes(-1, -2) / np.sqrt(d)) @ v).swapaxes(1, 2).reshape(items, n, heads * d)


@pytest.mark.parametrize("function", [tokens_before_heads, first_axis, all_heads, of_each_head, merged])
def test_one_array_of_queries_keys_and_values_is_right(function):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert "qkv-packed" in verdict.conventions


@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (without_scale, "scale-missing"),
        (first_axis_reversed, "causal-reversed"),
        (keys_last, "kv-swapped"),
        (all_heads_unmoved, "heads-merged-unmoved"),
    ],
)
def test_a_mistake_in_such_a_function_is_named(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


def simple(x):
    return softmax(x @ x.T) @ x


def simple_and_scaled(inputs, mask=None):
    s = inputs @ inputs.swapaxes(-1, -2) / np.sqrt(inputs.shape[-1])
    return softmax(s if mask is None else np.where(mask, s, -np.inf)) @ inputs


def scaled_only_by_name(x):
    """Scaled dot-product attention of tokens with themselves."""
    return softmax(x @ x.T) @ x


def over_queries(x):
    return softmax(x @ x.T, axis=0) @ x


def with_residual(x):
    return x + softmax(x @ x.T) @ x


def of_no_other_token(x):
    return softmax(x)


def queries_and_values(query, values):
    return softmax(query @ values.T) @ values


@pytest.mark.parametrize(
    ("function", "conventions"),
    [
        (simple, {"unprojected", "unscaled"}),
        (simple_and_scaled, {"unprojected"}),
        (queries_and_values, {"unprojected", "unscaled"}),
    ],
)
def test_tokens_may_be_queries_keys_and_values_themselves(function, conventions):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert set(verdict.conventions) == conventions


@pytest.mark.whole_search
@pytest.mark.parametrize(
    ("function", "mistake"),
    [(scaled_only_by_name, "scale-missing"), (over_queries, "softmax-axis"), (with_residual, "residual-added")],
)
def test_a_mistake_without_projections_is_named(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


def test_a_function_that_mixes_no_tokens_is_no_attention():
    with pytest.raises(hw.errors.HeadwiseError, match="cannot be called as attention"):
        hw.check(of_no_other_token)


def test_the_attention_of_a_file_is_preferred_to_its_helpers(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\n"
        "def columns(x):\n    return np.exp(x) / np.exp(x).sum(axis=0)\n\n"
        "def mine(q, k, v):\n    return columns((q @ k.T).T).T @ v\n"
    )
    function, *_ = load_function(str(tmp_path / "mine.py"))
    assert function.__name__ == "mine"


def weights_alone(q, k, v, mask=None):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(s if mask is None else np.where(mask, s, -1e30))


def weights_without_scale(X, Wq, Wk, Wv, num_heads):
    q, k = (np.stack(np.split(X @ W.T, num_heads, axis=-1)) for W in (Wq, Wk))
    return softmax(q @ k.swapaxes(-1, -2))


def test_values_that_are_not_used_leave_the_weights_to_be_judged():
    verdict = hw.check(weights_alone)
    assert verdict.ok, verdict.report()
    assert "weights-only" in verdict.conventions
    assert any("output" in line for line in verdict.untested)
    assert hw.check(weights_without_scale).mistakes == ("scale-missing",)


def keys_by_default(query, key=None, value=None):
    key = query if key is None else key
    value = key if value is None else value
    return softmax(query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])) @ value


def test_optional_keys_and_values_are_passed():
    verdict = hw.check(keys_by_default)
    assert (verdict.kind, verdict.ok, verdict.untested) == ("attention", True, ())

"""However a function wants its arguments, it is found out; what cannot be called is told."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker import UncallableError
from headwise.errors import DataError


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def right(X, Wq, Wk, Wv):
    return softmax(X @ Wq.T @ (X @ Wk.T).T / np.sqrt(len(Wq))) @ X @ Wv.T


def unscaled(X, Wq, Wk, Wv):
    return softmax(X @ Wq.T @ (X @ Wk.T).T) @ X @ Wv.T


def pairs(q, k, v, mask=None):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    mask = np.ones(s.shape, bool) if mask is None else np.broadcast_to(mask, s.shape)
    s = np.where(mask, s, -np.inf)
    e = np.exp(s - np.where(mask.any(-1, keepdims=True), s.max(-1, keepdims=True), 0))
    total = e.sum(-1, keepdims=True)
    seen = mask.any(-2)[..., None]
    return e / np.where(total == 0, 1, total) @ np.where(seen, v, 0)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ["auto", "self_attention"])
@pytest.mark.parametrize(
    "present",
    [
        lambda f: f,
        lambda f: lambda a, b, c, d: f(a, b, c, d),
        lambda f: lambda *args: f(*args),
        lambda f: lambda *, w_v, w_k, w_q, x: f(x, w_q, w_k, w_v),
        lambda f: lambda Wv, Wk, Wq, tokens: f(tokens, Wq, Wk, Wv),
        lambda f: lambda X, Wq, Wk, Wv, d_k: f(X, Wq, Wk, Wv) if d_k == len(Wq) else None,
        lambda f: lambda X, Wq, Wk, Wv: f(X.T, Wq, Wk, Wv).T,
        lambda f: lambda X, Wq, Wk, Wv: np.stack([f(x, Wq, Wk, Wv) for x in X]) if X.ndim == 3 else [][0],
        lambda f: lambda X, Wq, Wk, Wv: f(X, Wq, Wk, Wv).tolist(),
        lambda f: lambda X, Wq, Wk, Wv: {"output": f(X, Wq, Wk, Wv)},
    ],
    ids=["names", "positions", "star", "keywords", "order", "width", "columns", "batch", "lists", "dict"],
)
def test_self_attention_however_it_is_presented(present, kind):
    assert hw.check(present(right), kind).mistakes == ()
    assert hw.check(present(unscaled), kind).mistakes == ("scale-missing",)


@pytest.mark.parametrize("layout", ["BHNd", "HNd", "Nd"])
def test_attention_in_every_layout(layout):
    def only(q, k, v, mask=None):
        if q.ndim != len(layout):
            raise ValueError(f"expected {layout}")
        return pairs(q, k, v, mask)

    verdict = hw.check(only)
    assert verdict.ok, verdict.mistakes
    assert ", ".join(layout) in verdict.calling_convention


def test_a_mask_of_keys_is_offered_where_one_of_pairs_is_refused():
    def padded(q, k, v, mask):
        batch, keys = mask.shape  # refuses any other
        if (batch, keys) != (len(q), k.shape[2]):
            raise ValueError("expected (batch, keys)")
        return pairs(q, k, v, mask[:, None, None])

    verdict = hw.check(padded)
    assert verdict.ok, verdict.mistakes
    assert hw.check(lambda q, k, v, mask: padded(q, k, v, mask) * 0 + pairs(q, k, v)).mistakes == ("mask-ignored",)


def test_a_mask_whose_entries_are_not_read():
    def future_hidden(q, k, v, mask=None):
        return pairs(q, k, v, None if mask is None else np.tri(q.shape[2], k.shape[2], dtype=bool))

    assert hw.check(future_hidden).mistakes == ("mask-ignored",)


def test_a_function_may_say_that_its_matrices_are_in_out():
    def f(X, Wq, Wk, Wv):
        """Wq, Wk, Wv: arrays of shape (d_model, d_k)."""
        return right(X, Wq.T, Wk.T, Wv.T)

    assert hw.check(f).ok
    f.__doc__ = "Self-attention."
    verdict = hw.check(f, source="")
    assert verdict.ok
    assert verdict.conventions == ("weights-in-out",)
    assert hw.check(f, source="", weights="out-in").mistakes == ("weights-transposed",)

    def right_after_all(X, Wq, Wk, Wv):
        """Matrices of shape (in, out)."""
        return right(X, Wq, Wk, Wv)

    assert hw.check(right_after_all, source="").ok


def test_a_function_may_say_that_it_is_causal():
    def causal_attention(q, k, v):
        return pairs(q, k, v, np.tril(np.ones((q.shape[-2], k.shape[-2]), bool)))

    def causal_in_name_only(q, k, v):
        return pairs(q, k, v)

    assert hw.check(causal_attention).ok
    assert hw.check(causal_in_name_only).mistakes == ("causal-missing",)
    verdict = hw.check(lambda q, k, v: causal_attention(q, k, v), source="")
    assert verdict.ok
    assert verdict.conventions == ("causal-unasked",)


def test_a_default_that_is_a_number_asks_for_it():
    def f(q, k, v, scale=1.0, causal=True):
        mask = np.tril(np.ones((q.shape[-2], k.shape[-2]), bool)) if causal else None
        return pairs(q * scale * q.shape[-1] ** 0.5, k, v, mask)

    assert hw.check(f).ok


def test_an_adapter_makes_the_call():
    def module(x, weights):
        q, k, v = weights
        return right(x, q.T, k.T, v.T)

    def adapter(f, X, Wq, Wk, Wv):
        return f(X, (Wq.T, Wk.T, Wv.T))

    assert hw.check(module, adapter=adapter).ok
    assert hw.check(lambda x, w: 2 * module(x, w), adapter=adapter).mistakes == ("unknown",)


def test_torch_tensors_through_the_adapter():
    torch = pytest.importorskip("torch")

    def f(X, Wq, Wk, Wv):
        q, k, v = (torch.nn.functional.linear(X, W) for W in (Wq, Wk, Wv))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    assert hw.check(f, adapter="torch").ok


def test_a_function_whose_batch_differs_from_its_items_is_not_right():
    def f(X, Wq, Wk, Wv):
        return right(X, Wq, Wk, Wv) if X.ndim == 2 else np.cumsum(right(X[0], Wq, Wk, Wv)[None].repeat(len(X), 0), 0)

    verdict = hw.check(f)
    assert verdict.mistakes == ("unknown",)
    assert any("nothing explains" in note for note in verdict.notes)


def test_an_option_that_is_refused_is_told():
    def f(q, k, v, softcap=None):
        if softcap is not None:
            raise NotImplementedError("softcap")
        return pairs(q, k, v)

    verdict = hw.check(f)
    assert verdict.ok
    assert any("NotImplementedError: softcap" in what for what in verdict.untested)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hw.check(3), DataError, "function: expected something that can be called; got int"),
        (lambda: hw.check(right, "heads"), DataError, "kind: expected one of auto, self_attention, multi_head"),
        (lambda: hw.check(right, adapter="jax"), DataError, 'adapter: expected a function or "torch"'),
        (lambda: hw.check(lambda X, Wq, Wk, Wv: None), UncallableError, r"with X of shape \(N, D\)"),
        (lambda: hw.check(lambda a: a), UncallableError, "no other token influences"),
        (lambda: hw.check(right, "attention"), UncallableError, "cannot be called as attention"),
        (lambda: hw.check(lambda q, k, v: exec("raise SystemExit(1)")), UncallableError, "SystemExit: 1"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def heads_of_config(x, params, config):
    B, N, D = x.shape
    q, k, v = ((x @ params[w]).reshape(B, N, config.n_head, D // config.n_head) for w in ("wq", "wk", "wv"))
    p = softmax(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(D // config.n_head))
    return np.einsum("bhnm,bmhd->bnhd", p, v).reshape(B, N, D) @ params["wo"]


def heads_of_dictionary(x, w_qkv, w_out, cfg):
    B, N, D = x.shape
    parts = np.split(x @ w_qkv, 3, axis=-1)
    q, k, v = (a.reshape(B, N, cfg["num_heads"], -1).swapaxes(1, 2) for a in parts)
    p = softmax(q @ k.swapaxes(2, 3) / np.sqrt(cfg["d_model"]))
    return (p @ v).swapaxes(1, 2).reshape(B, N, D) @ w_out


def test_a_configuration_gives_the_number_of_heads():
    assert hw.check(heads_of_config).mistakes == ()
    assert hw.check(heads_of_dictionary).mistakes == ("scale-model-width",)


def test_keys_and_values_of_earlier_tokens_are_passed_apart():
    def step(q, k_cache, v_cache, k_new, v_new):
        k, v = np.concatenate([k_cache, k_new], axis=-2), np.concatenate([v_cache, v_new], axis=-2)
        return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v

    def causal_step(q, k, v, past_k, past_v):
        k, v = np.concatenate([past_k, k], axis=-2), np.concatenate([past_v, v], axis=-2)
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        n, m = np.arange(q.shape[-2])[:, None] + past_k.shape[-2], np.arange(k.shape[-2])
        return softmax(np.where(m <= n, s, -np.inf)) @ v

    def values_not_cached(q, k_cache, v_cache, k_new, v_new):
        k, v = np.concatenate([k_cache, k_new], axis=-2), np.concatenate([v_new, v_cache], axis=-2)
        return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v

    assert hw.check(step).mistakes == ()
    assert hw.check(causal_step).mistakes == ()
    assert not hw.check(values_not_cached).ok


def test_rows_sum_to_one_where_a_head_is_narrower_than_there_are_tokens():
    def two_heads(X, Wq1, Wk1, Wv1, Wq2, Wk2, Wv2):
        heads = ((Wq1, Wk1, Wv1), (Wq2, Wk2, Wv2))
        return np.hstack([softmax(X @ q.T @ (X @ k.T).T / np.sqrt(len(q))) @ X @ v.T for q, k, v in heads])

    properties = {p.name: p.holds for p in hw.check(two_heads).properties}
    assert properties["rows-sum-to-one"]
    assert properties["shift-invariant"]
    assert properties["linear-in-values"]


def by_head(x, w, heads):
    return (x @ w).reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def shared_keys(x, Wq, Wk, Wv, Wo, num_heads):
    q, k, v = by_head(x, Wq, num_heads), by_head(x, Wk, 1), by_head(x, Wv, 1)
    o = softmax(q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])) @ v
    return o.swapaxes(1, 2).reshape(*x.shape[:2], -1) @ Wo


def grouped(x, wq, wk, wv, wo, n_heads, n_kv_heads, repeat=np.repeat):
    q, k, v = by_head(x, wq, n_heads), by_head(x, wk, n_kv_heads), by_head(x, wv, n_kv_heads)
    k, v = (repeat(a, n_heads // n_kv_heads, axis=1) for a in (k, v))
    o = softmax(q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])) @ v
    return o.swapaxes(1, 2).reshape(*x.shape[:2], -1) @ wo


def tiled(x, wq, wk, wv, wo, n_heads, n_kv_heads):
    return grouped(x, wq, wk, wv, wo, n_heads, n_kv_heads, lambda a, times, axis: np.concatenate([a] * times, axis))


def test_functions_with_fewer_heads_of_keys():
    assert hw.check(shared_keys).mistakes == ()
    assert hw.check(grouped).mistakes == ()
    assert hw.check(tiled).mistakes == ("groups-tiled",)


@pytest.mark.whole_search
def test_keys_of_the_context_and_of_the_tokens():
    def cross(x, context, Wq, Wk, Wv):
        both = np.concatenate([context, x], axis=-2)
        q, k, v = x @ Wq, both @ Wk, both @ Wv
        return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v

    def unscaled_cross(latents, x, Wq, Wk, Wv):
        both = np.concatenate([latents, x], axis=-2)
        return softmax(latents @ Wq @ (both @ Wk).swapaxes(-1, -2)) @ (both @ Wv)

    verdict = hw.check(cross)
    assert verdict.ok
    assert "context-and-tokens" in verdict.conventions
    assert hw.check(unscaled_cross).mistakes == ("scale-missing",)


def test_matrices_as_attributes_of_an_argument():
    def heads_summed(x, p, n_heads):
        q, k, v = (np.stack(np.split(x @ w, n_heads, axis=-1)) for w in (p.Wq, p.Wk, p.Wv))
        return (softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v).sum(axis=0)

    assert hw.check(heads_summed).mistakes == ("heads-summed",)


def test_sums_that_are_not_kept_as_an_axis():
    def attend(X, Wq, Wk, Wv):
        S = X @ Wq @ (X @ Wk).T / np.sqrt(Wk.shape[1])
        A = np.exp(S - S.max(axis=1)[:, None])
        return A / A.sum(axis=1) @ (X @ Wv)

    assert hw.check(attend).mistakes == ("softmax-keepdims",)

"""Names, layouts and forms that everyday code has: they are understood, and what is wrong next to them is named."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.diff import diff


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def split(a, heads):
    return a.reshape(*a.shape[:-1], heads, -1).swapaxes(-2, -3)


def merge(o):
    return o.swapaxes(-2, -3).reshape(*o.shape[:-3], o.shape[-2], -1)


def projected_already(query_proj, key_proj, value_proj):
    return softmax(query_proj @ key_proj.swapaxes(-1, -2) / np.sqrt(query_proj.shape[-1])) @ value_proj


def in_c(x, qkvw, qkvb, attprojw, attprojb, NH):
    q, k, v = (split(a, NH) for a in np.split(x @ qkvw.T + qkvb, 3, axis=-1))
    return merge(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v) @ attprojw.T + attprojb


def by_the_model_width(inp, NH):
    C = inp.shape[-1] // 3
    q, k, v = (split(a, NH) for a in (inp[..., :C], inp[..., C : 2 * C], inp[..., 2 * C :]))
    return merge(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(C)) @ v)


def split_by_a_number(x, w_qkv, w_out, n_splits):
    b, n, c = x.shape
    d = c // n_splits
    q, k, v = (a.reshape(b, n, n_splits, d).swapaxes(1, 2) for a in np.split(x @ w_qkv, 3, axis=-1))
    return merge(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(c)) @ v) @ w_out


def with_a_number_of_keys(q, k, v, n_valid):
    """n_valid (B,)"""
    counts = np.arange(k.shape[-2]) < n_valid[:, None, None, None]
    return softmax(np.where(counts, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -1e30)) @ v


def queries_and_keys_in_one(entities, qk_w, v_w, exists, heads=2):
    """entities (B, N, D); qk_w (D, 2 * D): queries then keys; v_w (D, D); exists (B, N)"""
    q, k = (split(a, heads) for a in np.split(entities @ qk_w, 2, axis=-1))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return merge(softmax(np.where(exists[:, None, None, :], s, -1e10)) @ split(entities @ v_w, heads))


def with_a_bias_of_each_head(m, pair_bias, Wq, Wk, Wv, Wo):
    """pair_bias (heads, N, N)"""
    q, k, v = (split(m @ W.T, len(pair_bias)) for W in (Wq, Wk, Wv))
    return merge(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + pair_bias) @ v) @ Wo.T


def with_a_transposed_bias(m, pair_bias, Wq, Wk, Wv, Wo):
    return with_a_bias_of_each_head(m, pair_bias.swapaxes(1, 2), Wq, Wk, Wv, Wo)


def of_graphs(query, key, value, batch):
    """Nodes (nodes, d) of several graphs; batch (nodes,) says to which graph a node belongs."""
    s = query @ key.T / np.sqrt(query.shape[-1])
    return softmax(np.where(batch[:, None] == batch[None, :], s, -np.inf)) @ value


def of_graphs_with_a_small_fill(query, key, value, batch):
    """Nodes (nodes, d) of several graphs; batch (nodes,) says to which graph a node belongs."""
    same = batch[:, None] == batch[None, :]
    return softmax(query @ key.T / np.sqrt(query.shape[-1]) * np.where(same, 1.0, 0.7)) @ value


def in_tiles(Q, K, V, Br=8, Bc=8, rescale=False):
    """A running softmax; its sum is rescaled, and its output only if asked for."""
    rows = []
    for i in range(0, len(Q), Br):
        largest, total, output = -np.inf, 0.0, 0.0
        for j in range(0, len(K), Bc):
            s = Q[i : i + Br] @ K[j : j + Bc].T / np.sqrt(Q.shape[1])
            now = np.maximum(largest, s.max(axis=1, keepdims=True))
            p, before = np.exp(s - now), np.exp(largest - now)
            total = before * total + p.sum(axis=1, keepdims=True)
            output = (before if rescale else 1) * output + p @ V[j : j + Bc]
            largest = now
        rows.append(output / total)
    return np.concatenate(rows)


def rescaled_tiles(Q, K, V, Br=8, Bc=8):
    return in_tiles(Q, K, V, Br, Bc, rescale=True)


def tiles_of_32(Q, K, V):
    return in_tiles(Q, K, V, 32, 32)


def with_an_axis_for_the_group(Q, K, V):
    """Q (n_tokens, n_kv_heads, q_mult, d_head), K and V (n_tokens, n_kv_heads, d_head)"""
    s = np.einsum("qhgd,khd->hgqk", Q, K) / np.sqrt(Q.shape[-1])
    s = np.where(np.tri(len(Q), dtype=bool), s, -np.inf)
    return np.einsum("hgqk,khd->qhgd", softmax(s), V).reshape(len(Q), -1)


def less_the_maximum_of_all(x, wq, wk, wv):
    s = x @ wq @ (x @ wk).T / np.sqrt(wq.shape[1])
    e = np.exp(s - s.max())
    return e / e.sum(axis=1, keepdims=True) @ (x @ wv)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes", "hazards"),
    [
        (projected_already, (), ()),
        (in_c, (), ()),
        (by_the_model_width, ("scale-model-width",), ()),
        (split_by_a_number, ("scale-model-width",), ()),
        (with_a_number_of_keys, (), ("mask-finite-fill", "mask-leaks-nan")),
        (queries_and_keys_in_one, (), ("mask-finite-fill",)),
        (with_a_bias_of_each_head, (), ()),
        (with_a_transposed_bias, ("bias-transposed",), ()),
        (of_graphs, (), ()),
        (of_graphs_with_a_small_fill, ("unknown",), ()),
        (in_tiles, ("online-not-rescaled",), ()),
        (rescaled_tiles, (), ()),
        (tiles_of_32, ("online-not-rescaled",), ()),
        (with_an_axis_for_the_group, (), ()),
        (less_the_maximum_of_all, (), ("softmax-overflow",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_it_says(function, mistakes, hazards):
    verdict = hw.check(function)
    assert (verdict.mistakes, verdict.hazards) == (mistakes, hazards), verdict.report()


def marked(q, k, v, mask):
    """mask (B, N) marks the time steps that exist"""
    return softmax(np.where(mask[:, None, None, :], -1e30, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))) @ v


def marked_padding(q, k, v, mask):
    """mask (B, N) marks padding"""
    return marked(q, k, v, mask)


def test_what_a_mask_marks_is_what_true_means():
    assert hw.check(marked).mistakes == ("mask-inverted",)
    assert hw.check(marked_padding).ok


def rotated(x, neighbours):
    n, d = x.shape[-2:]
    angles = np.arange(n)[:, None] * 1e4 ** (-np.arange(0, d, 2) / d)
    a, b = (x[..., ::2], x[..., 1::2]) if neighbours else np.split(x, 2, axis=-1)
    pairs = a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)
    return np.stack(pairs, axis=-1).reshape(x.shape) if neighbours else np.concatenate(pairs, axis=-1)


def rotary_of_halves(q, k, v):
    return projected_already(rotated(q, False), rotated(k, False), v)


def rotary_of_neighbours(q, k, v):
    return projected_already(rotated(q, True), rotated(k, True), v)


@pytest.mark.exhaustive
def test_diff_says_which_pairs_each_rotates():
    difference = diff(rotary_of_halves, rotary_of_neighbours)
    assert difference.added == ("rope-layout",)
    assert not difference.same
    assert "(i, i + d/2)" in difference.report()
    assert diff(rotary_of_halves, rotary_of_halves).added == ()


def of_visible(q, k, v, attn_mask):
    """True attends"""
    s = np.where(attn_mask, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    return softmax(s) @ v


def of_hidden(q, k, v, attn_mask):
    """True hides"""
    return of_visible(q, k, v, ~attn_mask)


def of_others_hidden(q, k, v, hidden):
    """True hides"""
    return of_visible(q, k, v, ~hidden)


def of_added(q, k, v, attn_mask):
    """0 or -inf, added to the logits"""
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + attn_mask) @ v


def of_columns(x, Wq, Wk, Wv):
    return projected_already(x @ Wq, x @ Wk, x @ Wv)


def of_rows(x, Wq, Wk, Wv):
    return projected_already(x @ Wq.T, x @ Wk.T, x @ Wv.T)


def of_other_rows(x, W_query, W_key, W_value):
    return of_rows(x, W_query, W_key, W_value)


@pytest.mark.exhaustive
def test_arguments_of_one_name_have_to_mean_the_same():
    opposite = diff(of_visible, of_hidden)
    assert (opposite.same, opposite.added, diff(of_hidden, of_visible).removed) == (
        False,
        ("mask-inverted",),
        ("mask-inverted",),
    )
    assert "the same `attn_mask`" in opposite.report()
    assert "a convention" not in opposite.report()
    assert diff(of_visible, of_others_hidden).same
    assert diff(of_visible, of_added).same
    transposed, renamed = diff(of_columns, of_rows), diff(of_columns, of_other_rows)
    assert (transposed.same, transposed.removed) == (False, ("weights-transposed",))
    assert renamed.same
    assert "(in, out) matrices" in renamed.report()


def without_scale_in_float32(q, k, v):
    return projected_already(*(a.astype(np.float32) for a in (q * np.sqrt(q.shape[-1]), k, v)))


def in_float32(q, k, v):
    return projected_already(*(a.astype(np.float32) for a in (q, k, v)))


def test_diff_lists_no_edge_cases_that_rounding_or_a_mistake_explains():
    assert diff(projected_already, in_float32).edge_cases == ()
    assert diff(projected_already, without_scale_in_float32).edge_cases == ()


def rotated_the_other_way(q, k, v):
    """The queries are rotated by twice their place."""
    return projected_already(rotated(rotated(q, False), False), rotated(k, False), v)


@pytest.mark.exhaustive
def test_a_constant_that_may_be_rotated_shows_nothing():
    assert "shift-invariant" not in {p.name for p in hw.check(rotated_the_other_way).properties}
    assert {p.name: p.holds for p in hw.check(projected_already).properties}["shift-invariant"]
    without_normalising = {p.name: p.holds for p in hw.check(lambda q, k, v: q @ k.swapaxes(-1, -2) @ v).properties}
    assert not without_normalising["shift-invariant"]


def columns_of_the_other_axis(X, Wq, Wk, Wv):
    """X (d, n), a token in each column"""
    s = (Wk @ X).T @ (Wq @ X) / np.sqrt(len(Wq))
    return Wv @ X @ softmax(s, axis=1)


def one_head_of_keys(x, Wq, Wk, Wv, Wo, n_heads):
    n, d = len(x), Wk.shape[1]
    q = (x @ Wq).reshape(n, d, n_heads).transpose(2, 0, 1)
    return (softmax(q @ (x @ Wk).T / np.sqrt(d)) @ (x @ Wv)).swapaxes(0, 1).reshape(n, -1) @ Wo


def learned_queries(S, X, W_Q, W_K, W_V, num_heads=4):
    """S: (batch, seeds, dim) learned seeds; X: (batch, items, dim) the set"""
    q, k, v = (split(a, num_heads) for a in (S @ W_Q, X @ W_K, X @ W_V))
    return merge(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(W_Q.shape[-1])) @ v)


def learned_queries_in_a_dictionary(anchors, points, params):
    q, k, v = np.matmul(anchors, params["wq"]), np.matmul(points, params["wk"]), np.matmul(points, params["wv"])
    return projected_already(q, k, v)


def test_learned_queries_have_any_name():
    verdict = hw.check(learned_queries)
    assert (verdict.kind, verdict.mistakes) == ("cross_attention", ("scale-model-width",))
    verdict = hw.check(learned_queries_in_a_dictionary)
    assert (verdict.kind, verdict.mistakes) == ("cross_attention", ())


def context_itself(x, context, Wq, Wk, Wv):
    return softmax(x @ Wq @ (context @ Wk).T / np.sqrt(Wq.shape[1])) @ context


def test_mistakes_next_to_one_head_of_keys_and_a_context():
    assert hw.check(one_head_of_keys).mistakes == ("heads-interleaved",)
    verdict = hw.check(context_itself)
    assert (verdict.kind, verdict.mistakes) == ("cross_attention", ("values-are-inputs",))


def values_from_the_keys_matrix(X, Wq, Wk, Wv):
    q = X @ Wq.T
    k = X @ Wk.T
    v = X @ Wk.T
    return softmax(q @ k.T / np.sqrt(len(Wq))) @ v


def a_product_with_the_mask(q, k, v, mask=None):
    if mask is None:
        mask = np.ones((q.shape[-2], k.shape[-2]))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    s = s * mask
    return softmax(s) @ v


@pytest.mark.parametrize(
    ("function", "code", "line"),
    [
        (columns_of_the_other_axis, "softmax-axis", "softmax(s, axis=1)"),
        (values_from_the_keys_matrix, "values-are-keys", "v = X @ Wk.T"),
        (a_product_with_the_mask, "mask-fill-too-small", "s = s * mask"),
        (with_a_transposed_bias, "bias-transposed", "+ pair_bias"),
    ],
)
def test_the_line_is_the_one_to_change(function, code, line):
    verdict = hw.check(function)
    assert verdict.locations[0].code == code
    assert line in verdict.locations[0].text


def test_a_function_for_as_many_keys_as_queries_is_described_so():
    assert any("other numbers of keys than" in text for text in hw.check(with_an_axis_for_the_group).untested)


def with_rows_hidden(x, wq, wk, wv, wo, num_heads, mask=None):
    """mask (B, T), 1 = real token"""
    q, k, v = (split(x @ w, num_heads) for w in (wq, wk, wv))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return merge(softmax(s if mask is None else np.where(mask[:, None, :, None] == 1, s, -1e9)) @ v) @ wo


def with_rows_past_the_lengths_hidden(q, k, v, lens):
    """lens (B,)"""
    counts = np.arange(q.shape[-2])[:, None] < lens[:, None, None, None]
    return softmax(np.where(counts, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -1e9)) @ v


@pytest.mark.parametrize("function", [with_rows_hidden, with_rows_past_the_lengths_hidden])
def test_a_mask_that_hides_queries_of_each_item(function):
    assert hw.check(function).mistakes == ("mask-on-queries",)


def over_the_batch(decoder_hidden, encoder_outputs):
    """decoder_hidden (B, D), encoder_outputs (B, M, D)"""
    return np.einsum(
        "bm,bmd->bd", softmax(np.einsum("bd,bmd->bm", decoder_hidden, encoder_outputs), 0), encoder_outputs
    )


def doubled_weights(q, k, v):
    p = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    return p @ v, p.swapaxes(-1, -2)


def test_examples_show_what_differs():
    example = hw.check(over_the_batch).example
    assert example.expected.count("\n") == example.got.count("\n")
    verdict = hw.check(doubled_weights)
    assert verdict.example.of_weights
    assert "expected weights = " in verdict.report()


def of_orders(interleaved):
    class Fused:
        def __init__(self, dim, heads):
            self.heads, rng = heads, np.random.default_rng(3)
            self.qkv_weight, self.proj_weight = rng.normal(size=(3 * dim, dim)), rng.normal(size=(dim, dim))

        def __call__(self, x):
            order = (self.heads, 3) if interleaved else (3, self.heads)
            a = np.moveaxis((x @ self.qkv_weight.T).reshape(*x.shape[:2], *order, -1), 3 if interleaved else 2, 0)
            q, k, v = (part.swapaxes(1, 2) for part in a)
            return merge(softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v) @ self.proj_weight.T

    return Fused(12, 3)


def test_modules_that_read_a_matrix_of_the_same_name_in_other_orders_differ():
    assert diff(of_orders(False), of_orders(False)).same
    difference = diff(of_orders(False), of_orders(True))
    assert (difference.same, difference.added) == (False, ("qkv-interleaved",))
    assert "holds the same numbers in both" in difference.report()


@pytest.mark.parity
def test_advice_is_in_the_words_of_the_library():
    torch = pytest.importorskip("torch")

    def attend(q, k, v, mask):
        return torch.softmax((q @ k.mT / q.shape[-1] ** 0.5).masked_fill(mask == 0, 1e-9), dim=-1) @ v

    report = hw.check(attend, adapter="torch").report()
    assert "s.masked_fill(~mask, -math.inf)" in report
    assert "np." not in report


@pytest.mark.parity
def test_dictionaries_of_matrices_are_passed_to_compiled_functions():
    jax = pytest.importorskip("jax")

    def multihead(params, x):
        q, k, v = (x @ params[name] for name in ("wq", "wk", "wv"))
        return jax.nn.softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), axis=-1) @ v @ params["wo"]

    assert hw.check(jax.jit(multihead)).ok


def lined_up_at_the_start(q, k, v):
    n, m = q.shape[-2], k.shape[-2]
    s = np.where(np.tri(n, m, dtype=bool), q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5, -np.inf)
    return softmax(s) @ v


def lined_up_at_the_end(q, k, v):
    n, m = q.shape[-2], k.shape[-2]
    s = np.where(np.tri(n, m, m - n, dtype=bool), q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5, -np.inf)
    return softmax(s) @ v


def with_groups(q, k, v):
    k, v = (np.repeat(a, q.shape[1] // a.shape[1], axis=1) for a in (k, v))
    return projected_already(q, k, v)


def test_a_difference_tells_conventions_from_mistakes_and_says_what_only_one_accepts():
    ends = diff(lined_up_at_the_start, lined_up_at_the_end)
    assert not ends.same
    assert "causal-alignment" in ends.added
    assert "wrong end" not in ends.report()
    assert "the last query aligned with the last key, which is a convention" in ends.report()

    groups = diff(projected_already, with_groups)
    assert groups.same
    assert groups.refused == (("fewer key heads than query heads",), ())
    assert "Only with_groups accepts fewer key heads" in groups.report()

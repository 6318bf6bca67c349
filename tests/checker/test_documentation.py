"""What the docstring and the code of a function say: what its mask and its window mean, and how its matrices lie."""

import numpy as np
import pytest
from numpy.typing import NDArray

import headwise as hw
from headwise.checker.arguments.documentation import document


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def padded(q, k, v, mask):
    """q (batch, tq, d), mask: (batch, tk) with 1.0 for real tokens and 0.0 for padding."""
    s = np.einsum("bqd,bkd->bqk", q, k) / np.sqrt(q.shape[2])
    return softmax(np.where(mask[:, None, :] > 0, s, -1e30)) @ v


def padded_the_other_way(q, k, v, mask):
    """q (batch, tq, d), mask: (batch, tk) with 1.0 for real tokens and 0.0 for padding."""
    return padded(q, k, v, 1 - mask)


def padded_to_the_right(q, k, v, padding_mask):
    """q (batch, tq, d), with a padding mask (batch, tk) (1 = token)."""
    return padded(q, k, v, padding_mask)


def padded_to_the_left(q, k, v, padding_mask):
    """q (batch, tq, d), with a padding mask (batch, tk) (1 = token)."""
    return padded(q, k, v, 1 - padding_mask)


def hidden_where_allowed(q, k, v, mask):
    """q (B, N, d), mask: (B, N, M) with 1 where attention is allowed."""
    s = q @ k.transpose(0, 2, 1) / q.shape[-1]
    return softmax(np.where(mask, -1e9, s)) @ v


def windowed(q, k, v, left):
    rows, columns = np.indices((q.shape[1], k.shape[1]))
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    return softmax(np.where((columns <= rows) & (rows - columns <= left), s, -np.inf)) @ v


def last_tokens(q, k, v, window):
    """A query attends to the last `window` tokens, q (H, T, d)."""
    return windowed(q, k, v, window - 1)


def one_token_more(q, k, v, window):
    """A query attends to the last `window` tokens, q (H, T, d)."""
    return windowed(q, k, v, window)


def itself_and_one_less(q, k, v, window):
    """A query sees its own position and window-1 before it, q (H, T, d)."""
    return windowed(q, k, v, window - 1)


def before_and_itself(q, k, v, window):
    """A query sees window tokens before it and itself, q (H, T, d)."""
    return windowed(q, k, v, window)


def one_token_less(q, k, v, window):
    """A query sees window tokens before it and itself, q (H, T, d)."""
    return windowed(q, k, v, window - 1)


def on_both_sides(q, k, v, window):
    rows, columns = np.indices((q.shape[1], k.shape[1]))
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    return softmax(np.where(np.abs(rows - columns) <= window, s, -np.inf)) @ v


def neighbours(q, k, v, window):
    """A query sees `window` neighbours on both sides and itself, q (H, T, d)."""
    return on_both_sides(q, k, v, window)


def fewer_neighbours(q, k, v, window):
    """A query sees `window` neighbours on both sides, q (H, T, d)."""
    return on_both_sides(q, k, v, window - 1)


def merged_unmoved(X, W_Q, W_K, W_V, W_O, num_heads):
    n, width = X.shape
    q, k, v = ((X @ W).reshape(n, num_heads, -1).transpose(1, 0, 2) for W in (W_Q, W_K, W_V))
    weights = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(width))
    return (weights @ v).reshape(n, width) @ W_O


def from_first_key(q, k, v, causal=True):
    """q (B, H, T, d) are the last T of the S tokens in k and v (B, H, S, d)."""
    n, m = q.shape[-2], k.shape[-2]
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(np.tri(n, m, dtype=bool), s, -np.inf) if causal else s) @ v


def with_annotated_helper(q, k, v, causal=True):
    def divided(logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return logits / np.sqrt(q.shape[-1])

    s = divided(q @ k.swapaxes(-1, -2))
    return softmax(np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal else s) @ v


# The queries are the newest tokens; keys and values are those of the whole sequence.
def with_comment_above(q, k, v, causal=True):
    return with_annotated_helper(q, k, v, causal)


def transposed_items(q, k, v):
    """q, k, v: (batch, tokens, features)"""
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def items_of_tokens(q, k, v):
    """q, k, v (tokens, heads, size)"""
    return np.stack([softmax(q[:, h] @ k[:, h].T / q.shape[-1] ** 0.5) @ v[:, h] for h in range(q.shape[1])], axis=1)


def heads_of_tokens(q, k, v):
    s = np.einsum("nhd,mhd->hnm", q, k) / np.sqrt(q.shape[-1])
    return np.einsum("hnm,mhd->nhd", softmax(s), v)


def heads_of_tokens_unscaled(q, k, v):
    return np.einsum("hnm,mhd->nhd", softmax(np.einsum("nhd,mhd->hnm", q, k)), v)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (padded, ()),
        (from_first_key, ("causal-alignment",)),
        (with_comment_above, ("causal-alignment",)),
        (transposed_items, ("unknown",)),
        (items_of_tokens, ()),
        (heads_of_tokens, ()),
        (heads_of_tokens_unscaled, ("scale-missing",)),
        (padded_the_other_way, ("mask-inverted",)),
        (padded_to_the_right, ()),
        (padded_to_the_left, ("mask-inverted",)),
        pytest.param(hidden_where_allowed, ("scale-no-root", "mask-inverted"), marks=pytest.mark.whole_search),
        (last_tokens, ()),
        (one_token_more, ("window-off-by-one",)),
        (itself_and_one_less, ()),
        (before_and_itself, ()),
        (one_token_less, ("window-off-by-one",)),
        (neighbours, ()),
        (fewer_neighbours, ("window-off-by-one",)),
        pytest.param(merged_unmoved, ("scale-model-width", "heads-merged-unmoved"), marks=pytest.mark.whole_search),
    ],
)
def test_the_mistake_is_what_departs_from_the_documentation(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def test_an_alignment_that_is_not_stated_is_not_tested():
    aim = "whether the first of fewer queries than keys is meant to see the first key alone"
    verdict = hw.check(with_annotated_helper)
    assert verdict.ok, verdict.report()
    assert verdict.untested == (aim,)


@pytest.mark.parametrize(
    ("sentence", "alignment"),
    [
        ("Causal attention, queries are the last Tq of Tk positions.", "end"),
        ("q: the newest n of the m tokens", "end"),
        ("It continues a cache of past tokens.", "end"),
        ("k and v are those of all tokens so far.", "end"),
        ("A query sees itself and past tokens only. Queries are normalised along the last axis.", ""),
        ("The mask has its corner at the top left.", "start"),
    ],
)
def test_sentences_about_the_alignment(sentence, alignment):
    def attention(q, k, v):
        return None

    attention.__doc__ = sentence
    assert document(attention, "").alignment == alignment


@pytest.mark.parametrize(
    ("code", "orientation"),
    [
        ("q = x @ Wq", "in-out"),
        ("q = x @ Wq.T", "out-in"),
        ("q = np.dot(x, W_q)", "in-out"),
        ("q = x.dot(W_q[h].T)", "out-in"),
        ("q, k = x @ Wq, x @ Wk.T", ""),
        ("q = np.einsum('nd,de->ne', x, Wq)", ""),
    ],
)
def test_products_suggest_an_orientation(code, orientation):
    source = f"def f(x, Wq):\n    {code}\n"
    assert document(lambda: None, source, name="f").multiplied == orientation


@pytest.mark.parametrize(
    ("sentence", "meaning"),
    [
        ("mask[i, j] == 0 means token i should not be influenced by token j", "attends"),
        ("One mask for all heads; hides keys", ""),
        ("Embedding(mask_zero=True) gives the mask, in which True is a token", "attends"),
        ("the mask is 0 where visible and -1e10 where hidden", "adds"),
        ("mask: 0 for kept and -10000 for padded", "adds"),
        ("Weights are masked out where the mask is False", "attends"),
        ("Scores are kept when the value of the mask is 0", "hides"),
        ("Logits are not masked if mask == 1", "attends"),
        ("mask: of shape ``(N, M)``; ``True`` means attend.", "attends"),
        ("mask: of shape (N, M). True = hidden", "hides"),
        ("mask: (N, M)\n    False: not allowed", "attends"),
        ("mask should be None if this is set to True, a hint that the mask is a causal mask", ""),
    ],
)
def test_sentences_about_masks(sentence, meaning):
    def attention(q, k, v, mask):
        return None

    attention.__doc__ = sentence
    assert document(attention, "").mask("mask") == meaning


def test_comments_on_other_lines_are_sentences_of_their_own():
    code = """def attention(q, k, v, attn_mask):
    # don't attend to padding
    p = weights(q, k, attn_mask)
    # when tracing a decoder step (length == 1)
    return p @ v
"""
    assert document(lambda q, k, v, attn_mask: v, code, "attention").mask("attn_mask") == ""


def test_a_window_that_includes_the_token_itself_counts_its_own_key():
    def attention(q, k, v, window):
        """Each token sees window tokens, itself included."""

    assert document(attention, "").window() == "count"


def two_masks(q, k, v, key_padding_mask=None, attn_mask=None):
    """q (batch, n, d). key_padding_mask (batch, m): 1 at padding. attn_mask is added."""
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    s = s if attn_mask is None else s + attn_mask
    return softmax(s if key_padding_mask is None else np.where(key_padding_mask[:, None], -np.inf, s)) @ v


def test_what_is_said_of_one_mask_is_not_said_of_another():
    verdict = hw.check(two_masks)
    assert verdict.ok
    assert {"mask-additive", "padding-hides"} <= set(verdict.conventions)


def heads_last(q, k, v):
    """q (batch, n, d, heads), k (batch, m, d, heads), v (batch, m, e, heads)."""
    s = np.einsum("bndh,bmdh->bhnm", q, k) / np.sqrt(q.shape[2])
    return np.einsum("bhnm,bmeh->bneh", softmax(s), v)


def softmax_over_heads_that_are_last(q, k, v):
    """q (batch, n, d, heads), k (batch, m, d, heads), v (batch, m, e, heads)."""
    s = np.einsum("bndh,bmdh->bnmh", q, k) / np.sqrt(q.shape[2])
    return np.einsum("bnmh,bmeh->bneh", softmax(s), v)


def test_heads_may_be_last():
    assert hw.check(heads_last).ok
    assert hw.check(softmax_over_heads_that_are_last).mistakes == ("softmax-over-heads",)

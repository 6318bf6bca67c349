"""A mask that is an adjacency matrix: an edge may be seen, and a node itself, too, where self-loops are added."""

import numpy as np
import pytest

import headwise as hw

LOOPS = "own-key-visible"


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(X, visible, Wq, Wk, Wv, scaled=True):
    q, k, v = X @ Wq, X @ Wk, X @ Wv
    s = q @ k.T / (np.sqrt(k.shape[1]) if scaled else 1)
    return softmax(np.where(visible, s, -1e9)) @ v


def as_it_is(X, adj, Wq, Wk, Wv):
    return attend(X, adj > 0, Wq, Wk, Wv)


def with_loops(X, adj, Wq, Wk, Wv):
    return attend(X, adj + np.eye(len(adj)) > 0, Wq, Wk, Wv)


def with_loops_in_place(node_features, adjacency_matrix, Wq, Wk, Wv):
    visible = adjacency_matrix > 0
    visible[np.arange(len(visible)), np.arange(len(visible))] = True
    return attend(node_features, visible, Wq, Wk, Wv)


def of_one_letter(H, A, Wq, Wk, Wv):
    q, k, v = H @ Wq, H @ Wk, H @ Wv
    s = np.where(A > 0, q @ k.T / np.sqrt(k.shape[1]), -np.inf)
    return softmax(s) @ v


def with_loops_unscaled(X, adj, Wq, Wk, Wv):
    return attend(X, adj + np.eye(len(adj)) > 0, Wq, Wk, Wv, scaled=False)


def transposed(X, adj, Wq, Wk, Wv):
    return attend(X, adj.T > 0, Wq, Wk, Wv)


def with_loops_transposed(X, adj, Wq, Wk, Wv):
    return attend(X, adj.T + np.eye(len(adj)) > 0, Wq, Wk, Wv)


def inverted(X, adj, Wq, Wk, Wv):
    return attend(X, adj == 0, Wq, Wk, Wv)


def added(X, adj, Wq, Wk, Wv):
    q, k, v = X @ Wq, X @ Wk, X @ Wv
    return softmax(q @ k.T / np.sqrt(k.shape[1]) + adj) @ v


def after_the_softmax(q, k, v, adj):
    return (softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) * (adj > 0)) @ v


@pytest.mark.parametrize(
    ("function", "mistakes", "loops"),
    [
        (as_it_is, (), False),
        (with_loops, (), True),
        (with_loops_in_place, (), True),
        (of_one_letter, (), False),
        pytest.param(with_loops_unscaled, ("scale-missing",), True, marks=pytest.mark.whole_search),
        (transposed, ("mask-on-queries",), False),
        pytest.param(with_loops_transposed, ("mask-on-queries",), True, marks=pytest.mark.whole_search),
        (inverted, ("mask-inverted",), False),
        (added, ("mask-added-as-number",), False),
        (after_the_softmax, ("mask-after-softmax",), False),
    ],
)
def test_verdict(function, mistakes, loops):
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes
    assert (LOOPS in verdict.conventions) == loops
    assert any("self-loop" in words for words in verdict.untested) == loops


def test_a_mask_that_is_no_graph_has_no_self_loops():
    def attention(X, mask, Wq, Wk, Wv):
        return attend(X, mask | np.eye(len(mask), dtype=bool), Wq, Wk, Wv)

    assert hw.check(attention).mistakes == ("unknown",)

"""Functions that return intermediate results next to the output, in dictionaries and tuples."""

from typing import NamedTuple

import numpy as np
import pytest

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def logits(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def everything_in_order(X, Wq, Wk, Wv):
    queries, keys, values = X @ Wq, X @ Wk, X @ Wv
    scores = logits(queries, keys)
    weights = softmax(scores)
    output = weights @ values
    return queries, keys, values, scores, weights, output


def a_dictionary_with_values_first(X, Wq, Wk, Wv):
    values, scores = X @ Wv, logits(X @ Wq, X @ Wk)
    return {
        "values": values,
        "scores": scores,
        "attention_weights": softmax(scores),
        "output": softmax(scores) @ values,
    }


def an_output_without_a_name(q, k, v):
    scores = logits(q, k)
    weights = softmax(scores)
    return scores, weights, weights @ v


def a_product_among_calls(q, k, v):
    return logits(q, k), softmax(logits(q, k)), np.einsum("...nm,...md->...nd", softmax(logits(q, k)), v)


class Steps(NamedTuple):
    scores: np.ndarray
    probs: np.ndarray
    context: np.ndarray


def a_named_tuple(q, k, v):
    return Steps(logits(q, k), softmax(logits(q, k)), softmax(logits(q, k)) @ v)


def of_its_inner_function(X, Wq, Wk, Wv):
    def project(x):
        return x @ Wq, x @ Wk, x @ Wv

    q, k, v = project(X)
    attention = softmax(logits(q, k))
    return attention, attention @ v


@pytest.mark.parametrize(
    "function",
    [
        everything_in_order,
        a_dictionary_with_values_first,
        an_output_without_a_name,
        a_product_among_calls,
        a_named_tuple,
        of_its_inner_function,
    ],
)
def test_the_output_among_other_results(function):
    verdict = hw.check(function)
    assert (verdict.ok, verdict.mistakes, verdict.untested) == (True, (), ())


def weights_that_are_logits(q, k, v):
    scores = logits(q, k)
    return {"keys": k, "attention": scores, "out": softmax(scores) @ v}


def tokens_mixed(X, Wq, Wk, Wv):
    values, weights = X @ Wv, softmax(logits(X @ Wq, X @ Wk))
    result = weights @ X
    return values, weights, result


@pytest.mark.parametrize(
    ("function", "mistake"),
    [(weights_that_are_logits, "weights-before-softmax"), (tokens_mixed, "values-are-inputs")],
)
def test_mistakes_next_to_other_results(function, mistake):
    assert hw.check(function).mistakes == (mistake,)

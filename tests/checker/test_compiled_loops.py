"""Functions compiled by numba: reading or writing past the end of an array is an error, and no crash."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.loading import load_function

numba = pytest.importorskip("numba")

SOURCE = """
import numpy as np
from numba import njit


@njit
def weights(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum()


@njit
def causal_attention(q, k, v):
    output = np.zeros_like(v)
    for i in range(len(q)):
        p = weights(k[: i + 1] @ q[i] / np.sqrt(q.shape[1]))
        for j in range(i + 1):
            output[i] += p[j] * v[j]
    return output


def attention(queries, keys, values):
    return causal_attention(queries, keys, values)
"""


@numba.njit
def without_scale(q, k, v):
    output = np.zeros_like(v)
    for i in range(len(q)):
        p = np.exp(np.dot(k, q[i]) - np.dot(k, q[i]).max())
        for j in range(len(k)):
            output[i] += p[j] / p.sum() * v[j]
    return output


def test_more_queries_than_values_are_refused():
    verdict = hw.check(without_scale)
    assert verdict.mistakes == ("scale-missing",)
    assert any("IndexError" in words for words in verdict.untested)


@pytest.mark.parametrize("name", ["causal_attention", "attention"])
def test_functions_of_a_file_check_bounds(tmp_path, name):
    (tmp_path / "loops.py").write_text(SOURCE)
    function = load_function(f"{tmp_path / 'loops.py'}:{name}").function
    with pytest.raises(IndexError):
        function(*(np.ones((n, 2)) for n in (9, 3, 3)))

"""Arguments for earlier keys and values that a function may be called without."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.arguments.earlier_keys import holds_earlier_keys
from headwise.checker.detection.refusal import UncallableError


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(q, k, v, last=True):
    n, m = q.shape[-2], k.shape[-2]
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(np.tri(n, m, m - n if last else 0, dtype=bool), s, -np.inf)) @ v


def right(x, Wq, Wk, Wv, past=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if past is not None:
        old_k, old_v = past
        k, v = np.vstack([old_k, k]), np.vstack([old_v, v])
    return attend(q, k, v), (k, v)


def lined_up_with_the_first_key(x, Wq, Wk, Wv, past=None):
    """The tokens come after those of the cache."""
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if past is not None:
        k, v = np.vstack([past[0], k]), np.vstack([past[1], v])
    return attend(q, k, v, last=False), (k, v)


def new_keys_first(x, Wq, Wk, Wv, past=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if past is not None:
        k, v = np.vstack([k, past[0]]), np.vstack([past[1], v])
    return attend(q, k, v), (k, v)


def in_a_dictionary(x, Wq, Wk, Wv, cache=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if cache is not None:
        if "k" in cache:
            k, v = np.concatenate([cache["k"], k]), np.concatenate([cache["v"], v])
        cache["k"], cache["v"] = k, v
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def keys_kept_as_values(x, Wq, Wk, Wv, cache=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if cache is not None:
        if "k" in cache:
            k, v = np.concatenate([cache["k"], k]), np.concatenate([cache["v"], v])
        cache["k"], cache["v"] = k, k
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def only_taken(x, Wq, Wk, Wv, history=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if history is not None:
        k, v = np.r_[history[0], k], np.r_[history[1], v]
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def for_one_new_token(q, k, v, past=None):
    """q, k, v (heads, n, d); causal, and one new token at a time next to a cache"""
    if past is None:
        return attend(q, k, v), (k, v)
    k, v = (np.concatenate([old, new], axis=-2) for old, new in zip(past, (k, v), strict=True))
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v, (k, v)


def of_tokens(x, Wq, Wk, Wv, mems=None):
    tokens = x if mems is None else np.concatenate([mems, x])
    return softmax(x @ Wq @ (tokens @ Wk).T / np.sqrt(Wq.shape[1])) @ tokens @ Wv


@pytest.mark.parametrize("function", [right, in_a_dictionary, only_taken, of_tokens])
def test_a_cache_that_may_be_left_out_is_passed(function):
    verdict = hw.check(function)
    assert verdict.ok
    assert not [text for text in verdict.untested if text in ("past", "cache", "history", "mems")]


@pytest.mark.whole_search
def test_several_new_tokens_that_attend_to_each_other_are_not_tested():
    verdict = hw.check(for_one_new_token)
    assert verdict.ok
    assert "several new tokens at once with earlier ones in `past`" in verdict.untested


def test_what_is_wrong_with_a_cache_is_found():
    verdict = hw.check(lined_up_with_the_first_key)
    assert verdict.mistakes == ("causal-alignment",)
    assert "Without `past` it is right." in verdict.notes
    for function in (new_keys_first, keys_kept_as_values):
        verdict = hw.check(function)
        assert verdict.mistakes == ("unknown",)
        assert "its last token got other outputs" in verdict.report()


def of_an_unusual_cache(x, Wq, Wk, Wv, past=None):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    if past is not None:
        k, v = np.concatenate([past.layers[3].of_keys(), k]), np.concatenate([past.layers[3].of_values(), v])
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


def test_a_cache_that_cannot_be_passed_is_not_right():
    with pytest.raises(UncallableError, match="right without `past`, but `past` changes its keys"):
        hw.check(of_an_unusual_cache)


def test_what_holds_earlier_keys():
    def of(line):
        return holds_earlier_keys("past", f"def f(x, past=None):\n    {line}\n")

    for line in (
        "k = np.concatenate([past[0], k])",
        "a, b = past; k = torch.cat((a, k), dim=1)",
        "k, v = past.update(k, v, 3)",
        "k = np.r_[past, k]",
        "past['k'][:, n] = k; k = past['k'][:, :m]",
        "a = past.get('k') if past else k; k = jnp.vstack((a, k))",
    ):
        assert of(line), line
    for line in (
        "n = past.shape[0]; k = np.pad(k, n)",
        "s = s + past",
        "s = np.concatenate([k, np.zeros(past.shape)])",
        "past['k'] = k",
        "past[...] = k @ v",
        "past.append(k)",
    ):
        assert not of(line), line


def into_an_array(q, k, v, out=None):
    o = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v
    if out is not None:
        out[...] = o
        return out
    return o


def with_a_list_of_weights(q, k, v, maps=None, stats=None):
    p = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    if maps is not None:
        maps.append(p)
        stats["weights"] = p
    return p @ v


def test_what_is_only_written_is_no_cache():
    for function in (into_an_array, with_a_list_of_weights):
        verdict = hw.check(function)
        assert verdict.ok
        assert {"out", "maps"} & {*verdict.untested}


def causal_only_with_a_cache(q, k, v, k_cache=None, v_cache=None):
    """Causal; q, k, v (heads, n, d)"""
    if k_cache is None:
        return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v
    return attend(q, np.concatenate([k_cache, k], axis=-2), np.concatenate([v_cache, v], axis=-2))


def test_arrays_of_earlier_keys_are_left_out_too():
    verdict = hw.check(causal_only_with_a_cache)
    assert verdict.mistakes == ("causal-missing",)
    assert "With `k_cache` it is right." in verdict.notes

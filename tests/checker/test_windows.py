"""Windows that are one number: what formulas in a docstring say that they count, and code that counts otherwise."""

import functools

import numpy as np
import pytest

import headwise as hw
from headwise.checker.arguments.windows import is_window, meaning_of_window

MEANINGS = {
    "count": (
        "Token t sees tokens t-w+1 .. t.",
        "i attends to {i - w + 1, ..., i}",
        "query i attends to keys i - w + 1 to i",
        "row t attends to columns [t - w + 1, t]",
        "keys in (i - w, i]",
        r":math:`i - W < j \le i`",
        "j <= i and j > i - w",
        "0 <= i - j < window_size",
        "|i − j| < w",
        "a key is hidden if i - j >= w or j > i",
        "masked where j <= i - w",
        "uses k[t - w + 1 : t + 1]",
        "abs(i - j) <= w - 1",
        "distance < window",
    ),
    "reach": (
        "[t-w, t]",
        "tokens from max(0, i - window) to i",
        "|i - j| ≤ w",
        "np.abs(i - j) <= w",
        "query i sees keys i - window, ..., i + window",
        "[i - w, i + w]",
        "max(0, i - w), ..., min(N - 1, i + w)",
        "hidden: j < i - w",
        "i - j < w + 1",
        "-w <= j - i <= 0",
    ),
    "size": ("|i - j| <= w // 2", "i - window // 2 <= j <= i + window // 2", "|i-j| <= (w - 1) / 2"),
    "": (
        "A window of w tokens.",
        "sliding-window attention, causal",
        "shape (T, T - w)",
        "0 <= j < w",
        "t - w, or t",
        "(i - w, i)",
        "q - w < 2 * k",
        "i - w + 3 <= j",
    ),
}


def test_a_formula_says_whether_a_window_counts_the_own_key():
    meanings = {text: meaning_of_window(text, "window") for texts in MEANINGS.values() for text in texts}
    assert meanings == {text: meaning for meaning, texts in MEANINGS.items() for text in texts}


def sees_before(more):
    def attention(q, k, v, w):
        rows, columns = np.arange(len(q))[:, None], np.arange(len(k))
        s = np.where((columns <= rows) & (rows - columns < w + more), q @ k.T / np.sqrt(q.shape[1]), -np.inf)
        p = np.exp(s - s.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True) @ v

    return attention


def verdict_on(docstring, more):
    function = sees_before(more)
    function.__doc__ = docstring
    return hw.check(function, source="")


@pytest.mark.parametrize(("docstring", "more"), [("Token t sees tokens t-w+1 .. t.", 0), ("Sees [t - w, t].", 1)])
def test_a_window_is_the_one_of_the_formula(docstring, more):
    assert verdict_on(docstring, more).ok
    assert verdict_on(docstring, 1 - more).mistakes == ("window-off-by-one",)


def test_the_report_says_how_many_tokens_a_window_has():
    assert "counting the token itself (w - 1 tokens before it)" in " ".join(verdict_on("", 0).report().split())
    assert "not counting the token itself (w tokens before it)" in " ".join(verdict_on("", 1).report().split())


def under_a_name_of_no_meaning(q, k, v, *, size, more=0):
    """Row t attends to columns [t - size + 1, t]."""
    rows, columns = np.arange(len(q))[:, None], np.arange(len(k))
    s = np.where((columns <= rows) & (columns > rows - size - more), q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    return np.exp(s - s.max(axis=1, keepdims=True)) @ v / np.exp(s - s.max(axis=1, keepdims=True)).sum(1)[:, None]


def test_a_number_of_any_name_that_limits_keys_is_a_window():
    verdict = hw.check(under_a_name_of_no_meaning)
    assert verdict.ok
    assert "window-as-number" in verdict.conventions
    assert is_window("size", "keep = np.abs(i[:, None] - i[None, :]) < size")
    assert is_window("context", "A key j is masked if j <= i - context or j > i.")
    assert not is_window("past", "key j is visible if j <= i + past")
    assert not is_window("row", "row - column < window")


def test_a_window_that_shifts_at_the_borders_has_as_many_keys_for_each_query():
    def neighborhood_attention(q, k, v, kernel_size=5, shifted=True):
        n = np.arange(len(q))
        first = n - kernel_size // 2
        first = np.clip(first, 0, max(len(q) - kernel_size, 0)) if shifted else first
        seen = (n >= first[:, None]) & (n < first[:, None] + kernel_size)
        s = np.where(seen, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
        p = np.exp(s - s.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True) @ v

    assert "pattern-built-in" in hw.check(neighborhood_attention, source="").conventions
    clipped = functools.update_wrapper(
        lambda q, k, v: neighborhood_attention(q, k, v, shifted=False), neighborhood_attention
    )
    assert hw.check(clipped, source="").mistakes == ("unknown",)

"""Naming the mistake in somebody's attention code.

`check` probes a function and returns a `Verdict`; the mistakes that it can name are the entries of `CATALOGUE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwise.check.verdict import Example, Fact, Place, Tried, Verdict

__all__ = ["Example", "Fact", "Place", "Tried", "Verdict", "check"]


def check(
    function: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    source: str | None = None,
) -> Verdict:
    """Find out whether a function is attention, and if not, which mistake it holds.

    Parameters
    ----------
    function : callable
        Anything that can be called; its signature is read where it has one.
    kind : {"auto", "self_attention", "multi_head", "attention"}
        What it is meant to be.
    adapter : callable, "torch" or None
        ``adapter(function, **arguments)`` makes the call, for a function that takes them in another way.
    source : str, optional
        The source text, where it cannot be found from the function.

    Returns
    -------
    Verdict
        With ``ok``, ``mistakes`` and ``report()``.
    """
    raise NotImplementedError

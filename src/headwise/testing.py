"""For tests of attention code: one assertion, and a pytest fixture of the same name.

With Headwise installed, a test can ask for the fixture::

    def test_mine(assert_attention):
        assert_attention(my_attention)

or import the function; it works in any test, notebook or grader's cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headwise.checker import Verdict

__all__ = ["assert_attention"]


def assert_attention(
    function: Callable[..., Any], kind: str = "auto", *, adapter: Callable[..., Any] | str | None = None
) -> Verdict:
    """Fail unless a function is attention, and say which mistake it holds.

    Parameters
    ----------
    function : callable
        The function to check; it is called in this process.
    kind : {"auto", "self_attention", "multi_head", "attention"}
        What it is meant to be.
    adapter : callable, "torch" or None
        As for `headwise.checker.check`.

    Returns
    -------
    Verdict
        What was verified.

    Raises
    ------
    AssertionError
        If it is not: the message is the report.

    Examples
    --------
    >>> import headwise as hw
    >>> assert_attention(hw.self_attention).ok
    True
    """
    __tracebackhide__ = True
    from headwise.checker import check  # here, so that every pytest run in the house does not load it

    verdict = check(function, kind, adapter=adapter)
    if not verdict.ok:
        raise AssertionError(f"{verdict.name}: {', '.join(verdict.mistakes)}\n\n{verdict.report()}")
    return verdict


@pytest.fixture(name="assert_attention")
def _assert_attention() -> Callable[..., Verdict]:
    """`headwise.testing.assert_attention`, for tests that would rather ask than import."""
    return assert_attention

"""For tests of attention code: one assertion, and a pytest fixture of the same name.

With Headwise installed, a test can use the fixture::

    def test_mine(assert_attention):
        assert_attention(my_attention)

or import the function; it works in any test, notebook or grader's cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwise.checker import Verdict

__all__ = ["assert_attention"]


def assert_attention(
    function: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    weights: str = "any",
    mask: str = "any",
    convention: str | Iterable[str] = (),
    strict: bool = False,
) -> Verdict:
    """Fail unless a function or module is attention, and name its mistake.

    Parameters
    ----------
    function : callable
        The function to check; it is called in this process.
    kind : {"auto", "self_attention", "multi_head", "cross_attention", "attention"}
        What it is meant to be.
    adapter, weights, mask, convention
        As for `headwise.checker.check`.
    strict : bool
        Whether hazards fail as well as mistakes.

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
    from headwise.checker import check  # here, so that a pytest run without it does not load the checker

    verdict = check(function, kind, adapter=adapter, weights=weights, mask=mask, convention=convention)
    codes = verdict.mistakes + (verdict.hazards if strict else ())
    if codes:
        raise AssertionError(f"{verdict.name}: {', '.join(codes)}\n\n{verdict.report()}")
    return verdict


try:
    import pytest
except ImportError:  # other graders have none, and need none
    pass
else:

    @pytest.fixture(name="assert_attention")
    def _assert_attention() -> Callable[..., Verdict]:
        """`headwise.testing.assert_attention`, for tests that prefer a fixture to an import."""
        return assert_attention

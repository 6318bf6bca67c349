"""Two implementations against each other: which entries of the catalogue take one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.core import check
from headwise.checker.invocation import CallingConvention, Response
from headwise.checker.numpy_guard import np
from headwise.checker.probes import probes
from headwise.checker.search import PRECISIONS, difference
from headwise.checker.signatures import infer_calling_conventions
from headwise.checker.verdict import Verdict
from headwise.errors import DataError

__all__ = ["Difference", "diff"]


_UNEXPLAINED = {"unknown", "tokens-scrambled"}


@dataclass(frozen=True, slots=True)
class Difference:
    """How two functions differ.

    Attributes
    ----------
    first, second : Verdict
        What each is by itself.
    inputs : int
        How many inputs both answered.
    apart : float
        The largest difference of their answers, relative to the largest number in the first's.
    """

    first: Verdict
    second: Verdict
    inputs: int
    apart: float

    @property
    def same(self) -> bool:
        """Whether their answers are the same, to rounding, on every input that both answered."""
        return self.apart <= PRECISIONS["float64"]

    @property
    def added(self) -> tuple[str, ...]:
        """Mistakes of the second that the first has not."""
        return tuple(code for code in self.second.mistakes if code not in self.first.mistakes)

    @property
    def removed(self) -> tuple[str, ...]:
        """Mistakes of the first that the second has not."""
        return tuple(code for code in self.first.mistakes if code not in self.second.mistakes)

    @property
    def shared(self) -> tuple[str, ...]:
        """Mistakes that both have."""
        return tuple(code for code in self.first.mistakes if code in self.second.mistakes)

    @property
    def explained(self) -> bool:
        """Whether entries of the catalogue take one to the other."""
        return not _UNEXPLAINED & {*self.first.mistakes, *self.second.mistakes}

    def report(self) -> str:
        """Say it in words."""
        a, b = self.first.name, self.second.name
        if a == b:
            a, b = f"the first {a}", f"the second {b}"
        far = "in shape, or by NaN" if np.isinf(self.apart) else f"by up to {self.apart:.2g}"
        if self.same:
            lines = [f"On {self.inputs} inputs {a} and {b} give the same answers, to {self.apart:.1e}."]
        else:
            lines = [f"On {self.inputs} inputs {a} and {b} differ {far}."]
        for who, codes in ((b, self.added), (a, self.removed), ("Both", self.shared)):
            lines += [f"  {who}: {code}. {CATALOGUE[code].title}" for code in codes if code not in _UNEXPLAINED]
        if not (self.same or self.explained):
            lines.append("The catalogue does not explain all of it; headwise check says more about each.")
        return "\n".join(lines) + "\n"


def diff(
    first: Callable[..., Any],
    second: Callable[..., Any],
    kind: str = "auto",
    *,
    sources: tuple[str | None, str | None] = (None, None),
) -> Difference:
    """Compare two functions with each other, and each with the definition.

    Parameters
    ----------
    first, second : callable
        As for `check`; they may want their arguments in different ways.
    kind : {"auto", "self_attention", "multi_head", "attention"}
        What both are meant to be.
    sources : tuple of str or None
        Their source texts, where they cannot be found from the functions.

    Returns
    -------
    Difference
        With ``same``, ``added``, ``removed`` and ``report()``.

    Raises
    ------
    DataError
        If the two are different kinds of function.
    UncallableError
        If one of them cannot be called as attention.

    Examples
    --------
    >>> import numpy as np
    >>> def softmax(s):
    ...     e = np.exp(s - s.max(axis=-1, keepdims=True))
    ...     return e / e.sum(axis=-1, keepdims=True)
    >>> def ours(X, Wq, Wk, Wv):
    ...     return softmax(X @ Wq.T @ (X @ Wk.T).T / np.sqrt(len(Wq))) @ X @ Wv.T
    >>> def theirs(X, Wq, Wk, Wv):
    ...     return softmax(X @ Wq.T @ (X @ Wk.T).T / len(Wq)) @ X @ Wv.T
    >>> diff(ours, theirs).added
    ('scale-no-root',)
    """
    ways = [infer_calling_conventions(f, kind, None, s or "")[0] for f, s in zip((first, second), sources, strict=True)]
    kinds = [way.face.kind for way in ways]
    if kinds[0] != kinds[1]:
        raise DataError(f"second: expected {kinds[0]}, which the first is; got {kinds[1]}.")
    inputs, apart = _apart(*_alike(*ways))
    one, other = (check(f, kinds[0], source=s) for f, s in zip((first, second), sources, strict=True))
    return Difference(one, other, inputs, apart)


def _alike(a: CallingConvention, b: CallingConvention) -> tuple[CallingConvention, CallingConvention]:
    """Both with the arguments that both take, so that they can be asked the same."""
    shared = replace(
        a.face,
        takes=a.face.takes & b.face.takes,
        needs=a.face.needs | b.face.needs,
        lead=min(a.face.lead, b.face.lead),
        batched=a.face.batched and b.face.batched,
    )
    return replace(a, face=shared), replace(b, face=shared)


def _apart(a: CallingConvention, b: CallingConvention) -> tuple[int, float]:
    rng = np.random.default_rng(20260)
    count, furthest = 0, 0.0
    for probe in (p for number in (0, 1) for p in probes(a.face, number, rng) if p.name != "float32"):
        replies: list[Response] = [one.ask(probe.case) for one in (a, b)]
        if replies[0].output is not None and replies[1].output is not None:
            count += 1
            furthest = max(furthest, difference(replies[1].output, replies[0].output))
    return count, furthest

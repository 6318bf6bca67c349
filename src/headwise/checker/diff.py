"""Compare two implementations: which entries of the catalogue lead from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.conventions import Requirements
from headwise.checker.core import check
from headwise.checker.detection import infer_calling_conventions
from headwise.checker.invocation import CallingConvention
from headwise.checker.locate import source_of
from headwise.checker.numpy_guard import np
from headwise.checker.probes import probes
from headwise.checker.search import PRECISIONS, difference
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
    max_difference : float
        The largest difference of their outputs, relative to the largest number in the first's.
    """

    first: Verdict
    second: Verdict
    inputs: int
    max_difference: float

    @property
    def same(self) -> bool:
        """Whether their answers are the same, to rounding, on every input that both answered."""
        return self.max_difference <= PRECISIONS["float64"]

    @property
    def added(self) -> tuple[str, ...]:
        """Mistakes and hazards of the second that the first does not have."""
        return tuple(code for code in _codes(self.second) if code not in _codes(self.first))

    @property
    def removed(self) -> tuple[str, ...]:
        """Mistakes and hazards of the first that the second does not have."""
        return tuple(code for code in _codes(self.first) if code not in _codes(self.second))

    @property
    def shared(self) -> tuple[str, ...]:
        """Mistakes and hazards that both have."""
        return tuple(code for code in _codes(self.first) if code in _codes(self.second))

    @property
    def explained(self) -> bool:
        """Whether entries of the catalogue take one to the other."""
        return not _UNEXPLAINED & {*self.first.mistakes, *self.second.mistakes}

    def report(self) -> str:
        """Return the comparison in words."""
        a, b = self.first.name, self.second.name
        if a == b:
            a, b = f"the first {a}", f"the second {b}"
        far = "in shape, or by NaN" if np.isinf(self.max_difference) else f"by up to {self.max_difference:.2g}"
        if self.same:
            lines = [f"On {self.inputs} inputs {a} and {b} give the same outputs, to {self.max_difference:.1e}."]
        else:
            lines = [f"On {self.inputs} inputs {a} and {b} differ {far}."]
        for who, codes in ((b, self.added), (a, self.removed), ("Both", self.shared)):
            lines += [f"  {who}: {code}. {CATALOGUE[code].title}" for code in codes if code not in _UNEXPLAINED]
        for who, verdict, other in ((a, self.first, self.second), (b, self.second, self.first)):
            own = [phrase for phrase in verdict.phrases if phrase not in other.phrases]
            lines += [f"  {who}: {phrase}, which is a convention." for phrase in own]
        if not (self.same or self.explained):
            lines.append("The catalogue does not explain all of it; headwise check says more about each.")
        return "\n".join(lines) + "\n"


def _codes(verdict: Verdict) -> tuple[str, ...]:
    return (*verdict.mistakes, *verdict.hazards)


def diff(
    first: Callable[..., Any],
    second: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    weights: str = "any",
    mask: str = "any",
    convention: str | Iterable[str] = (),
    args: str | Iterable[str] = (),
    sources: tuple[str | None, str | None] = (None, None),
) -> Difference:
    """Compare two functions with each other, and each with the definition.

    Parameters
    ----------
    first, second : callable
        As for `check`; they may want their arguments in different ways.
    kind : {"auto", "self_attention", "multi_head", "cross_attention", "attention"}
        What both are meant to be.
    adapter, weights, mask, convention, args
        As for `check`, for both.
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
    requirements = Requirements.of(weights, mask, convention, args)
    first_convention, second_convention = (
        infer_calling_conventions(f, kind, adapter, source or source_of(f), requirements)[0][0]
        for f, source in zip((first, second), sources, strict=True)
    )
    kinds = [c.interface.kind for c in (first_convention, second_convention)]
    if kinds[0] != kinds[1]:
        raise DataError(f"second: expected {kinds[0]}, which the first is; got {kinds[1]}.")
    verdicts = [
        check(f, kinds[0], adapter=adapter, weights=weights, mask=mask, convention=convention, args=args, source=source)
        for f, source in zip((first, second), sources, strict=True)
    ]
    inputs, max_difference = _compare(*_with_shared_arguments(first_convention, second_convention))
    return Difference(verdicts[0], verdicts[1], inputs, max_difference)


def _with_shared_arguments(a: CallingConvention, b: CallingConvention) -> tuple[CallingConvention, CallingConvention]:
    """Both with the arguments that both take, so that they can be called on the same probes."""
    first, second = a.interface, b.interface
    axes = [min(i.axes, j.axes, key=len) if len(i.axes) != len(j.axes) else i.axes for i, j in ((first, second),) * 2]
    shared = replace(
        first,
        takes=first.takes & second.takes,
        needs=first.needs | second.needs,
        axes=axes[0],
        batched=first.batched and second.batched,
        key_mask=first.key_mask or second.key_mask,
    )
    own = [replace(shared, axes=i.axes if len(i.axes) == len(shared.axes) else shared.axes) for i in (first, second)]
    return replace(a, interface=own[0]), replace(b, interface=own[1])


def _compare(a: CallingConvention, b: CallingConvention) -> tuple[int, float]:
    """How many inputs both accept, and by how much their outputs differ at most."""
    rng = np.random.default_rng(20260)
    count, largest = 0, 0.0
    for probe in (p for number in (0, 1) for p in probes(a.interface, number, rng) if p.name != "float32"):
        outputs = [c.call(probe.case).output for c in (a, b)]
        if outputs[0] is not None and outputs[1] is not None:
            count += 1
            largest = max(largest, difference(outputs[1], outputs[0]))
    return count, largest

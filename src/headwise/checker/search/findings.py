"""What was found with one way of calling a function."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.search.mistakes import Explanation, Observation


@dataclass(frozen=True, slots=True)
class Findings:
    """Every call, what explains the outputs, and what the calls themselves show."""

    convention: CallingConvention  # how it was called
    rounds: tuple[list[Observation], list[Observation]]  # every call, one list a round
    explanation: Explanation | None  # what explains the outputs; None if nothing does
    # codes that follow from the calls themselves: types, arguments written into, edge cases, dropout
    observed: tuple[str, ...] = ()
    unexplained: bool = False  # whether something ordinary is left that nothing explains
    notes: tuple[str, ...] = ()  # what the explanation leaves out

    @property
    def codes(self) -> tuple[str, ...]:
        """Mistakes and hazards, in the order of the catalogue."""
        codes = {*(self.explanation.codes if self.explanation else ()), *self.observed}
        if "mask-added-as-number" in codes and self.convention.senses["mask"] == "hides":
            codes -= {"mask-inverted"}  # the numbers of such a mask are those of the other, inverted
        return tuple(code for code in CATALOGUE if code in codes)

    @property
    def conventions(self) -> tuple[str, ...]:
        """Conventions that are part of the operation."""
        codes = {*(self.explanation.codes if self.explanation else ()), *self.observed, *self.convention.built_in}
        if "causal-missing" in codes:
            codes -= set(self.convention.built_in)
        return tuple(code for code in CONVENTIONS if code in codes)

    @property
    def rank(self) -> tuple[int, int, int]:
        """How far from right: mistakes, hazards, conventions of the operation; unexplained comes last."""
        designed = {code for code, _ in self.convention.design}
        codes = [code for code in self.codes if code not in designed]
        hazards = sum(CATALOGUE[code].level == "hazard" for code in codes)
        mistakes = len(codes) - hazards + self.unexplained + 100 * (self.explanation is None)
        return mistakes, hazards, len(self.conventions)

    @property
    def is_right(self) -> bool:
        """Whether the definition explains the outputs without a mistake."""
        return self.explanation is not None and not self.rank[0]

    @property
    def calls(self) -> list[Observation]:
        """The calls of both rounds."""
        return [*self.rounds[0], *self.rounds[1]]

    def with_observed(self, *codes: str) -> Findings:
        """With codes that follow from other calls."""
        return replace(self, observed=(*self.observed, *codes))

    def with_problem(self, sentence: str) -> Findings:
        """With something that nothing explains, in words."""
        return replace(self, unexplained=True, notes=(*self.notes, sentence))

    def with_untested(self, *words: str) -> Findings:
        """With arguments, or behaviour, that no call has tested."""
        return replace(self, convention=replace(self.convention, unused=(*self.convention.unused, *words)))

    def with_tested(self, *names: str) -> Findings:
        """Without arguments that had not been tested, and are by now."""
        unused = tuple(name for name in self.convention.unused if name not in names)
        return replace(self, convention=replace(self.convention, unused=unused))

"""Search for the mistakes that explain what a function returns.

The calls come first, all of them; then, probe by probe, the smallest set of entries is grown with which the
reference gives the same. A set that fits everything it was grown on must also fit a second round of probes, in other
sizes and with other numbers, or it is not named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from heapq import heappop, heappush
from itertools import combinations, count, product

from headwise.checker.calling.responses import Response
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.catalogue.interface import VALUES_ADDED
from headwise.checker.catalogue.limits import BEFORE_START, BUT_FOR_FIRST, FLAG_INVERTED, IF_MASKED
from headwise.checker.catalogue.positions import TURNED_BY_HEAD
from headwise.checker.catalogue.scaling import TWICE_BY_SCALE
from headwise.checker.catalogue.softmax import OF_COLUMNS
from headwise.checker.probes import Interface, Probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.definition import EQUIVALENT_VARIANTS, build, last_change, replaced
from headwise.checker.reference.differences import PRECISIONS, difference
from headwise.checker.reference.state import Case, Change, Result, Stage, Stages, Trace
from headwise.checker.reference.steps import steps_of
from headwise.checker.search.effort import MORE_FOR_PAIRS, count_evaluation, evaluations, limit
from headwise.checker.search.relevance import impossible_codes, is_of_positions
from headwise.checker.user_code.numpy_guard import np

_AT_ONCE = 3  # mistakes that one probe shows together
_BEHIND = 2  # probes by which a start may be behind the furthest explanation and not wait
_ALIKE = 3  # forms of the same mistakes, in the same stages, that got equally far, and are extended
_FORMS = 2  # of one mistake, that are tried together with another
_BUDGET = 12000  # combinations that are tried before giving up
_ALIGNED = "causal-aligned-end"
_LIMITS = {"mask", "padding", "causal", "window", "lengths"}
_HIDING = {"mask", "causal"}  # options with which later keys may be hidden
_ORDER = {code: place for place, code in enumerate((*CONVENTIONS, *CATALOGUE))}


@dataclass(frozen=True, slots=True)
class Observation:
    """A probe, and what the function answered."""

    probe: Probe
    response: Response
    # by explanation: kept for the next search, for more mistakes or with less precision
    errors: dict[object, tuple[Explanation, float]] = field(default_factory=dict, init=False, compare=False)
    showing: dict[object, tuple[Explanation, bool]] = field(default_factory=dict, init=False, compare=False)

    @property
    def narrow(self) -> bool:
        """Whether the arguments were float32."""
        first = self.probe.case["X" if "X" in self.probe.case else "q"]
        return bool(first.dtype == np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Entries of the catalogue, and the changes of the reference that they stand for."""

    codes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    habit: Change = field(default_factory=dict)
    extended: bool = True  # whether others are probably added to it

    @classmethod
    def of(cls, *pairs: tuple[str, Change], habit: Change | None = None, extended: bool = True) -> Explanation:
        """From entries with their changes."""
        codes, changes = zip(*pairs, strict=True) if pairs else ((), ())
        return cls(codes, changes, {} if habit is None else habit, extended)

    @property
    def pairs(self) -> list[tuple[str, Change]]:
        """The entries, each with its change."""
        return list(zip(self.codes, self.changes, strict=True))

    def __add__(self, other: Explanation) -> Explanation:
        return self.with_all((other,))

    def with_all(self, others: Sequence[Explanation]) -> Explanation:
        """The explanation with others, in the order of the catalogue."""
        pairs = sorted((pair for one in (self, *others) for pair in one.pairs), key=_order)
        return Explanation.of(*pairs, habit=self.habit, extended=len(others) == 1)

    @property
    def key(self) -> object:
        """Equal for two explanations by the same changes, as long as both exist."""
        return tuple(map(id, self.changes)), id(self.habit) if self.habit else None

    def __le__(self, other: Explanation) -> bool:
        """Whether all of it is part of the other."""
        return self.habit is other.habit and all(any(c is o for o in other.changes) for c in self.changes)

    def without(self, code: str) -> Explanation:
        """The rest, without one entry."""
        return Explanation.of(*(pair for pair in self.pairs if pair[0] != code), habit=self.habit)

    def answer(self, case: Case, in_type: str = "float64") -> Result | None:
        """What the reference with these mistakes gives."""
        count_evaluation(case)
        with np.errstate(all="ignore"):
            return self.result(case, in_type)

    def result(self, case: Case, in_type: str = "float64") -> Result | None:
        """As `answer`, of evaluations that are counted together."""
        return steps_of(case, in_type).run(*_stages(self))

    def goes_with(self, other: Explanation) -> bool:
        """Whether both sets of mistakes can be made at once."""
        return _parts(self).isdisjoint(_parts(other))


def _order(pair: tuple[str, Change]) -> int:
    return _ORDER[pair[0]]


@lru_cache(maxsize=4096)
def _parts(explanation: Explanation) -> frozenset[str]:
    """The codes, and the stages in whose place others stand: what only one of two can have that are made at once."""
    return frozenset(explanation.codes) | replaced((explanation.habit, *explanation.changes))


@lru_cache(maxsize=4096)
def _stages(explanation: Explanation) -> tuple[Stages, int]:
    """The reference with the changes of an explanation, and how many of its stages others are likely to share."""
    stages = build((explanation.habit, *explanation.changes))
    return stages, len(stages) if explanation.extended else last_change(stages)


Agreement = Callable[[Explanation, Observation], bool]


def singles(interface: Interface | None = None, positional: bool = True) -> tuple[Explanation, ...]:
    """Every way of making one mistake or following one convention, of those that an interface has a place for."""
    impossible = impossible_codes(interface)
    conventions = [c for c in CONVENTIONS.values() if (positional or not c.of_positions) and c.code not in impossible]
    aligned = interface is None or {"align", "offset"} & interface.takes or "align" in interface.implicit
    impossible |= set() if aligned else {"causal-alignment"}  # but for what is wrong whichever end is meant
    entries = [(c.code, change) for c in conventions for change in c.changes if not aligned or c.code != _ALIGNED]
    entries += [
        (e.code, change)
        for e in CATALOGUE.values()
        for change in e.changes
        if positional or not is_of_positions(e.code, change)
        if interface is None or change is BEFORE_START or e.code not in impossible
    ]
    if interface is None or "causal" not in interface.takes:
        entries = [entry for entry in entries if entry[1] not in (FLAG_INVERTED, IF_MASKED)]
    if interface is not None and interface.sizes is not None:  # it may add tokens by design, but not values
        entries = [entry for entry in entries if entry[1] is not VALUES_ADDED]
    if interface is None or interface.sizes is not None:  # of modules, whose masks are seldom made by hand
        entries = [entry for entry in entries if entry[1] is not BUT_FOR_FIRST]
    if interface is None or "scale" not in interface.takes:
        entries = [entry for entry in entries if entry[1] not in TWICE_BY_SCALE]
    if interface is None or interface.sizes is None or interface.sizes.key_heads == interface.sizes.heads:
        entries = [entry for entry in entries if entry[1] not in TURNED_BY_HEAD]
    if interface is not None and "DN" not in interface.axes:
        entries = [entry for entry in entries if entry[1] not in OF_COLUMNS]
    if interface is not None and not _HIDING & (interface.takes | interface.implicit.keys()):
        entries = [("alibi-sign" if code == "signed-distances" else code, change) for code, change in entries]
    if interface is not None and {"mask", "padding"} <= interface.takes:
        entries += [(code, of_padding(change)) for code, change in entries if {"mask", "+mask"} & change.keys()]
    return tuple(map(Explanation.of, entries))


def forms_of(code: str) -> list[Explanation]:
    """Every way of making one mistake, or of following one convention."""
    return [one for one in singles() if one.codes == (code,)]


def of_padding(change: Change) -> Change:
    """A mistake with the mask, made with the padding mask instead."""

    def with_padding(stage: Stage) -> Stage:
        def run(t: Trace) -> None:
            if "padding" in t.case:
                case = t.case
                t.case = case | {"mask": case["padding"]}
                stage(t)
                t.case = case

        return run

    return {name.replace("mask", "padding"): with_padding(stage) for name, stage in change.items()}


def explain(
    first: Iterable[Observation],
    second: Iterable[Observation],
    agrees: Agreement,
    most: int = 4,
    entries: tuple[Explanation, ...] | None = None,
    budget: int = _BUDGET,
    design: tuple[tuple[str, Change], ...] = (),
) -> tuple[Explanation, list[Observation]]:
    """Return the smallest explanation of the first round that holds in the second, and what it leaves unexplained.

    If nothing explains everything, it is the explanation that gets furthest through the probes in their order. With
    `most` mistakes at once, of the given `entries`, it tries no more than `budget` combinations. The entries of
    `design` are part of every explanation, and do not count.
    """
    first = [a for a in first if a.response.output is not None]
    second = [a for a in second if a.response.output is not None]
    designed = Explanation.of(*design)
    if all(agrees(designed, a) for a in first):  # then what only the second shows is to be explained
        apart = {id(a): a for a in second if not agrees(designed, a)}
        if apart:
            first, second = [*apart.values()], [*first, *(a for a in second if id(a) not in apart)]
    mistakes = _Mistakes(first, singles() if entries is None else entries)
    furthest, reached = Explanation(), -1
    order = count()  # so that of two equally small ones the first in the catalogue comes first
    remaining = [budget]
    end = limit() if most > 1 else float("inf")
    limited = any(_LIMITS & a.probe.case.keys() for a in first)
    habits = EQUIVALENT_VARIANTS if limited else EQUIVALENT_VARIANTS[:1]
    # smallest first; of equally small ones, those that have got further, so that what shows apart is explained apart
    waiting = [(0, 0, next(order), Explanation.of(*design, habit=habit), 0, len(first)) for habit in habits]
    got: dict[Explanation, int] = {}  # how far each got
    alike = Counter[tuple[object, ...]]()
    while waiting and remaining[0] > 0:
        total, _, _, start, size, begun = heappop(waiting)
        until = end + (0 if total > 2 else MORE_FOR_PAIRS if total == 2 else float("inf"))
        if evaluations() > until:
            break
        if begun < reached - _BEHIND:  # what others explain alone is hardly explained by several together
            heappush(waiting, (total + 1, -total, next(order), start, size, len(first)))
            continue
        for grown in _extended(start, size, first, mistakes, agrees, remaining, until):
            failing = _first_failing(grown, first, agrees)
            if failing is None:
                if all(agrees(grown, a) for a in second):
                    return _milder(grown, entries or (), first + second, agrees), []
                if reached < len(first):
                    furthest, reached = grown, len(first)
            if failing is None or any(far >= failing and part <= grown for part, far in got.items()):
                continue
            form = (failing, grown.codes, *map(tuple, grown.changes), id(grown.habit))
            alike[form] += 1
            if alike[form] > _ALIKE:
                continue
            got[grown] = failing
            if failing > reached:
                furthest, reached = grown, failing
                for other in (replace(grown, habit=habit) for habit in habits if habit is not grown.habit):
                    if all(agrees(other, a) for a in first + second):
                        return _milder(other, entries or (), first + second, agrees), []
            now = len(grown.codes) - len(design)
            for more in range(1, min(_AT_ONCE, most - now) + 1):
                heappush(waiting, (now + more, -now, next(order), grown, more, failing))
    return furthest, [a for a in first + second if not agrees(furthest, a)]


def _milder(
    explanation: Explanation, entries: tuple[Explanation, ...], calls: list[Observation], agrees: Agreement
) -> Explanation:
    """The explanation with hazards in place of mistakes, where next to its other mistakes both look the same."""
    hazards = [one for one in entries if _is_hazard(one.codes[0])]
    for code in explanation.codes if len(explanation.codes) > 1 else ():
        if code in CATALOGUE and not _is_hazard(code):
            others = explanation.without(code)
            for hazard in hazards:
                if others.goes_with(hazard) and all(agrees(others + hazard, a) for a in calls):
                    return _milder(others + hazard, entries, calls, agrees)
    return explanation


def _is_hazard(code: str) -> bool:
    return code in CATALOGUE and CATALOGUE[code].level == "hazard"


def _is_mistake(explanation: Explanation) -> bool:
    code = explanation.codes[0]
    return code in CATALOGUE and CATALOGUE[code].level != "hazard"


def _extended(
    start: Explanation,
    size: int,
    calls: list[Observation],
    mistakes: _Mistakes,
    agrees: Agreement,
    budget: list[int],
    until: float,
) -> Iterator[Explanation]:
    """Explanations with so many more mistakes that get past the probe on which `start` fails."""
    if size == 0:
        yield start
        return
    failing = _first_failing(start, calls, agrees)
    assert failing is not None
    for chosen in mistakes.choices(size, failing, alone=not start.changes):
        budget[0] -= 1
        if budget[0] < 0 or evaluations() > until:
            return
        if _all_together((start, *chosen)):
            grown = start.with_all(chosen)
            if all(agrees(grown, a) for a in calls[failing::-1]):
                yield grown


def _all_together(explanations: tuple[Explanation, ...]) -> bool:
    """Whether all of them can be made at once."""
    return all(one.goes_with(other) for one, other in combinations(explanations, 2))


def _first_failing(explanation: Explanation, calls: list[Observation], agrees: Agreement) -> int | None:
    return next((i for i, a in enumerate(calls) if not agrees(explanation, a)), None)


class _Mistakes:
    """Every way of making one mistake, and on which probes each makes a difference by itself."""

    def __init__(self, observations: list[Observation], entries: tuple[Explanation, ...]) -> None:
        self._all = entries
        self._observations = observations
        self._showing: dict[int, tuple[Explanation, ...]] = {}
        self._counted: set[int] = set()

    def showing(self, probe: int) -> tuple[Explanation, ...]:
        """Those that show on one probe."""
        if probe not in self._showing:
            self._count(probe)
            self._showing[probe] = tuple(one for one in self._all if self._shows(one, probe))
        return self._showing[probe]

    def _count(self, probe: int) -> None:
        """Count the evaluations of all entries, which an earlier search may have made, or a later one will make."""
        if probe not in self._counted:
            self._counted.add(probe)
            count_evaluation(self._observations[probe].probe.case, 1 + len(self._all))

    def _shows(self, one: Explanation, probe: int) -> bool:
        """Whether the reference gives something else with an entry than without."""
        observation = self._observations[probe]
        if one.key not in observation.showing:
            case = observation.probe.case
            observation.showing[one.key] = one, not _equal(one.result(case), Explanation().result(case))
        return observation.showing[one.key][1]

    def _shows_on_any(self, one: Explanation) -> bool:
        return any(self._shows(one, probe) for probe in range(len(self._observations)))

    def choices(self, size: int, probe: int, alone: bool) -> Iterator[tuple[Explanation, ...]]:
        """What to add at once on a probe, of each entry its usual forms; `alone` if there is nothing to add it to.

        All but one must show on the probe by itself.
        """
        showing = self.showing(probe)
        if size == 1:
            yield from ((one,) for one in showing)
            shown = {id(one) for one in showing}
            yield from () if alone else ((one,) for one in self._all if id(one) not in shown)
        elif size == 2:
            hazards = [one for one in self._all if _is_hazard(one.codes[0])]
            yield from product([one for one in showing if not _is_mistake(one)], hazards)
            hiding = [one for one in showing if _LIMITS & one.changes[0].keys()]  # may leave queries with nothing
            yield from product(filter(_is_mistake, hiding), hazards)
            usual = sorted(_first_forms(showing, _FORMS), key=_is_mistake)  # what is right is found without the rest
            yield from combinations(usual, 2)
            visible_ids, tried = {id(one) for one in showing}, {id(one) for one in usual}
            yield from product(_first_forms(showing, 1), [one for one in showing if id(one) not in tried])
            hidden = [one for one in self._all if id(one) not in visible_ids]
            for other in range(len(self._observations)):
                self._count(other)
            elsewhere = [one for one in hidden if self._shows_on_any(one)]
            yield from product(_first_forms(showing, 1), _first_forms(elsewhere, 3 * _FORMS))
            elsewhere_ids = {id(one) for one in elsewhere}
            rest = [one for one in hidden if id(one) not in elsewhere_ids]  # shows next to another at most
            yield from product(usual, _first_forms(rest, 1))
            first_ids = {id(one) for one in _first_forms(showing, 1)}
            second = [one for one in usual if id(one) not in first_ids]
            yield from product(second, [one for one in showing if id(one) not in tried])
        else:
            yield from combinations(_first_forms(showing, 1), size)


def _first_forms(entries: Iterable[Explanation], count: int) -> list[Explanation]:
    """So many forms of each entry."""
    counts: dict[tuple[str, ...], int] = {}
    first = []
    for entry in entries:
        counts[entry.codes] = counts.get(entry.codes, 0) + 1
        if counts[entry.codes] <= count:
            first.append(entry)
    return first


def _equal(a: Result | None, b: Result | None) -> bool:
    if a is b or a is None or b is None:
        return a is b
    if len(a.weights) != len(b.weights):
        return False
    pairs = zip((a.output, *a.weights), (b.output, *b.weights), strict=True)
    return all(difference(x, y) < PRECISIONS["float64"] for x, y in pairs)

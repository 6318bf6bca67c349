"""A step with a cache of keys and values against the pass over all tokens, for modules that have such a cache.

The cache may be arguments for keys and values, an argument that the module returns or fills, or the module's own.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

from headwise.checker.arguments.roles import CACHE, role_of
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import bare
from headwise.checker.calling.values import present_masks
from headwise.checker.confirmation.empty_caches import Keeper, own_caches
from headwise.checker.confirmation.step_positions import outputs_as_first, outputs_from_start, outputs_of_last
from headwise.checker.modules.own_caches import OWN_CACHE, OwnCache
from headwise.checker.modules.positions import FIRST_POSITION, position_arguments
from headwise.checker.probes import first_probe
from headwise.checker.reference.definition import build, evaluate
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, Trace
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation
from headwise.checker.target import Memory, Target
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

ASKED = re.compile(r"use_?cache|return_?(kv|cache|present)|return_?kv_?cache")
_CLOSE = 1e-4  # a module may compute in float32
_SEVERAL = "several new tokens at once"
_ONE_BY_ONE = 3  # new tokens, with one call for each
_DISTURBED = (
    "Its result depends on earlier calls: with earlier tokens in its cache each new token by itself gets the right"
    " output, but one after the other they get other outputs."
)


def with_cached_step(findings: Findings, target: Target) -> Findings:
    """The findings, and whether a module gives the same for its last token with a cache of the others.

    Where it cannot be tried, the argument stays among those that are not tested.
    """
    convention, definition = findings.convention, findings.explanation
    usual = convention.load is not None and convention.interface.axes == "BND"
    if definition is None or not usual or not isinstance(convention.names.get("X"), str):
        return findings
    case = {k: v for k, v in first_probe(convention.interface).case.items() if k not in ("mask", "padding")}
    convention.call(case)  # puts the weights in
    steps = _Steps(convention, case["X"], target.state)
    with contextlib.suppress(Exception):  # whatever somebody's module raises
        full, before = steps.call(0, None)[0], steps.state() if steps.state else None
        if step := steps.nearest(case, full):
            result = _with_step(findings, *step, full[:, -1:], case)
            with contextlib.suppress(Exception):  # it may take no fewer tokens
                if before and result.rank == findings.rank and _disturb_each_other(steps, case, before):
                    return result.with_problem(_DISTURBED)
            several = None if result.rank > findings.rank else replace(steps, new=2).nearest(case, full)
            differs = several is not None and difference(several[1], full[:, -2:]) > _CLOSE
            takes_masks = bool({"mask", "padding"} & convention.names.keys())
            masked = _takes_masks(steps, case) if takes_masks and step[0] else True
            if masked is False:
                return _differs(result, "two new ones with a mask", step[0])
            untested = ["a mask next to earlier tokens in its cache"] * (masked is None)
            if several is not None and differs:
                rows = several[1]
                from_start = outputs_from_start(definition, case, rows.shape[1])
                is_from_start = any(difference(rows, a) <= _CLOSE for a in from_start)
                if is_from_start and not takes_masks:  # else it is called with one where it has a cache
                    return result.with_observed("causal-alignment")
                if not is_from_start and not _wants_mask(convention, definition, case, rows):
                    return _differs(result, _SEVERAL, several[0])
                if steps.is_causal and not takes_masks:
                    return result.with_observed("causal-missing")
            untested += [f"{_SEVERAL} with earlier ones in its cache, which get other outputs"] * differs
            return result.with_untested(*untested)
    if "kpast" in convention.names:
        return findings
    return findings.with_untested(*(name for name in steps.starts if name not in convention.unused))


def _with_step(findings: Findings, arguments: tuple[str, ...], got: Array, full: Array, case: Case) -> Findings:
    """The findings with what a step with a cache in these arguments gives in place of the last row of all tokens."""
    definition, tested = findings.explanation, findings.with_tested(*arguments)
    assert definition is not None
    if difference(got, full) <= _CLOSE:
        return tested
    if len(arguments) == 2 and "rope" in definition.codes:
        return findings  # its keys may be kept in another way than before their rotation or after it
    aligned = definition.answer({**case, "X": case["X"][:, -1:], "context": case["X"], "align": "start"})
    if aligned is not None and difference(got, aligned.output) <= _CLOSE:
        return tested.with_observed("causal-alignment")
    if "rope" in definition.codes and any(difference(got, a) <= _CLOSE for a in outputs_as_first(definition, case)):
        return tested.with_observed("rope-offset")
    return _differs(tested, "its last token", arguments)


def _differs(findings: Findings, tokens: str, arguments: tuple[str, ...]) -> Findings:
    cache = f"its cache (`{'`, `'.join(arguments)}`)" if arguments else "the cache that it keeps"
    return findings.with_problem(f"With earlier tokens in {cache}, {tokens} got other outputs.")


def _disturb_each_other(steps: _Steps, case: Case, before: Memory) -> bool:
    """Whether calls for one new token each are right if the module holds what it held before, and not in sequence."""
    expected, count = list[Array](), steps.X.shape[1]
    for last in range(count - _ONE_BY_ONE + 1, count + 1):
        X = steps.X[:, :last]
        shorter = replace(steps, X=X)
        expected.append(shorter.call(0, None)[0][:, -1:])
        before.restore()
        alone = shorter.nearest({**case, "X": X}, expected[-1])
        before.restore()
        if alone is None or difference(alone[1], expected[-1]) > _CLOSE:
            return False
    rows = np.concatenate(expected, axis=1)
    in_turn = replace(steps, new=_ONE_BY_ONE, at_once=1).nearest(case, rows)
    return in_turn is not None and difference(in_turn[1], rows) > _CLOSE


def _takes_masks(steps: _Steps, case: Case) -> bool | None:
    """Whether two new tokens get the right outputs with a mask next to a cache; None if it could not be tried."""
    results = []
    for expected, masks in _step_masks(steps.convention, case, 2):
        for one in (replace(steps, new=2, mask=mask) for mask in masks):
            with contextlib.suppress(Exception):  # whatever somebody's module raises
                full = one.call(0, None)[0]
                step = one.nearest(case, full) if difference(full, expected) <= _CLOSE else None
                if step is not None:
                    results.append(difference(step[1], full[:, -2:]) <= _CLOSE)
                    break
    return all(results) if results else None


def _wants_mask(convention: CallingConvention, definition: Explanation, case: Case, output: Array) -> bool:
    """Whether an output may be that of new tokens without the mask that they need: they attend to those after them."""
    if convention.interface.mask_replaces_limits:
        return True
    count, new = case["X"].shape[1], output.shape[1]
    unmasked = outputs_of_last(definition, case, np.ones((new, count), bool))
    return any(difference(output, rows) <= _CLOSE for rows in unmasked)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The last tokens after a call for the others, for each way in which a module may remember them."""

    convention: CallingConvention
    X: Array
    state: Callable[[], Memory] | None = None  # what the module holds
    new: int = 1  # how many tokens come after the others
    at_once: int | None = None  # how many of these a call gets; None for all
    mask: _StepMask | None = None  # that each call gets
    parameters: list[inspect.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        named = list(inspect.signature(self.convention.function).parameters.values())
        object.__setattr__(self, "parameters", [p for p in named if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)])

    @property
    def starts(self) -> tuple[str, ...]:
        """The arguments that say how many tokens came before."""
        return tuple(p.name for p in self.parameters if _is_start(p.name))

    @property
    def is_causal(self) -> bool:
        """Whether it has an option for a causal mask that is on by default."""
        option = self.convention.names.get("causal")
        return any(p.name == option and p.default is True for p in self.parameters)

    @property
    def ends(self) -> list[tuple[int, int]]:
        """Where the new tokens of each call begin and end."""
        last, step = self.X.shape[1], self.at_once or self.new
        return [(first, first + step) for first in range(last - self.new, last, step)]

    @property
    def own_cache(self) -> OwnCache | None:
        """How to go on with the cache that the module keeps by itself, if it is emptied before each call."""
        return vars(self.convention.function).get(OWN_CACHE)

    @property
    def flags(self) -> dict[str, bool]:
        """The arguments with which it keeps or returns a cache."""
        return {p.name: True for p in self.parameters if ASKED.fullmatch(p.name.lower())}

    def nearest(self, case: Case, full: Array) -> tuple[tuple[str, ...], Array] | None:
        """The arguments of the first way that works, and of its outputs the nearest to that of all tokens at once."""
        for arguments, attempts in self.ways(case):
            outputs = [a for a in attempts if a.shape == full[:, -self.new :].shape]
            if outputs:
                return arguments, min(outputs, key=lambda output: difference(output, full[:, -self.new :]))
        return None

    def ways(self, case: Case) -> Iterator[tuple[tuple[str, ...], list[Array]]]:
        """The arguments that a cache needs, and the outputs for the last token with it, in each way to fill it."""
        names, start = [p.name for p in self.parameters], self.starts
        cache = next((name for name in names if CACHE.fullmatch(name.lower())), None)
        roles = {role_of(name): name for name in names}
        if cache is not None:
            firsts: tuple[dict[str, Any], ...] = ({}, {cache: {}})
            for first in firsts:  # what the first call gets
                yield (cache, *start), list(self._attempts(partial(self._returned, cache, first)))
            _, (keys, _) = next(_pairs(self.convention, case))
            own = own_caches(self.convention.function, cache, keys.shape)
            for empty in own or (dict[str, Any], list[Any], partial(Keeper, self.convention)):
                yield (cache, *start), list(self._attempts(partial(self._filled, cache, empty)))
            makers = [partial(self._returned, cache, {cache: room}) for room in self._rooms(case)]
            yield (cache, *start), [output for make in makers for output in self._attempts(make)]
        elif {"kpast", "vpast"} <= roles.keys():
            pair = roles["kpast"], roles["vpast"]
            makers = [partial(self._paired, pair, *args) for args in _pairs(self.convention, case)]
            yield pair, [output for make in makers for output in self._attempts(make)]
        elif start or self.flags or {FIRST_POSITION, OWN_CACHE} & vars(self.convention.function).keys():
            yield start or tuple(self.flags), list(self._attempts(self._remembered))

    def call(self, first: int, last: int | None, **others: Any) -> tuple[Array, tuple[Any, ...]]:
        """The output for the tokens from `first` to `last`, and what else the module returns."""
        tokens = self.convention.convert(np.array(self.X[:, first:last]))
        arguments: dict[str, Any] = {p.name: None for p in self.parameters if p.default is p.empty}
        streams = [self.convention.names.get(role) for role in ("context", "values", "X")]  # of the same tokens
        arguments |= {**self.convention.fixed, **{name: tokens for name in streams if isinstance(name, str)}}
        arguments |= {p.name: first for p in self.parameters if _is_start(p.name)}
        if first and FIRST_POSITION in vars(self.convention.function):
            arguments[FIRST_POSITION] = first
        masks = self.mask.arguments(first, last) if self.mask else {}
        with self.own_cache.goes_on() if first and self.own_cache else contextlib.nullcontext():
            result = self.convention.function(**{**arguments, **masks, **others})
        result = result if isinstance(result, tuple) else (result,)
        return np.array(bare(result[0]), np.float64), result[1:]

    def last(self, **others: Any) -> Array:
        """The output for the last tokens."""
        return np.concatenate([self.call(first, last, **others)[0] for first, last in self.ends], axis=1)

    def _attempts(self, step: Callable[[], Array]) -> Iterator[Array]:
        with contextlib.suppress(Exception):  # whatever somebody's module raises: it wants its cache in another way
            yield step()

    def _returned(self, name: str, empty: Mapping[str, Any]) -> Array:
        """With what the call before has returned."""
        outputs, returned = list[Array](), self.call(0, -self.new, **self.flags, **empty)[1]
        for first, last in self.ends:
            cache = next(part for part in returned if _is_cache(part))
            output, returned = self.call(first, last, **{**self.flags, name: cache})
            outputs.append(output)
        return np.concatenate(outputs, axis=1)

    def _rooms(self, case: Case) -> Iterator[Any]:
        """Arrays of zeros with a place for the keys and values of each token, in the usual orders of their axes."""
        for axis, (keys, values) in _pairs(self.convention, case):
            for items_first in (True, False):
                yield self.convention.convert(np.zeros_like(np.stack([keys, values], axis=items_first)))
            if axis == 1:  # those after a rotation have the same shapes
                return

    def _filled(self, name: str, empty: Callable[[], Any]) -> Array:
        """With an object that the call for the others has filled."""
        cache = empty()
        self.call(0, -self.new, **{name: cache})
        if not cache:
            raise LookupError(f"{name} is left empty")
        return self.last(**{name: cache})

    def _remembered(self) -> Array:
        """With what the module keeps by itself: other tokens before change its output, or what it keeps."""
        outputs, kept = [], list[list[Array]]()
        with self.own_cache.turned_on() if self.own_cache else contextlib.nullcontext():
            before = self.state() if self.state else None
            for X in (np.roll(self.X, 1, axis=-1), self.X):
                replace(self, X=X).call(0, -self.new, **self.flags)
                outputs.append(self.last(**self.flags))
                if self.state and before:
                    kept.append(self.state().arrays)
                    before.restore()
        unchanged = all(len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in pairwise(kept))
        if difference(outputs[0], outputs[1]) <= _CLOSE and unchanged:
            raise LookupError("it keeps nothing")
        return outputs[1]

    def _paired(self, names: tuple[str, str], axis: int, pair: tuple[Array, Array]) -> Array:
        """With keys and values of the tokens before, of those of all tokens, which lie along an axis."""
        outputs = []
        for first, last in self.ends:
            past = (self.convention.convert(a.take(range(first), axis)) for a in pair)
            outputs.append(self.call(first, last, **dict(zip(names, past, strict=True)))[0])
        return np.concatenate(outputs, axis=1)


def _pairs(convention: CallingConvention, case: Case) -> Iterator[tuple[int, tuple[Array, Array]]]:
    """Keys and values before their rotation and after it, and the axis of the tokens.

    They are (B, G, M, d), (B, M, G, d) or (B, M, G · d).
    """
    design = [change for _, change in convention.design]
    for stage in ("+split", "+rotate"):
        recorded: list[tuple[Array, Array]] = []

        def note(t: Trace, recorded: list[tuple[Array, Array]] = recorded) -> None:
            recorded.append((t.k, t.v))

        evaluate(case, build([*design, {stage: note}]))
        convention.call(case)  # a bias of positions was measured with other weights
        for keys, values in recorded:
            yield 2, (keys, values)
            apart = keys.swapaxes(1, 2), values.swapaxes(1, 2)
            yield 1, apart
            yield 1, (apart[0].reshape(*apart[0].shape[:2], -1), apart[1].reshape(*apart[1].shape[:2], -1))


def _is_start(name: str) -> bool:
    """Whether an argument says how many tokens came before, or where in a cache the new ones begin."""
    return role_of(name) == "offset" or (role_of(name) == "place" and not position_arguments([name]))


def _is_cache(part: Any) -> bool:
    """Whether it is keys and values and not, for example, attention weights."""
    return (isinstance(part, tuple | list | dict) and len(part) > 1) or getattr(part, "ndim", 0) == 5


@dataclass(frozen=True, slots=True)
class _StepMask:
    """A mask of all tokens, of which each call gets its part."""

    convention: CallingConvention
    case: Case
    visible: BoolArray  # (B, 1, N, N)
    of_new_keys: bool  # whether a call gets only the columns of its own tokens
    form: int = 0  # which of the shapes in use it has

    def arguments(self, first: int, last: int | None) -> dict[str, Any]:
        """The mask for the tokens from `first` to `last`, by the name of its argument."""
        places = range(self.case["X"].shape[1])[first:last]
        keys = slice(places.start if self.of_new_keys else 0, places.stop)
        X, mask = self.case["X"], self.visible[:, :, first:last, keys]
        case = {**self.case, "X": X[:, first:last], "context": X[:, keys], "mask": mask}
        presented = list(present_masks(self.convention, case, self.convention.interface.axes))[self.form]["mask"]
        return {str(self.convention.names["mask"]): self.convention.convert(presented)}


def _step_masks(convention: CallingConvention, case: Case, new: int) -> Iterator[tuple[Array, list[_StepMask]]]:
    """Masks that hide later tokens, and one earlier from the new, in each form; and the outputs with them."""
    if not isinstance(convention.names.get("mask"), str) or convention.interface.key_mask:
        return
    batch, count = case["X"].shape[:2]
    for of_new_keys in (False, True):
        visible = np.tri(count, dtype=bool)
        visible[-new:, 1] = of_new_keys  # the columns of new keys say nothing of earlier ones
        mask = np.broadcast_to(visible, (batch, 1, count, count))
        masked = {**case, "mask": mask}
        forms = range(len(list(present_masks(convention, masked, convention.interface.axes))))
        if (expected := convention.call(masked).output) is not None:
            yield expected, [_StepMask(convention, case, mask, of_new_keys, form) for form in forms]

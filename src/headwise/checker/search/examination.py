"""Calling a function on every probe, and explaining what it returned in one way of calling it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import Response, has_shape
from headwise.checker.measurement.influence import is_equivariant, stops_at_last_query
from headwise.checker.probes import PROBES, Probe, probes
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, grid
from headwise.checker.search.agreement import fits
from headwise.checker.search.dropout import detect_dropout
from headwise.checker.search.edge_cases import EDGES, hazards_of, is_left_with_nothing, overflows, split_empty_rows
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Agreement, Explanation, Observation, explain, singles
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

Searches: TypeAlias = dict[int, tuple[tuple[str, int, int], ...]]

_OF_LOGITS = {"mask", "mask-each", "mask-keys", "bias", "together"}
# how many mistakes at once are looked for at each level, by the precision of the comparison, and how many combinations
_SEARCHES: Searches = {
    0: (("float64", 0, 10), ("float32", 0, 10)),  # the second only for modules, which may take a softmax in float32
    1: (("float64", 1, 2000), ("float32", 1, 1000), ("float16", 1, 1000)),  # for outputs that are such numbers, too
    2: (("float64", 2, 12000), ("float32", 2, 2000)),
    4: (("float64", 4, 18000), ("float32", 2, 2000), ("float16", 2, 2000)),
}
_NARROW_SEARCHES: dict[str, Searches] = {
    "float32": {
        0: (("float32", 0, 10),),
        1: (("float32", 1, 2000),),
        2: (("float32", 2, 12000),),
        4: (("float32", 4, 18000),),
    },
    "float16": {0: (("float16", 0, 10),), 1: (("float16", 1, 1000),), 2: (), 4: (("float16", 2, 2000),)},
}
_OF_NARROW = 2  # mistakes that are looked for at once in float32 alone
_COARSE = ("float32", 3, 6000)  # before the search with four, for modules whose numbers are probably rounded
HEADS_LEFT_OUT = "it returns only as many heads as the keys have"
_WEIGHTS_UNEXPLAINED = "The weights that it returns are not explained."
_OVERFLOW = OverflowError.__name__  # which `math.exp` raises where NumPy returns infinity
_CHANGES = (1e-10, 1e-6, 0.1)  # so little that float32 does not follow, or float16, and enough


@dataclass(frozen=True, slots=True)
class Examination:
    """Every call of a function in one way, and what can be explained with it; `narrow` is the type of logits."""

    convention: CallingConvention
    rounds: tuple[list[Observation], list[Observation]]
    observed: tuple[str, ...]
    repeats: bool
    entries: tuple[Explanation, ...]
    rounded: dict[str, bool] = field(default_factory=dict)
    narrow: str = ""  # if it is narrower than that of the output

    @property
    def refusals(self) -> int:
        """How many kinds of probes the function refuses, but for fewer key heads and causal with N ≠ M."""
        accepted = {a.probe.name for a in self.calls if a.response.output is not None}
        return len({a.probe.name for a in self.calls} - accepted - {"groups", "aligned"})

    @property
    def reproduced(self) -> int:
        """How many calls the definition reproduces."""
        return sum(fits("float32")(Explanation(), call) for call in self.calls)

    @property
    def all_narrow(self) -> bool:
        """Whether every call is in float32, as for a framework that computes in it."""
        return all(call.narrow for call in self.rounds[0])

    @property
    def calls(self) -> list[Observation]:
        """The calls of both rounds."""
        return [*self.rounds[0], *self.rounds[1]]

    @property
    def answered(self) -> list[Observation]:
        """The calls that returned an output."""
        return [a for a in self.calls if a.response.output is not None]


def examine(convention: CallingConvention, rng: np.random.Generator) -> Examination:
    """Call the function on every probe of both rounds."""
    interface = convention.interface
    first, second = ([observe(p, convention) for p in probes(interface, number, rng)] for number in (0, 1))
    first, second = ([a for a in calls if not _is_undefined(a)] for calls in (first, second))
    if convention.design:  # which may be measured, for which many tokens take too long
        second = [a for a in second if a.probe.name != "long"]
    observed = _observed(convention, first + second)
    wide = [a for a in first if a.probe.name == "wide"]
    if wide and not interface.of_tokens and not interface.packed and not any(map(_has_other_widths, wide)):
        observed = (*observed, "equal-value-widths")
    if not interface.of_tokens and any(map(_has_rows_of_keys, first + second)):
        first, second = ([a for a in calls if not _has_rows_of_keys(a)] for calls in (first, second))
        observed = (*observed, "equal-lengths")
    elif not interface.of_tokens and not interface.packed and stops_at_last_query(convention):
        first, second = ([a for a in calls if _has_equal_lengths(a)] for calls in (first, second))
        observed = (*observed, "equal-lengths")
    wide_calls = [a for a in first if not a.narrow]  # none of a framework that computes in float32
    rounded = {
        "float32": bool(wide_calls) and all(_is_rounded(a, "float32") for a in wide_calls),
        "float16": all(_is_rounded(a, "float16") for a in first),
    }
    plain = next(a for a in first if a.probe.name == "plain")
    repeats = _repeats(convention, plain)
    positional = not is_equivariant(convention)
    if positional and not interface.of_tokens and not interface.packed:
        first, second = ([_in_pairs(a, convention) for a in calls] for calls in (first, second))
    entries = singles(interface, positional=positional)
    narrow = _narrow_type(convention, plain) if repeats and not rounded["float32"] else ""
    return Examination(convention, (first, second), observed, repeats, entries, rounded, narrow)


def observe(probe: Probe, convention: CallingConvention) -> Observation:
    """Call the function; with values as wide as keys if it refuses others, so that it is seen what else there is."""
    call = Observation(probe, convention.call(probe.case))
    if probe.name == "large-logits" and call.response.error.startswith(_OVERFLOW):
        return replace(call, response=Response(np.full_like(_expected(probe.case), np.nan)))
    if probe.name == "groups" and "k" in probe.case and _has_heads_of_keys(call):
        return replace(call, response=Response(None, error=HEADS_LEFT_OUT))
    if call.response.output is None and _has_other_widths(call):
        alike = Probe(probe.name, _with_narrow_values(probe.case))
        again = Observation(alike, convention.call(alike.case))
        return call if again.response.output is None else again
    return call


def _expected(case: Case) -> Array:
    """The output of the definition."""
    result = Explanation().answer(case)
    assert result is not None
    return result.output


def _has_heads_of_keys(call: Observation) -> bool:
    """Whether there are fewer heads of keys than of queries, and the others are left out, as `zip` does."""
    output, heads = call.response.output, call.probe.case["k"].shape[1]
    return output is not None and output.ndim > 1 and output.shape[1] == heads < call.probe.case["q"].shape[1]


def _has_other_widths(call: Observation) -> bool:
    """Whether values are of another width than keys."""
    case = call.probe.case
    return "v" in case and case["v"].shape[-1] != case["k"].shape[-1]


def _with_narrow_values(case: Case) -> Case:
    return case | {"v": case["k"][..., ::-1].copy()}


def _in_pairs(call: Observation, convention: CallingConvention) -> Observation:
    """The call with four times as many features, which can be rotated, for one with an odd number of them."""
    case = call.probe.case
    if call.response.output is None or call.probe.name != "wide" or case["q"].shape[-1] % 2 == 0:
        return call
    probe = Probe("wide", case | {x: np.concatenate([case[x]] * 4, axis=-1) for x in "qk"})
    return observe(probe, convention)


def explain_at_level(examination: Examination, level: int) -> Findings | None:
    """Return what explains the calls with so many mistakes at most; None if nothing does."""
    if not examination.repeats or _gives_no_number(examination):
        return None
    is_module = examination.convention.load is not None
    searches = _NARROW_SEARCHES.get(examination.narrow, _SEARCHES)
    first = (_COARSE,) if level == 4 and examination.convention.coarse else ()
    for precision, most, budget in (*first, *searches[level]):
        if precision == "float16" and not (examination.rounded["float16"] or examination.narrow == "float16"):
            continue
        if examination.all_narrow:
            most = min(most, _OF_NARROW)
        if precision == "float64" and level > 1 and examination.rounded["float32"]:
            continue  # its outputs are numbers of float32
        proven = is_module or examination.narrow
        if precision == "float32" and level == 0 and not proven:
            continue
        if precision == "float32" and not (examination.rounded["float32"] or proven):
            if level == 1:
                continue
            most = 1  # a coarse comparison proves less
        explanation, unexplained = _explain(examination, fits(precision), most, budget)
        findings = Findings(examination.convention, examination.rounds, explanation, examination.observed)
        lowered = _lowered(examination.convention) if precision != "float64" else ()
        if is_module and not examination.narrow and not examination.rounded["float32"]:
            lowered = ()  # numbers that were made in float32 with the module, such as angles, lower nothing
        # outputs that are numbers of float32 allow no finer comparison; without a mistake, a coarse one proves enough
        tells = proven or examination.rounded["float32"] or not findings.rank[0]
        if unexplained and (precision == "float64" or (tells and precision == (examination.narrow or "float32"))):
            observed = (*findings.observed, *lowered)
            findings = replace(findings, observed=observed)
            findings, unexplained = _with_equal_widths(findings, unexplained, fits(precision))
            if not findings.rank[0]:
                codes, unexplained = split_empty_rows(explanation, unexplained, fits(precision))
                findings = findings.with_observed(*codes)
            findings_or_none = _despite(findings, unexplained, level)
            if findings_or_none is not None:
                return findings_or_none
        if not unexplained:
            if not findings.codes and not _accepts_ordinary_inputs(examination.calls):
                return None
            notes = ("Its logits or its weights are in half precision.",) * (examination.narrow == "float16")
            return replace(findings, observed=(*findings.observed, *lowered), notes=notes)
    return None


def _with_equal_widths(
    findings: Findings, unexplained: list[Observation], agrees: Agreement
) -> tuple[Findings, list[Observation]]:
    """The findings, and what is left, of a function that is right only for values as wide as its keys."""
    if findings.convention.interface.of_tokens or findings.explanation is None:
        return findings, unexplained
    apart = [a for a in unexplained if _has_other_widths(a)]
    for a in apart:
        case = _with_narrow_values(a.probe.case)
        if not agrees(findings.explanation, Observation(Probe(a.probe.name, case), findings.convention.call(case))):
            return findings, unexplained
    observed = (*findings.observed, *["equal-value-widths"][: len(apart)])
    return replace(findings, observed=observed), [a for a in unexplained if all(a is not b for b in apart)]


def explain_what_is_left(examination: Examination, rng: np.random.Generator, random: bool) -> Findings:
    """Dropout, an output whose weights nothing explains, or findings without an explanation."""
    convention = examination.convention
    findings = Findings(convention, examination.rounds, None, examination.observed)
    in_type = "float32" if examination.rounded["float32"] or examination.all_narrow else "float64"
    for weights in (True, False) if random or not examination.repeats else ():
        explanation = detect_dropout(convention, rng, in_type, weights)
        if explanation is not None:
            findings = replace(findings, explanation=explanation, observed=(*findings.observed, "dropout-active"))
            return findings if weights else replace(findings, unexplained=True, notes=(_WEIGHTS_UNEXPLAINED,))
        if not any(a.response.weights is not None for a in findings.calls):
            break
    return _without_weights(findings, examination)


def _gives_no_number(examination: Examination) -> bool:
    """Whether ordinary inputs give nothing finite, so that whatever gives nothing finite would explain it."""
    outputs = [a.response.output for a in examination.calls if a.probe.name == "plain"]
    return not any(output is None or np.isfinite(output).any() for output in outputs)


def _explain(
    examination: Examination, agrees: Agreement, most: int, budget: int
) -> tuple[Explanation, list[Observation]]:
    """As `explain`; for tokens first without the matrices that are not D × D, of which many functions accept none."""
    search: Callable[..., tuple[Explanation, list[Observation]]] = partial(
        explain, design=examination.convention.design
    )
    if not examination.convention.interface.multi_head or not examination.convention.interface.of_tokens:
        return search(*examination.rounds, agrees, most, examination.entries, budget)
    square = [[a for a in calls if a.probe.name != "wide"] for calls in examination.rounds]
    explanation, unexplained = search(*square, agrees, most, examination.entries, budget)
    if unexplained or all(agrees(explanation, a) for a in examination.answered):
        return explanation, unexplained
    most = len(explanation.codes) - len(examination.convention.design)
    also, unexplained = search(*examination.rounds, agrees, most, examination.entries, budget)
    if not unexplained:
        return also, unexplained
    return explanation, [a for a in examination.answered if not agrees(explanation, a)]


def _despite(findings: Findings, unexplained: list[Observation], level: int) -> Findings | None:
    """The findings although some calls are not explained by entries: edge cases, and matrices that are not square.

    Next to a module's mistake, and once no more are looked for, also calls with masks or a bias.
    """
    if (
        level > 0  # a convention may explain them
        and any(map(_has_apart_neighbours, unexplained))
        and not any(_has_apart_neighbours(a) for a in findings.rounds[0] if a.probe.name == "plain")
        and not {"align", "offset", "causal"} & findings.convention.interface.takes
    ):
        apart = [a for a in unexplained if _has_apart_neighbours(a) and not is_left_with_nothing(a)]
        findings = findings.with_observed(*["equal-lengths"][: len(apart)])
        unexplained = [a for a in unexplained if not _has_apart_neighbours(a)]
    names = {a.probe.name for a in unexplained}
    allowed = {*EDGES, *(a.probe.name for a in unexplained if overflows(a))}
    if findings.convention.interface.of_tokens and findings.convention.interface.multi_head:
        allowed.add("wide")
    right = not findings.rank[0]
    if names <= allowed:
        codes = tuple(dict.fromkeys(code for a in unexplained for code in hazards_of(a, right)))
        observed = (*findings.observed, *codes, *(("equal-widths",) if "wide" in names else ()))
        unnamed = [a.probe.name for a in unexplained if a.probe.name != "wide" and not hazards_of(a, right)]
        findings = replace(findings, observed=observed)
        if not unnamed:
            return findings
        if findings.rank[0]:
            what = " and ".join(dict.fromkeys(PROBES[name] for name in unnamed))
            return replace(findings, notes=(f"What it does with {what} is not explained.",))
    unaligned = {"aligned"} if "align" not in findings.convention.interface.takes else set()
    more = _OF_LOGITS if level == max(_SEARCHES) and findings.convention.load is not None else set()
    if findings.rank[0] and names <= allowed | {"float32", "context"} | unaligned | more:
        what = " and ".join(dict.fromkeys(PROBES[name] for name in names))
        return replace(findings, notes=(f"What it does with {what} is not explained.",))
    return None


def _is_undefined(call: Observation) -> bool:
    """Whether queries of zero give NaN, as where they are divided by their length, which is no mistake."""
    output = call.response.output
    return call.probe.name == "uniform" and output is not None and not np.isfinite(output).all()


def _has_rows_of_keys(call: Observation) -> bool:
    """Whether there are other numbers of queries than of keys, and the output has a row for each key."""
    output, (*_, n, m) = call.response.output, grid(call.probe.case)
    return output is not None and n != m and output.shape[-2] == m and not has_shape(call.response, call.probe.case)


def _has_equal_lengths(call: Observation) -> bool:
    *_, n, m = grid(call.probe.case)
    return n == m


def _has_apart_neighbours(call: Observation) -> bool:
    """Whether there is a window with other numbers of queries than of keys, so that no query has a place of its own.

    The last query of a causal function has one, that of the last key, unless it is the first.
    """
    *_, n, m = grid(call.probe.case)
    return n != m and bool(call.probe.case.get("window")) and not (n < m and call.probe.case.get("causal"))


def _accepts_ordinary_inputs(calls: list[Observation]) -> bool:
    return all(a.response.output is not None for a in calls if a.probe.name in ("plain", "sharp"))


def _is_rounded(call: Observation, of_type: str) -> bool:
    output = call.response.output
    return output is None or bool((output.astype(of_type) == output)[np.isfinite(output)].all())


def _narrow_type(convention: CallingConvention, call: Observation) -> str:
    """The type of logits inside a function that returns another: in float32 or float16 slight changes are lost."""
    case, before = call.probe.case, call.response.output
    name = "q" if "q" in case else "Wq"
    shared = convention.interface.sizes is not None and convention.interface.sizes.shared
    if before is None or call.narrow or shared:
        return ""
    every_other = np.arange(case[name].size).reshape(case[name].shape) % 2  # so that a norm does not undo it
    outputs = [convention.call(case | {name: case[name] * (1 + by * every_other)}).output for by in _CHANGES]
    if any(output is None or output.shape != before.shape for output in outputs):
        return ""
    slight, small, ample = (difference(output, before) for output in outputs if output is not None)
    if ample <= 1e-6 or 0 < slight < 1e-8:
        return ""
    return "float32" if 0 < small < 1e-5 else "float16"


def _repeats(convention: CallingConvention, call: Observation) -> bool:
    again, output = convention.call(call.probe.case).output, call.response.output
    return again is not None and output is not None and again.tobytes() == output.tobytes()


def _lowered(convention: CallingConvention) -> tuple[str, ...]:
    """A narrower type is a hazard, unless the framework chooses it."""
    return ("float32",) if convention.lowers else ("dtype-lowered",)


def _observed(convention: CallingConvention, calls: list[Observation]) -> tuple[str, ...]:
    codes: list[str] = []
    if any(a.response.changed for a in calls):
        codes.append("input-changed")
    narrower = {False: ("float32", "float16", "bfloat16"), True: ("float16", "bfloat16")}
    if any(a.response.dtype in narrower[a.narrow] for a in calls):
        codes += _lowered(convention)
    return tuple(codes)


def _without_weights(findings: Findings, examination: Examination) -> Findings:
    """Explain the output alone, where weights came with it that nothing explains."""
    first, second = findings.rounds
    if not examination.repeats or not any(a.response.weights is not None for a in first):
        return findings
    first, second = ([replace(a, response=replace(a.response, weights=None)) for a in r] for r in (first, second))
    design = findings.convention.design
    explanation, unexplained = explain(first, second, fits("float64"), 1, examination.entries, design=design)
    if unexplained or not explanation.codes:
        return findings
    return replace(findings, explanation=explanation, unexplained=True, notes=(_WEIGHTS_UNEXPLAINED,))

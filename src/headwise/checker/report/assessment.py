"""From findings to a verdict: levels, properties, what was not tested, the example and the lines of the source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from textwrap import shorten

from headwise.checker.arguments.roles import FUSED, role_of
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import has_shape
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.catalogue.interface import residual_of_inputs
from headwise.checker.detection.acceptance import in_words
from headwise.checker.measurement.influence import attended_keys, sees_by_place
from headwise.checker.measurement.recovery import recovered_runs
from headwise.checker.probes import PROBES, first_probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.stages import pairs_of
from headwise.checker.reference.state import Change, grid
from headwise.checker.report.counterexample import find_smallest
from headwise.checker.report.hints import hints
from headwise.checker.report.locations import find_locations
from headwise.checker.report.properties import verify_properties
from headwise.checker.report.verdict import ProbeResult, Verdict
from headwise.checker.search.agreement import fits, worst
from headwise.checker.search.edge_cases import is_left_with_nothing
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Explanation, Observation
from headwise.checker.user_code.numpy_guard import np

# entries that a module may contain by design, and the conventions that they are then
_BY_DESIGN = {
    "norm-added": "norm-inside",
    "heads-interleaved": "heads-last",
    "residual-added": "residual-inside",
    "positions-added": "position-bias",
    "qk-norm-across-heads": "qk-norm-of-all-heads",
}
_OF_WEIGHTS = ("rows-sum-to-one", "shift-invariant")  # of no use where it attends to more than its keys
_BY_CALLING = {"BNHd": "tokens-before-heads", "NHd": "tokens-before-heads", "NBd": "tokens-before-batch"}
_BY_CALLING |= {"DN": "tokens-as-columns", "BDN": "tokens-as-columns", "NBD": "tokens-before-batch"}
_BY_CALLING |= dict.fromkeys(("dN", "BdN", "BHdN"), "tokens-as-columns")


def to_verdict(
    name: str,
    findings: Findings,
    source: str,
    function: str,
    rng: np.random.Generator,
    components: frozenset[str] = frozenset(),
    inferred: tuple[str, ...] = (),
) -> Verdict:
    """Make the verdict; `components` are entries that a module contains by design, `inferred` what is known of it."""
    convention, explanation = findings.convention, findings.explanation
    calls = findings.calls
    components = components | {code for code, _ in convention.design}
    properties = verify_properties(convention, calls, rng, "norm-added" in {*components, *findings.codes})
    linear = explanation is None and any(p.name == "linear-in-values" and p.holds for p in properties)
    if linear and not recovered_runs(convention, first_probe(convention.interface).case):
        properties = tuple(p for p in properties if p.name not in _OF_WEIGHTS)
    codes = [code for code in findings.codes if code not in components]
    named = any(CATALOGUE[code].level == "mistake" for code in codes)
    if explanation is None or (findings.unexplained and not named):
        holds = {p.name: p.holds for p in properties}
        scrambled = holds.get("deterministic") and holds.get("permutation-equivariant") is False
        scrambled = scrambled and not sees_by_place(attended_keys(convention))
        codes.append("tokens-scrambled" if scrambled and not findings.unexplained else "unknown")
    mistakes = tuple(code for code in codes if CATALOGUE[code].level == "mistake")
    by_design = [*(_BY_DESIGN[c] for c in findings.codes if c in components), *_normalized_residual(explanation)]
    of_phrases = {convention.phrase: code for code, convention in CONVENTIONS.items()}
    stored = [of_phrases[phrase] for phrase in inferred if phrase in of_phrases]
    conventions = tuple(dict.fromkeys([*stored, *_conventions(findings), *by_design]))
    accepted = [a for a in calls if a.response.output is not None]
    changes = dict(explanation.pairs) if explanation else {}
    # by angles that it makes itself, in a wrong way: those that the definition should have are not known
    rotates = any("+rotate" in change and code in mistakes for code, change in changes.items() if "rope" in code)
    return Verdict(
        name=name,
        kind=convention.interface.kind,
        calling_convention=in_words(convention),
        ok=not mistakes,
        mistakes=mistakes,
        hazards=tuple(code for code in codes if CATALOGUE[code].level == "hazard"),
        conventions=conventions,
        untested=tuple(
            dict.fromkeys([*_untested(convention, calls), *_unknown_aims(conventions), *_alignment(findings)])
        ),
        probes=_probe_results(calls, _definition(findings)),
        inputs=len(accepted),
        difference=_difference(findings, accepted),
        properties=properties,
        example=find_smallest(convention, calls, rng, _definition(findings)) if mistakes and not rotates else None,
        locations=find_locations(source, function, tuple(codes)),
        notes=(
            *findings.notes,
            *_of_empty_rows(calls, codes),
            *_of_square_matrices(findings),
            *(hints(findings) if explanation is None else ()),
        ),
        phrases=tuple(
            dict.fromkeys([*(_phrase(code, convention, changes.get(code, {})) for code in conventions), *inferred])
        ),
        library=next((a.response.framework for a in accepted), ""),
    )


def _of_empty_rows(calls: list[Observation], codes: list[str]) -> Iterator[str]:
    """What queries that may attend to nothing get, if it is one number."""
    if "mask-finite-fill" not in codes:
        return
    numbers = set[float]()
    for call in calls:
        definition, output = Explanation().answer(call.probe.case), call.response.output
        if call.probe.name == "empty-rows" and definition is not None and has_shape(call.response, call.probe.case):
            assert output is not None
            empty = (definition.weights[-1].sum(axis=-1) == 0).all(axis=1)[:, None, :, None]
            rows = output[np.broadcast_to(empty if "q" in call.probe.case else empty[:, 0], output.shape)]
            numbers |= {*np.round(rows, 9).tolist()}
    if len(numbers) == 1:
        yield f"It returns {numbers.pop():g} for queries that may attend to nothing."


def _of_square_matrices(findings: Findings) -> Iterator[str]:
    """Where √D is right although it is not √d in general: with one head whose matrices are those of an example."""
    interface, definition = findings.convention.interface, _definition(findings)
    single = interface.of_tokens and not interface.multi_head and interface.sizes is None
    square = [a for a in findings.calls if a.probe.name in ("plain", "sharp") and a.response.output is not None]
    right = any(all(fits(precision)(definition, a) for a in square) for precision in ("float64", "float32"))
    if findings.codes == ("scale-model-width",) and single and square and right:
        yield "Where its matrices are square it is right: D is the width of its head there, too."


def _conventions(findings: Findings) -> Iterator[str]:
    convention = findings.convention
    interface = convention.interface
    if interface.axes in _BY_CALLING:
        yield _BY_CALLING[interface.axes]
    if convention.matrices == "in-out" and convention.load is None:
        yield "weights-in-out"
    if convention.weights != "matrix" or interface.heads:
        yield "heads-stacked"
    if interface.packed:
        yield f"{interface.packed}-packed"
    elif FUSED.keys() & convention.names.keys():
        yield "weights-fused"
    if "mask" in interface.takes and convention.senses["mask"] != "attends":
        adds = convention.senses["mask"] == "adds"
        yield "mask-additive" if adds else "padding-hides" if interface.key_mask else "mask-hides"
    if "padding" in interface.takes and convention.senses["padding"] != "attends":
        yield "mask-additive" if convention.senses["padding"] == "adds" else "padding-hides"
    if convention.window != "pair":
        yield "window-as-number"
    if "slopes" in interface.takes:
        yield "alibi"
    if convention.output:
        yield f"output-{convention.output}"
    if convention.bias_table or "buckets" in convention.names:
        yield "bias-table"
    if convention.weights_only:
        yield "weights-only"
    if interface.unprojected:
        yield "unprojected"
    if interface.dtype == "float32":
        yield "float32"
    if interface.cached:
        yield "keys-cached"
    elif interface.implicit.get("causal") and "causal-missing" not in findings.codes:
        yield "causal-without-mask" if interface.mask_replaces_limits else "causal-unasked"
    yield from findings.conventions


def _normalized_residual(explanation: Explanation | None) -> Iterator[str]:
    """The convention of a layer that normalises its tokens first, and then adds them as they are by now."""
    changes = dict(explanation.pairs) if explanation else {}
    added = changes.get("residual-added")
    if "+arrange" in changes.get("norm-added", ()) and added and added.get("+finish") is not residual_of_inputs:
        yield "residual-normalised"


def _phrase(code: str, convention: CallingConvention, change: Change) -> str:
    if code in ("rope", "rope-cached", "rope-without-context") and (pairs := pairs_of(change.get("+rotate"))):
        return f"{CONVENTIONS[code].phrase} ({pairs})"
    window = convention.interface.implicit.get("window")
    if code == "window-built-in" and window:
        sides = [f"{size} {side}" for size, side in zip(window, ("before", "after"), strict=True) if size is not None]
        return f"a built-in window ({' and '.join(sides)} the token)"
    if code == "window-as-number":
        meaning, _, side = convention.window.partition("-")
        name, where = convention.names.get("window", "window"), "before and after" if side == "both" else "before"
        counted = {
            "reach": f"not counting the token itself ({name} tokens {where} it)",
            "count": f"counting the token itself ({name} - 1 tokens {where} it)",
            "size": f"counting both sides ({name} // 2 tokens on each)",
        }
        return f"a window given as one number of keys, {counted[meaning]}"
    return CONVENTIONS[code].phrase


def _definition(findings: Findings) -> Explanation:
    """The definition in the function's own convention: with what is no mistake put in."""
    explanation = findings.explanation
    if explanation is None:
        return Explanation()
    no_mistakes = {*CONVENTIONS, *(code for code, _ in findings.convention.design)}
    return Explanation.of(*(pair for pair in explanation.pairs if pair[0] in no_mistakes))


def _difference(findings: Findings, accepted: list[Observation]) -> float:
    """Over the float64 inputs that are explained: how far float32 outputs may differ says nothing."""
    explanation = findings.explanation
    if explanation is None or "dropout-active" in findings.codes:
        explanation = Explanation()
    wide = [a for a in accepted if not a.narrow] or accepted
    differences = [worst(explanation, a) for a in wide]
    if findings.explanation is not None and "dropout-active" not in findings.codes:
        differences = [d for d in differences if math.isfinite(d) and d < 1e-2]
    return max(differences, default=0.0)


def _probe_results(calls: list[Observation], definition: Explanation) -> tuple[ProbeResult, ...]:
    results = []
    for name, description in PROBES.items():
        group = [a for a in calls if a.probe.name == name]
        if not group:
            continue
        accepted = [a for a in group if a.response.output is not None]
        agrees = all(fits("float64")(definition, a) for a in accepted) if accepted else None
        difference = max((worst(definition, a) for a in accepted), default=0.0)
        results.append(ProbeResult(name, description, len(accepted), agrees, difference))
    return tuple(results)


def _unknown_aims(conventions: tuple[str, ...]) -> Iterator[str]:
    yield from (CONVENTIONS[code].untested for code in conventions if CONVENTIONS[code].untested)


def _alignment(findings: Findings) -> Iterator[str]:
    """That the first query is taken for the first key's, where a causal function with fewer of them says nothing."""
    interface = findings.convention.interface
    causal = "causal" in interface.takes or interface.implicit.get("causal")
    stated = {"align", "offset"} & {
        *interface.takes,
        *interface.implicit,
    } or "causal-aligned-end" in findings.conventions
    calls = [a for a in findings.calls if a.probe.name == "aligned" and not is_left_with_nothing(a)]
    if causal and not stated and not interface.cached and any(a.response.output is not None for a in calls):
        yield "whether the first of fewer queries than keys is meant to see the first key alone"


def _untested(convention: CallingConvention, calls: list[Observation]) -> Iterator[str]:
    yield from convention.unused
    if role_of(mask := str(convention.names.get("lengths"))) == "padding":
        yield f"gaps in {mask}, whose keys it counts"
    if "buckets" in convention.names:
        yield f"which entry of {convention.names['buckets']} belongs to which distance"
    if convention.weights_only and {"v", "Wv"} & convention.names.keys():
        yield "the output (it returns the attention weights alone)"
    accepted = [a for a in calls if a.response.output is not None]
    names = [name for name in PROBES if name != "groups" and name not in {a.probe.name for a in accepted}]
    refused = {name: group for name in names if (group := [a for a in calls if a.probe.name == name])}
    apart = [name for name, group in refused.items() if all(map(_has_other_lengths, group))]
    described = {name: PROBES[name] for name in refused}
    if apart and not any(map(_has_other_lengths, accepted)):
        described = {name: text for name, text in described.items() if name not in apart[1:]}
        described[apart[0]] = "other numbers of keys than of queries"
    for name, description in described.items():
        yield f"{description} (it raises {shorten(refused[name][0].response.error, 110)})"


def _has_other_lengths(call: Observation) -> bool:
    *_, n, m = grid(call.probe.case)
    return n != m

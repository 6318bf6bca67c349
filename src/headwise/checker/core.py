"""From a function to a verdict: call it on every probe first, then explain what it returned."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from headwise.checker.arguments.documentation import Documentation, document
from headwise.checker.confirmation.added_positions import with_added_positions
from headwise.checker.confirmation.cached_step import with_cached_step
from headwise.checker.confirmation.default_blocks import in_small_blocks
from headwise.checker.confirmation.further_calls import with_further_calls
from headwise.checker.confirmation.further_inputs import confirmed
from headwise.checker.confirmation.gradients import with_gradients
from headwise.checker.confirmation.optional_cache import with_optional_cache
from headwise.checker.confirmation.passed_positions import with_passed_positions
from headwise.checker.confirmation.refused_options import refuse_untested_options
from headwise.checker.confirmation.returned_caches import with_returned_caches
from headwise.checker.confirmation.scaled_table import with_scaled_table
from headwise.checker.confirmation.second_masks import with_second_masks
from headwise.checker.confirmation.torch_dropout import without_torch_dropout
from headwise.checker.detection.calling_conventions import conventions_of_target, infer_calling_conventions
from headwise.checker.detection.refusal import CheckError, UncallableError, refuse_own_matrices
from headwise.checker.judgement import ANY, MEASURED, fresh, judge
from headwise.checker.measurement.influence import attended_keys, mixes_items
from headwise.checker.measurement.other_kinds import other_kind
from headwise.checker.measurement.recovery import is_softmax, recovered_runs
from headwise.checker.modules import Variant, find_targets, is_module, one_thread, parse_arguments
from headwise.checker.modules.function_sizes import has_sizes
from headwise.checker.other_arguments import of_calls_in_turn, with_default_arguments, with_other_arguments
from headwise.checker.probes import first_probe
from headwise.checker.reference.conventions import Requirements
from headwise.checker.report.assessment import to_verdict
from headwise.checker.report.verdict import Verdict
from headwise.checker.search.built_in_designs import refuse_other_kind
from headwise.checker.search.effort import limited_evaluations
from headwise.checker.search.findings import Findings
from headwise.checker.search.ingredients import with_missing_ingredients, with_wrong_slopes
from headwise.checker.search.stated_pairs import with_stated_pairs
from headwise.checker.target import Target
from headwise.checker.user_code.jax_calls import quick_compilation
from headwise.checker.user_code.numba_functions import with_checked_bounds
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.scripts import with_python_signature
from headwise.checker.user_code.source import source_of
from headwise.errors import DataError, HeadwiseError, describe_exception
from headwise.parallel import single_threaded_blas

_OF_FUNCTION, _OF_MODULE = 15_000, 40_000  # evaluations; a module is searched once for each of its readings

_OF_ANY_SIZES = "In this check the number of heads and the sizes in its code are those of the arguments."
_CAUSAL = re.compile(r"causal|autoregressive", re.IGNORECASE)  # names of options that ask for it
_ROTARY = re.compile(r"rot|rope|freq|angle", re.IGNORECASE)  # names of learned rotations


def check(
    function: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    weights: str = "any",
    mask: str = "any",
    convention: str | Iterable[str] = (),
    args: str | Iterable[str] = (),
    inside: str | None = None,
    init: str | Mapping[str, Any] | None = None,
    source: str | None = None,
    rng: np.random.Generator | None = None,
) -> Verdict:
    r"""Find out whether a function or module is attention, and if it is not, which mistake it has.

    A mistake is named only if the definition *with that mistake put in* reproduces what the function returns to
    rounding, also on inputs that were not used to choose it, and the definition without it does not.

    Parameters
    ----------
    function : callable or module
        Self-attention of (X, Wq, Wk, Wv), multi-head attention of the same with `heads` and perhaps `Wo`,
        cross-attention with a context, attention of (q, k, v), or a module or object that holds its own weights. Which
        argument is which is inferred from the names, else from the order; layouts, orientations and the sense of masks
        from the documentation, else by trying. It returns the output, or output and weights.
    kind : {"auto", "self_attention", "multi_head", "cross_attention", "attention"}
        What it is meant to be.
    adapter : callable or "torch", optional
        ``adapter(function, **arguments)`` makes the call, for a function that wants its arguments in another way; the
        names of its parameters are those of the reference. ``"torch"`` passes tensors to the function.
    weights : {"any", "out-in", "in-out"}
        The orientation that its matrices must have; with ``"any"`` both are right.
    mask : {"any", "attends", "hides"}
        What True in its mask must mean; with ``"any"`` both are right, unless the documentation states one.
    convention : str or iterable of str
        Conventions that it must follow, such as ``"tokens-before-heads"``; not following one is a mistake.
    args : str or iterable of str
        What its positional arguments are, in order: ``"X,Wv,Wq,Wk"``.
    inside : str, optional
        The name of a part of a module to check, such as ``"layers.0.attn"``.
    init : str or mapping, optional
        The arguments with which to make an instance of a class, such as ``"d_model=12, n_heads=3"``; inferred from
        their names by default.
    source : str, optional
        The function's source text, where it cannot be found from the function.
    rng : Generator, optional
        Where the inputs come from; the same ones every time by default.

    Returns
    -------
    Verdict
        With ``ok``, ``mistakes``, ``hazards``, ``conventions``, ``untested`` and ``report()``.

    Raises
    ------
    DataError
        If an option is not one of those there are, or `function` is not callable.
    UncallableError
        If the function cannot be called as any kind of attention.
    CheckError
        If the check itself fails on what the function returns.

    Examples
    --------
    >>> import numpy as np
    >>> def attention(X, Wq, Wk, Wv):
    ...     q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    ...     s = q @ k.T
    ...     p = np.exp(s - s.max(axis=1, keepdims=True))
    ...     return p / p.sum(axis=1, keepdims=True) @ v
    >>> check(attention).mistakes
    ('scale-missing',)
    """
    requirements = Requirements.of(weights, mask, convention, args)
    try:
        # what overflows is part of the verdict; for arrays as small as ours, threads only wait for each other
        with np.errstate(all="ignore"), single_threaded_blas(), one_thread(), quick_compilation():
            if adapter is None and is_module(function):
                return _check_module(function, kind, inside, init, requirements, rng)
            function = with_checked_bounds(with_python_signature(function))
            judge = partial(
                _check_with_any_sizes, kind=kind, adapter=adapter, requirements=requirements, source=source, rng=rng
            )
            return of_calls_in_turn(function, judge) if adapter is None else judge(function)
    except HeadwiseError:
        raise
    except Exception as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise CheckError(
            f"function: the check of {name} failed with {describe_exception(error)}. This is a defect of Headwise,"
            " not a verdict; an adapter= that passes and returns plain arrays may avoid it."
        ) from error


def _check_with_any_sizes(
    function: Callable[..., Any],
    kind: str,
    adapter: Callable[..., Any] | str | None,
    requirements: Requirements,
    source: str | None,
    rng: np.random.Generator | None,
) -> Verdict:
    """The verdict on a function as it is, or for any sizes in place of an example's if this is nearer to right."""
    verdicts: list[Verdict] = []
    refusals: list[DataError | UncallableError] = []
    for any_sizes in (False, True) if adapter is None and has_sizes(function) else (False,):
        try:
            with limited_evaluations(_OF_FUNCTION):
                verdict = _check_function(function, kind, adapter, requirements, source, rng, any_sizes)
                verdicts.append(replace(verdict, notes=(*verdict.notes, _OF_ANY_SIZES)) if any_sizes else verdict)
        except (DataError, UncallableError) as error:
            refusals.append(error)
        if verdicts and verdicts[0].ok:
            break
    if not verdicts:
        raise refusals[0]
    return min(verdicts, key=lambda verdict: verdict.rank)


def _check_function(
    function: Callable[..., Any],
    kind: str,
    adapter: Callable[..., Any] | str | None,
    requirements: Requirements,
    source: str | None,
    rng: np.random.Generator | None,
    any_sizes: bool,
) -> Verdict:
    text = source if source is not None else source_of(function)
    documentation = document(function, text)

    def find(function: Callable[..., Any], most: int = ANY) -> Findings:
        def explain(most: int) -> Findings:
            tiers = infer_calling_conventions(function, kind, adapter, text, requirements, any_sizes)
            return judge(tiers, documentation, requirements, rng, most)

        findings = with_returned_caches(without_torch_dropout(explain(most), lambda: explain(1)))
        refuse_other_kind(findings, documentation)
        refuse_own_matrices(documentation, findings.explanation is not None)
        findings = with_wrong_slopes(with_missing_ingredients(findings, documentation), documentation)
        findings = with_stated_pairs(findings, documentation)
        findings = with_second_masks(confirmed(with_passed_positions(findings), documentation, fresh(rng)))
        return with_gradients(findings, documentation)

    findings = in_small_blocks(function, documentation, find) if adapter is None else find(function)
    if adapter is None:
        findings = with_optional_cache(findings, documentation, find)
    name = documentation.name or type(function).__name__
    refuse_untested_options(name, findings)
    return to_verdict(name, findings, text, documentation.name, fresh(rng))


def _check_module(
    module: Any,
    kind: str,
    inside: str | None,
    init: str | Mapping[str, Any] | None,
    requirements: Requirements,
    rng: np.random.Generator | None,
) -> Verdict:
    """The verdict on a module; on a class, with all arguments that are worth trying."""
    arguments = parse_arguments(init)

    def judge(variant: Variant) -> Verdict:
        given = {**arguments, **variant.arguments}
        with limited_evaluations(_OF_MODULE):
            targets = find_targets(module, init=given, inside=inside, sizes=variant.sizes)
            verdict = _check_targets(targets, kind, requirements, rng)
        asked = any(map(_CAUSAL.search, variant.arguments)) or targets[0].causal
        if not asked or not verdict.ok or any("causal" in code for code in verdict.conventions):
            return verdict
        with limited_evaluations(_OF_MODULE):
            targets = find_targets(module, init=given, inside=inside, sizes=variant.sizes)
            return _check_targets(targets, kind, replace(requirements, causal="yes"), rng)

    verdict = judge(Variant(None, {}))
    if isinstance(module, type):
        verdict = with_default_arguments(verdict, module, arguments, judge)
    if not verdict.ok or inspect.isfunction(module):
        return verdict
    if isinstance(module, type):
        return with_other_arguments(verdict, module, arguments, judge)
    if verdict.kind == "attention":  # it has no weights, and takes any sizes
        return verdict
    return replace(verdict, untested=(*verdict.untested, "other numbers of heads and features"))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A target and what was found of it."""

    target: Target
    findings: Findings

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.findings.rank


def _check_targets(
    targets: Iterable[Target], kind: str, requirements: Requirements, rng: np.random.Generator | None
) -> Verdict:
    """The verdict on the alternative with the fewest mistakes."""
    best = _best(targets, kind, requirements, rng)
    best = _with_ignored_parts(_without_tables(best, kind, requirements, rng))
    target, findings = best.target, best.findings
    if findings.explanation is None:
        if target.rotates is not None and target.rotates():
            findings = replace(findings, unexplained=True)  # that places matter explains nothing
        _refuse_more_than_projections(best)
    return to_verdict(
        target.name,
        with_added_positions(with_second_masks(with_further_calls(with_cached_step(findings, target), target)), target),
        target.source,
        target.function,
        fresh(rng),
        target.components,
        target.conventions,
    )


def _best(targets: Iterable[Target], kind: str, requirements: Requirements, rng: np.random.Generator | None) -> _Judged:
    """Judge the alternatives in order, until one has no mistake."""
    best: _Judged | None = None
    refusal: UncallableError | None = None
    for target in targets:
        try:
            tiers = conventions_of_target(target, kind, requirements)
        except UncallableError as error:
            refusal = refusal or error
            continue
        documentation = _documentation_of(target)
        first = MEASURED if target.empty_tables is not None else ANY
        most = first if best is None else min(2, best.rank[0] - 1)

        def again(target: Target = target, documentation: Documentation = documentation) -> Findings:
            return judge(conventions_of_target(target, kind, requirements), documentation, requirements, rng, 1)

        findings = judge(tiers, documentation, requirements, rng, min(1, most))
        judged = _Judged(target, without_torch_dropout(findings, again))
        if best is None and judged.findings.explanation is None and (other := other_kind(judged.findings.convention)):
            raise DataError(f"{target.name}: {other}. Headwise checks softmax attention between tokens.")
        if judged.findings.explanation is None and most > 1:
            judged = _Judged(target, judge(tiers, documentation, requirements, rng, most, least=2))
        if best is None or judged.rank < best.rank:
            best = judged
        if best.rank[0] == 0:
            break
    if best is None:
        assert refusal is not None
        raise refusal
    return best


def _documentation_of(target: Target) -> Documentation:
    return replace(document(target.forward, target.source, target.function), name=target.name)


def _refuse_more_than_projections(judged: _Judged) -> None:
    """Raise DataError if a module that nothing explains has parameters of which it is not known what they are for."""
    target = judged.target
    gates = (target.gate,) if target.gate else ()
    if (more := (*target.neutral, *gates, *_needed_tables(judged))) and target.parameters:
        raise DataError(
            f"{target.name}: it learns more than the projections of attention: {', '.join(more)}. With these"
            " at zero nothing explains its output, and what they are for is not known. To check only its attention,"
            " pass a module that has no more."
        )


def _without_tables(judged: _Judged, kind: str, requirements: Requirements, rng: np.random.Generator | None) -> _Judged:
    """The same, or what explains a module whose tables of positions are empty.

    What the tables do is then not tested, but for this: with them the weights are still those of a softmax, and each
    item of a batch is computed by itself.
    """
    target, untested = judged.target, judged.target.neutral
    if judged.findings.explanation is None and target.empty_tables is not None:
        runs = recovered_runs(judged.findings.convention, first_probe(judged.findings.convention.interface).case)
        mixed = mixes_items(judged.findings.convention)
        target.empty_tables()
        documentation = _documentation_of(target)
        findings = judge(conventions_of_target(target, kind, requirements), documentation, requirements, rng)
        if findings.explanation is not None and (findings.rank[0] or all(map(is_softmax, runs))):
            findings = findings.with_observed("position-bias")
            if mixed:
                names = " and ".join(target.tables)
                findings = findings.with_problem(
                    f"With {names} as they are, an item of a batch changes the output of another."
                )
            if target.contradiction is not None and (note := target.contradiction()):
                findings = findings.with_problem(note)
            judged = _Judged(target, findings)
            untested = (*untested, *target.tables)
            _refuse_untested_rotations(target, findings)
    words = (f"{name} (zero in this check)" for name in untested)
    return replace(judged, findings=judged.findings.with_untested(*words))


def _refuse_untested_rotations(target: Target, findings: Findings) -> None:
    """Raise DataError if all that is right about a module is what it does without its learned rotations."""
    names = [name for name in target.tables if _ROTARY.search(name)]
    if names and not findings.rank[0]:
        raise DataError(
            f"{target.name}: with {', '.join(names)} at zero it is attention; how it rotates with other numbers is not"
            " known and was not tested."
        )


def _needed_tables(judged: _Judged) -> tuple[str, ...]:
    """The tables of a module without which, as they are now, no token influences another."""
    attended = attended_keys(judged.findings.convention) if judged.target.tables else None
    alone = attended is not None and np.array_equal(attended, np.eye(len(attended)))
    return judged.target.tables if alone else ()


def _with_ignored_parts(judged: _Judged) -> _Judged:
    """With the mistake of a module that rotates queries and keys or stores a softcap, where nothing shows of it."""
    target, findings = judged.target, judged.findings
    codes, explained = " ".join((*findings.codes, *findings.conventions)), findings.explanation is not None
    shows_positions = "rope" in codes or "position" in codes
    if explained and target.rotates is not None and not shows_positions and target.rotates():
        findings = findings.with_observed("rope-axis")
    if explained and target.capped and "softcap" not in codes:
        findings = findings.with_observed("softcap-ignored")
    findings, documentation = with_scaled_table(findings, target), _documentation_of(target)
    return replace(judged, findings=with_stated_pairs(with_wrong_slopes(findings, documentation), documentation))

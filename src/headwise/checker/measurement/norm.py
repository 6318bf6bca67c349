"""A norm of queries and keys, measured: their lengths have no influence, and the factor of the logits may be any."""

from __future__ import annotations

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.measurement.recovery import Design, factor_of, is_known_factor, recovered_runs
from headwise.checker.probes import first_probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.differences import difference
from headwise.checker.reference.stages import constant_scale
from headwise.checker.user_code.numpy_guard import np

_DIGITS = 1e-7
_CLOSE = 1e-4  # a norm may add a small number to what it divides by


def designs_with_norm(convention: CallingConvention) -> list[Design]:
    """Return the norms in use, each as part of a design, with the factor of the logits if it is none that is known.

    Nothing if the lengths of queries and keys have an influence.
    """
    if any(code == "qk-norm" for code, _ in convention.design) or not _without_lengths(convention):
        return []
    case = first_probe(convention.interface).case
    runs = recovered_runs(convention, case)
    norms: list[Design] = [(("qk-norm", change),) for change in CONVENTIONS["qk-norm"].changes]
    if "temperature" in convention.interface.takes:  # it takes the place of √d
        return [(*norm, ("temperature", CONVENTIONS["temperature"].changes[0])) for norm in norms]
    with_norms = [convention.with_design(*norm) for norm in norms]
    factors = [rounded(factor_of(one, runs)) for one in with_norms]
    fixed = convention.interface.sizes is not None  # at one width, a factor may be that of the width, twice
    if fixed or any(factor is not None and is_known_factor(factor, case) for factor in factors):
        return norms
    designs = [
        (*norm, ("scale-learned", {"scale": constant_scale(f)}))
        for norm, f in zip(norms, factors, strict=True)
        if f is not None
    ]
    return designs or norms


def _without_lengths(convention: CallingConvention) -> bool:
    """Whether queries, and keys, may be as long as they like, and not turned round."""
    case = first_probe(convention.interface).case
    before = convention.call(case).output
    for name in ("q", "k") if "q" in case else ("Wq", "Wk"):
        axis = 1 if "q" in case else 0
        groups = case.get("key_heads" if name == "Wk" else "heads", case.get("heads", 1))
        heads = case[name].shape[1] if "q" in case else groups
        lengths = np.repeat(np.arange(heads) + 2.0, case[name].shape[axis] // heads)  # each head's own
        lengths = lengths.reshape(-1, *[1] * (case[name].ndim - 1 - axis))
        longer, negated = (convention.call(case | {name: times * case[name]}).output for times in (lengths, -1))
        if before is None or longer is None or negated is None:
            return False
        if difference(longer, before) > _CLOSE or difference(negated, before) <= _CLOSE:
            return False
    return True


def rounded(factor: float | None) -> float | None:
    """A factor that was measured, as the round number, or the inverse of one, that it is to the digits that it has."""
    if factor:
        for exact in (round(factor, 6), 1 / (round(1 / factor, 6) or factor)):
            if abs(exact - factor) <= _DIGITS * abs(factor):
                return exact
    return factor

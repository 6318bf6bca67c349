"""Properties of a function, tested on the function itself: what holds, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.probes import first_probe
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, grid
from headwise.checker.report.verdict import Property
from headwise.checker.search.mistakes import Observation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_CLOSE = 1e-5  # float32 arithmetic has the properties too

_DESCRIPTIONS = {
    "rows-sum-to-one": ("each row of the weights sums to one", "rows of the weights do not sum to one"),
    "permutation-equivariant": (
        "tokens in another order give the same outputs in that order",
        "tokens in another order give other outputs",
    ),
    "linear-in-values": ("the output is linear in the values", "the output is not linear in the values"),
    "shift-invariant": (
        "a constant added to a row of logits changes nothing",
        "a constant added to a row of logits changes the output",
    ),
    "depends-on-mask": ("the mask has an influence", "the mask has no influence"),
    "deterministic": ("the same input gives the same output", "the same input gives other outputs"),
    "keeps-inputs": ("its arguments are left as they were", "it writes into its arguments"),
    "keeps-type": ("the output is of the type of the input", "the output is of a narrower type than the input"),
    "output-shape": ("the output has the shape it should have", "the output has another shape than it should have"),
    "finite": ("ordinary inputs give finite outputs", "ordinary inputs give NaN or infinities"),
}


def verify_properties(
    convention: CallingConvention, calls: list[Observation], rng: np.random.Generator, normalizes: bool = False
) -> tuple[Property, ...]:
    """Return each property, and whether it holds; those that cannot be tested are left out.

    They are measured on the function itself, called in its own convention. Of one that normalizes its tokens or its
    output it is not known what a matrix does.
    """
    case = first_probe(convention.interface, rng).case
    holds = dict(_of_calls(calls)) | dict(_of_plain(convention, case, rng, normalizes))
    return tuple(
        Property(name, holds[name], texts[0 if holds[name] else 1])
        for name, texts in _DESCRIPTIONS.items()
        if name in holds
    )


def _of_calls(calls: list[Observation]) -> Iterator[tuple[str, bool]]:
    plain = next(a for a in calls if a.probe.name == "plain")
    accepted = [a.response for a in calls if a.response.output is not None]
    yield "keeps-inputs", not any(response.changed for response in accepted)
    yield (
        "keeps-type",
        all(a.response.dtype not in ("float16", "bfloat16") for a in calls)
        and not any(a.response.dtype == "float32" and not a.narrow for a in calls),
    )
    case, output = plain.probe.case, plain.response.output
    if output is not None:
        yield "finite", bool(np.isfinite(output).all())
        yield "output-shape", output.shape == _shape(case)


def _of_plain(
    convention: CallingConvention, case: Case, rng: np.random.Generator, normalizes: bool
) -> Iterator[tuple[str, bool]]:
    """Properties that take calls of their own; one whose call is refused is left out."""
    unchanged: list[Array] = []

    def call(changes: Case) -> Array:
        if not changes and len(unchanged) == 2:  # which are compared with each other
            return unchanged[1]
        output = convention.call(case | changes).output
        if output is None:
            raise LookupError("refused")
        if not changes:
            unchanged.append(output)
        return output

    sizes = convention.interface.sizes
    fixed = normalizes or convention.interface.unprojected or (sizes is not None and sizes.sliced)
    of_weights = () if "sinks" in case else (_rows, _shift)  # of which sinks take a share
    of_matrices = () if fixed else (*of_weights, _linear)  # each changes one matrix
    for test in (_deterministic, _equivariant, *of_matrices, _mask):
        try:
            result = test(call, case, rng)
        except (LookupError, ValueError):
            continue
        positional = result == ("shift-invariant", False) and convention.equivariant is not True
        if result is None or positional or ("mask" not in convention.interface.takes and test is _mask):
            continue  # a vector that is added to every key may be rotated by their positions
        yield result


Call: TypeAlias = Callable[[Case], Array]
Result: TypeAlias = tuple[str, bool] | None


def _deterministic(call: Call, case: Case, rng: np.random.Generator) -> Result:
    return "deterministic", call({}).tobytes() == call({}).tobytes()


def _rows(call: Call, case: Case, rng: np.random.Generator) -> Result:
    """Values that are all one come out as one, beyond what comes out without values."""
    if "q" in case:
        got = call({"v": np.ones_like(case["v"])})
    else:
        identity = {"Wo": np.eye(*case["Wo"].shape)} if "Wo" in case else {}
        if identity and case["Wo"].shape[0] != case["Wo"].shape[1]:
            return None
        same, zero = _with_constant_feature(case) | identity, np.zeros_like(case["Wv"])
        ones = zero.copy()
        ones[:, 0] = 1
        got = call(same | {"Wv": ones}) - call(same | {"Wv": zero})
    return "rows-sum-to-one", _near(got, np.ones_like(got))


def _equivariant(call: Call, case: Case, rng: np.random.Generator) -> Result:
    names = [name for name in ("X", "context", "q", "k", "v") if name in case]
    if case[names[0]].shape[-2] == 1 or "cos" in case or case.get("causal") or case.get("window") or "mask" in case:
        return None
    order = np.roll(np.arange(case[names[0]].shape[-2]), 2)
    return "permutation-equivariant", _near(call({x: case[x][..., order, :] for x in names}), call({})[..., order, :])


def _linear(call: Call, case: Case, rng: np.random.Generator) -> Result:
    """Beyond what comes out without values."""
    name = "v" if "v" in case else "Wv"
    other = rng.normal(size=case[name].shape)
    without = call({name: np.zeros_like(case[name])})
    both = call({name: case[name] + 2 * other}) - without
    return "linear-in-values", _near(both, call({}) - without + 2 * (call({name: other}) - without))


def _shift(call: Call, case: Case, rng: np.random.Generator) -> Result:
    """The same vector added to every key adds a constant to each row of logits."""
    if "cos" in case:
        return None
    if "k" in case:
        return "shift-invariant", _near(call({"k": case["k"] + rng.normal(size=case["k"].shape[-1])}), call({}))
    same, moved = _with_constant_feature(case), case["Wk"].copy()
    moved[:, 0] += rng.normal(size=len(moved))
    return "shift-invariant", _near(call(same | {"Wk": moved}), call(same))


def _with_constant_feature(case: Case) -> Case:
    """The tokens with a first feature of one: a column of a matrix is then the same for all."""
    changed: Case = {name: case[name].copy() for name in ("X", "context") if name in case}
    for tokens in changed.values():
        tokens[..., 0] = 1
    return changed


def _mask(call: Call, case: Case, rng: np.random.Generator) -> Result:
    _, _, n, m = grid(case)
    hidden = np.ones(case["mask"].shape if "mask" in case else (1, 1, n, m), bool)
    hidden[..., 0] = False
    return "depends-on-mask", not _near(call({"mask": hidden}), call({"mask": np.ones_like(hidden)}))


def _near(a: Array, b: Array) -> bool:
    return difference(a, b) < _CLOSE


def _shape(case: Case) -> tuple[int, ...]:
    if "q" in case:
        return (*case["q"].shape[:3], case["v"].shape[-1])
    return (*case["X"].shape[:2], case["Wo" if "Wo" in case else "Wv"].shape[0])

"""Properties of a function, tested on the function itself: what holds, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from headwise.checker.invocation import CallingConvention
from headwise.checker.numpy_guard import np
from headwise.checker.probes import probes
from headwise.checker.search import Observation, difference
from headwise.checker.state import Case
from headwise.checker.verdict import Property
from headwise.shapes import Array

__all__ = ["verify_properties"]

_CLOSE = 1e-5  # float32 arithmetic has the properties too

_SAYS = {
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
    caller: CallingConvention, asked: list[Observation], rng: np.random.Generator
) -> tuple[Property, ...]:
    """Return each property, and whether it holds; those that cannot be tested are left out."""
    case = probes(caller.face, 0, rng)[0].case
    found = dict(_of_answers(asked))
    found |= dict(_of_plain(caller, case, rng))
    return tuple(
        Property(name, found[name], says[0 if found[name] else 1]) for name, says in _SAYS.items() if name in found
    )


def _of_answers(asked: list[Observation]) -> Iterator[tuple[str, bool]]:
    plain = next(a for a in asked if a.probe.name == "plain")
    answers = [a.reply for a in asked if a.reply.output is not None]
    yield "keeps-inputs", not any(reply.changed for reply in answers)
    yield (
        "keeps-type",
        all(a.reply.dtype not in ("float16", "bfloat16") for a in asked)
        and not any(a.reply.dtype == "float32" and not a.narrow for a in asked),
    )
    case, output = plain.probe.case, plain.reply.output
    if output is not None:
        yield "finite", bool(np.isfinite(output).all())
        yield "output-shape", output.shape == _shape(case)


def _of_plain(caller: CallingConvention, case: Case, rng: np.random.Generator) -> Iterator[tuple[str, bool]]:
    """Properties that take calls of their own; one whose call is refused is left out."""

    def ask(changes: Case) -> Array:
        output = caller.ask(case | changes).output
        if output is None:
            raise LookupError("refused")
        return output

    for test in (_deterministic, _rows, _equivariant, _linear, _shift, _mask):
        try:
            result = test(ask, case, rng)
        except (LookupError, ValueError):
            continue
        if result is not None and ("mask" in caller.face.takes or test is not _mask):
            yield result


Ask: TypeAlias = Callable[[Case], Array]
Result: TypeAlias = tuple[str, bool] | None


def _deterministic(ask: Ask, case: Case, rng: np.random.Generator) -> Result:
    return "deterministic", ask({}).tobytes() == ask({}).tobytes()


def _rows(ask: Ask, case: Case, rng: np.random.Generator) -> Result:
    """Values that are all one come out as one."""
    if "q" in case:
        got = ask({"v": np.ones_like(case["v"])})
    else:
        ones = np.linalg.pinv(case["X"][0]).sum(axis=1)  # X · ones = 1
        identity = {"Wo": np.eye(len(case["Wo"]))} if "Wo" in case else {}
        got = ask({"X": case["X"][:1].repeat(len(case["X"]), 0), "Wv": np.ones((len(case["Wv"]), 1)) * ones} | identity)
    return "rows-sum-to-one", _near(got, np.ones_like(got))


def _equivariant(ask: Ask, case: Case, rng: np.random.Generator) -> Result:
    names = ("X",) if "X" in case else ("q", "k", "v")
    if "cos" in case or case.get("causal"):
        return None
    order = np.roll(np.arange(case[names[0]].shape[-2]), 2)
    return "permutation-equivariant", _near(ask({x: case[x][..., order, :] for x in names}), ask({})[..., order, :])


def _linear(ask: Ask, case: Case, rng: np.random.Generator) -> Result:
    name = "v" if "v" in case else "Wv"
    other = rng.normal(size=case[name].shape)
    return "linear-in-values", _near(ask({name: case[name] + 2 * other}), ask({}) + 2 * ask({name: other}))


def _shift(ask: Ask, case: Case, rng: np.random.Generator) -> Result:
    """The same vector added to every key adds a constant to each row of logits."""
    if "cos" in case:
        return None
    if "k" in case:
        return "shift-invariant", _near(ask({"k": case["k"] + rng.normal(size=case["k"].shape[-1])}), ask({}))
    X = case["X"][:1].repeat(len(case["X"]), 0)
    ones = np.linalg.pinv(X[0]).sum(axis=1)
    moved = case["Wk"] + np.outer(rng.normal(size=len(case["Wk"])), ones)
    return "shift-invariant", _near(ask({"X": X, "Wk": moved}), ask({"X": X}))


def _mask(ask: Ask, case: Case, rng: np.random.Generator) -> Result:
    n, m = (case["X"].shape[1],) * 2 if "X" in case else (case["q"].shape[2], case["k"].shape[2])
    hidden = np.ones((1, 1, n, m), bool)
    hidden[..., 0] = False
    return "depends-on-mask", not _near(ask({"mask": hidden}), ask({"mask": np.ones_like(hidden)}))


def _near(a: Array, b: Array) -> bool:
    return difference(a, b) < _CLOSE


def _shape(case: Case) -> tuple[int, ...]:
    if "q" in case:
        return (*case["q"].shape[:3], case["v"].shape[-1])
    return (*case["X"].shape[:2], case["Wo" if "Wo" in case else "Wv"].shape[0])

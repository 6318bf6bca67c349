"""What a probe is, which kinds there are, and what a function can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from headwise.checker.state import Case

__all__ = ["PROBES", "Interface", "Probe", "ProbeShape"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One input: the kind of probe that it is, and the arguments."""

    name: str
    case: Case


@dataclass(frozen=True, slots=True)
class Interface:
    """What a function can be asked.

    Attributes
    ----------
    kind : {"self_attention", "multi_head", "attention"}
        Which arguments there are.
    takes : frozenset of str
        The arguments that it has, optional ones too.
    needs : frozenset of str
        Those without which it cannot be called.
    lead : int
        How many axes in front it is called with: 0 or 1 for tokens (batch), 0 to 2 for q, k and v (heads, then batch).
    batched : bool
        Whether it takes tokens with a batch axis as well as without.
    key_mask : bool
        Whether its mask is of keys alone, (B, M).
    dtype : {"float64", "float32"}
        The type of the arguments; float32 for a function that says that it works in that.
    causal : bool
        Whether it is causal without being asked, as its name says.
    """

    kind: str
    takes: frozenset[str]
    needs: frozenset[str]
    lead: int
    batched: bool = False
    key_mask: bool = False
    dtype: str = "float64"
    causal: bool = False


@dataclass(frozen=True, slots=True)
class ProbeShape:
    """The sizes of one round of probes."""

    batch: int
    heads: int
    tokens: int
    keys: int
    width: int  # of one head
    values: int
    model: int  # for matrices that are not square

    @classmethod
    def of_round(cls, number: int) -> ProbeShape:
        """Sizes that share no factor, other ones each round."""
        return (cls(2, 3, 5, 7, 2, 4, 11), cls(3, 2, 7, 5, 6, 3, 13))[number]


# what each kind of probe tries, in words; the order is the order in which mistakes are looked for
PROBES = {
    "plain": "ordinary tokens",
    "sharp": "tokens four times as large, so that the softmax is nearly a choice",
    "batch": "several items at once",
    "no-output": "no output matrix",
    "biased": "biases of the projections",
    "groups": "fewer key heads than query heads",
    "columns": "tokens as columns, asked for",
    "scale": "a scale that is asked for",
    "softcap": "a softcap",
    "bias": "a bias of the logits",
    "mask": "a mask of queries and keys",
    "mask-each": "another mask for each item and head",
    "mask-keys": "a mask of keys",
    "causal": "causal",
    "window": "a window",
    "lengths": "items of different lengths",
    "rotary": "rotary positions",
    "aligned": "causal, with fewer queries than keys and each alignment",
    "together": "everything at once",
    "empty-rows": "queries that may attend to nothing",
    "hidden-nan": "NaN behind the mask",
    "large-logits": "logits in the thousands",
    "float32": "float32 arguments",
    "wide": "sizes that differ where they may",
}

"""Which entries can make a difference to a function at all, by the arguments that it takes."""

from __future__ import annotations

from headwise.checker.probes import Interface
from headwise.checker.reference.state import Change

# the argument that an entry is about
_OF_ARGUMENTS = {
    "scale-divides": "scale",
    "temperature": "temperature",
    "rope-cached": "kpast",
    "rope-without-context": "context",
    "rope-offset": "kpast",
    "inputs-exchanged": "values",
}
# the arguments without any of which an entry changes nothing, where all that limits keys is known
_ONLY_WITH = {
    **dict.fromkeys(("causal-missing", "causal-reversed", "causal-strict", "causal-off-by-one"), ("causal",)),
    **dict.fromkeys(("window-off-by-one", "window-ignored"), ("window",)),
    **dict.fromkeys(("lengths-ignored", "lengths-off-by-one"), ("lengths",)),
    **dict.fromkeys(("bias-transposed", "bias-not-broadcast"), ("bias", "slopes")),
    "mask-inverted": ("mask",),
    "padding-inverted": ("padding", "lengths"),
    "mask-on-queries": ("mask", "lengths"),
    **dict.fromkeys(("mask-not-broadcast", "mask-of-another-item"), ("mask", "padding", "lengths")),
    "sinks-ignored": ("sinks",),
}
_PADDING = {"mask", "padding", "lengths"}  # options that may hide the same tokens from every query
_OWN_BIASES = ("alibi-sign", "bias-before-scale")


def impossible_codes(interface: Interface | None) -> set[str]:
    """The entries that a function with these arguments has no place for."""
    takes = frozenset[str]() if interface is None else interface.takes
    impossible = {code for code, argument in _OF_ARGUMENTS.items() if argument not in takes}
    if interface is None:
        return impossible | {"unscaled", "masks-apart", "own-key-visible"}
    impossible |= set() if _PADDING & takes else {"padding-hides-queries"}
    impossible |= set() if interface.unscaled else {"unscaled"}
    impossible |= set() if interface.masks_apart else {"masks-apart"}
    impossible |= set() if interface.graph else {"own-key-visible"}
    if interface.sizes is None:  # it is no module
        have = takes | interface.implicit.keys()
        impossible |= {code for code, arguments in _ONLY_WITH.items() if have.isdisjoint(arguments)}
        impossible |= set() if interface.fused or interface.packed else {"qkv-interleaved"}
    return impossible


def is_of_positions(code: str, change: Change) -> bool:
    """Whether a form of a mistake makes the places of tokens count, whatever the arguments are."""
    return code == "positions-added" or "+rotate" in change or (code in _OWN_BIASES and "+bias" in change)

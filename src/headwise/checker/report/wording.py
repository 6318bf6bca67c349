"""Advice in the words of the library that some code uses: the catalogue has those of NumPy."""

from __future__ import annotations

import re

_IN_TORCH = {
    r"np\.where\(mask, s, -np\.inf\)": "s.masked_fill(~mask, -math.inf)",
    r"np\.repeat\(k, H // G, axis=-3\), or repeat_interleave": "k.repeat_interleave(H // G, dim=-3)",
    r"np\.repeat, repeat_interleave": "repeat_interleave",
    r"\bs\.max\(": "s.amax(",
    r"\baxis=": "dim=",
    r"\bkeepdims=": "keepdim=",
    r"\btranspose\(1, 0, 2\)": "transpose(0, 1)",
    r"np\.sqrt": "math.sqrt",
    r"\.astype\(np\.float32\)": ".float()",
    r"np\.(\w+)": r"torch.\1",
}
_IN_LIBRARY = {"torch": _IN_TORCH, "jax": {r"\bnp\.": "jnp."}, "jaxlib": {r"\bnp\.": "jnp."}}


def in_library(text: str, library: str) -> str:
    """A text about code, with the functions of a library in place of those of NumPy.

    Examples
    --------
    >>> in_library("Divide by np.sqrt(d), and normalise with axis=-1.", "torch")
    'Divide by math.sqrt(d), and normalise with dim=-1.'
    """
    for pattern, words in _IN_LIBRARY.get(library, {}).items():
        text = re.sub(pattern, words, text)
    return text

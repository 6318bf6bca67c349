"""ALiBi: a bias of each head that grows linearly with the position of the key, instead of position embeddings.

Source: Press, Smith & Lewis, "Train Short, Test Long", arXiv 2108.12409 (2021).
"""

from __future__ import annotations

import math

import numpy as np

from headwise.shapes import Array


def alibi_slopes(heads: int) -> Array:
    """Slope of each head (H,): a geometric sequence; if H is no power of two, slopes of the next power follow.

    Examples
    --------
    >>> alibi_slopes(3)
    array([0.0625    , 0.00390625, 0.25      ])
    """
    power = 2 ** math.floor(math.log2(heads))
    first = 2.0 ** (-8 / power * np.arange(1, power + 1))
    extra = 2.0 ** (-8 / (2 * power) * np.arange(1, 2 * (heads - power) + 1, 2))
    return np.concatenate([first, extra])

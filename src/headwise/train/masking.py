"""Geometric masks: runs of hidden values in each variable of a series, drawn apart for every variable.

Source: Zerveas et al., arXiv 2010.02803 (2021), section 3.3: hidden and visible runs
alternate, and both have geometric lengths.
"""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError
from headwise.shapes import BoolArray

__all__ = ["geometric_masks"]


def geometric_masks(
    shape: tuple[int, int, int], *, rng: np.random.Generator, ratio: float = 0.15, mean_length: float = 3.0
) -> BoolArray:
    r"""Which values to hide, and to predict: a two-state Markov chain along the steps of every variable.

    .. math:: P(\text{a hidden run ends}) = \frac{1}{l_m} \qquad
              P(\text{a visible run ends}) = \frac{1}{l_m} \frac{r}{1-r}

    Parameters
    ----------
    shape : (int, int, int)
        Series, steps and variables (B, N, V).
    rng : Generator
    ratio : float
        r, the share of values that is hidden on average.
    mean_length : float
        l_m, how many steps a hidden run lasts on average.

    Returns
    -------
    ndarray of bool of shape (B, N, V)
        True is hidden.

    Raises
    ------
    DataError
        If no such chain exists.

    Examples
    --------
    >>> import numpy as np
    >>> hidden = geometric_masks((1, 40, 2), rng=np.random.default_rng(0))
    >>> for variable in hidden[0].T:
    ...     print("".join("#" if one else "." for one in variable))
    .########.######........................
    .####.#...................#..#..........
    """
    if not 0 < ratio < 1 or mean_length < 1 or ratio > mean_length * (1 - ratio):
        raise DataError(
            "ratio, run: expected a share between 0 and 1, and runs of 1 or more with ratio at most run · (1 − ratio); "
            f"got {ratio} and {mean_length}."
        )
    batch, steps, variables = shape
    ends, begins = 1 / mean_length, ratio / (mean_length * (1 - ratio))
    hidden = np.empty(shape, np.bool_)
    state = rng.random((batch, variables)) < ratio  # as the chain is in the long run, so every step is alike
    for n in range(steps):
        hidden[:, n] = state
        state = state ^ (rng.random((batch, variables)) < np.where(state, ends, begins))
    return hidden

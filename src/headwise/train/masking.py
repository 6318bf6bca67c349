"""Geometric masks: runs of masked values, independent for every variable of a series.

Source: Zerveas et al., arXiv 2010.02803 (2021), section 3.3: masked and visible runs alternate, and both have geometric
lengths.
"""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError
from headwise.shapes import BoolArray


def geometric_masks(
    shape: tuple[int, int, int], *, rng: np.random.Generator, ratio: float = 0.15, mean_length: float = 3.0
) -> BoolArray:
    r"""Which values to mask, and to predict: a two-state Markov chain along the steps of every variable.

    .. math:: P(\text{a masked run ends}) = \frac{1}{l_m} \qquad
              P(\text{a visible run ends}) = \frac{1}{l_m} \frac{r}{1-r}

    Parameters
    ----------
    shape : (int, int, int)
        Series, steps and variables (B, N, V).
    rng : Generator
    ratio : float
        r, the mean fraction of masked values.
    mean_length : float
        l_m, the mean number of steps in a masked run.

    Returns
    -------
    ndarray of bool of shape (B, N, V)
        True where a value is masked.

    Raises
    ------
    DataError
        If there is no such chain.

    Examples
    --------
    >>> import numpy as np
    >>> masked = geometric_masks((1, 40, 2), rng=np.random.default_rng(0))
    >>> for variable in masked[0].T:
    ...     print("".join("#" if value else "." for value in variable))
    .########.######........................
    .####.#...................#..#..........
    """
    if not 0 < ratio < 1 or mean_length < 1 or ratio > mean_length * (1 - ratio):
        raise DataError(
            "ratio, mean_length: expected a fraction between 0 and 1, and a length from 1 and ratio / (1 − ratio); "
            f"got {ratio} and {mean_length}."
        )
    batch, steps, variables = shape
    ends, begins = 1 / mean_length, ratio / (mean_length * (1 - ratio))
    masked = np.empty(shape, np.bool_)
    state = rng.random((batch, variables)) < ratio  # the stationary distribution, so that every step is alike
    for n in range(steps):
        masked[:, n] = state
        state = state ^ (rng.random((batch, variables)) < np.where(state, ends, begins))
    return masked

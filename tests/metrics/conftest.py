import numpy as np
import pytest


@pytest.fixture
def distributions(rng):
    """Random distributions over the last axis of a shape: attention weights, when the last two are alike."""
    return lambda *shape: rng.dirichlet(np.ones(shape[-1]), shape[:-1])


@pytest.fixture
def game(rng):
    """A random game of five tokens: what every set of them is worth, by the tokens in it; and the same as a callable.

    No symmetry, no additivity: whatever confuses two tokens, or two sets, gives another number.
    """
    worths = {frozenset(m for m in range(5) if i >> m & 1): float(v) for i, v in enumerate(rng.normal(size=32))}

    def worth(kept):
        return np.array([worths[frozenset(np.flatnonzero(row).tolist())] for row in kept])

    return worths, worth

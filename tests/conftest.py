import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks")]  # so that tests can import oracles, and the peer in torch


def pytest_collection_modifyitems(config, items):
    """Parity needs torch, which nothing else does; it runs when it is asked for by its marker."""
    if config.option.markexpr:
        return
    kept, set_aside = [], []
    for item in items:
        (set_aside if item.get_closest_marker("parity") else kept).append(item)
    items[:] = kept
    if set_aside:
        config.hook.pytest_deselected(items=set_aside)


@pytest.fixture
def rng():
    return np.random.default_rng(20261)

import numpy as np
import pytest


def pytest_collection_modifyitems(config, items):
    """Deselect the parity tests, which need torch, unless a marker is selected with -m."""
    if config.option.markexpr:
        return
    selected, deselected = [], []
    for item in items:
        (deselected if item.get_closest_marker("parity") else selected).append(item)
    items[:] = selected
    if deselected:
        config.hook.pytest_deselected(items=deselected)


@pytest.fixture
def rng():
    return np.random.default_rng(20261)

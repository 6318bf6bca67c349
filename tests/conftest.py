import numpy as np
import pytest

from helpers.compilation import compile_kernels


def pytest_collection_modifyitems(config, items):
    """Deselect the tests that `make test` leaves out, unless markers are selected with -m."""
    if config.option.markexpr:
        return
    selected, deselected = [], []
    for item in items:
        left_out = any(item.get_closest_marker(name) for name in ("parity", "exhaustive"))
        (deselected if left_out else selected).append(item)
    items[:] = selected
    if deselected:
        config.hook.pytest_deselected(items=deselected)


def pytest_sessionstart(session):
    """Before the workers of pytest-xdist start, compile what would otherwise be compiled by each of them."""
    if getattr(session.config.option, "numprocesses", None) and not hasattr(session.config, "workerinput"):
        compile_kernels()


@pytest.fixture
def rng():
    return np.random.default_rng(20261)

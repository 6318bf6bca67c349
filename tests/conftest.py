import os
import re
from collections import Counter
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from headwise.checker.search.effort import MORE_FOR_PAIRS, limited_evaluations
from helpers.browser import chromium
from helpers.compilation import compile_kernels

os.environ.setdefault("KERAS_BACKEND", "jax")  # the extra `parity` has no tensorflow, which is the default

settings.register_profile("load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("load")  # no test fails because the machine is busy


def pytest_collection_modifyitems(config, items):
    """Deselect the tests that `make test` leaves out, unless markers are selected with -m."""
    if config.option.markexpr:
        return
    selected, deselected, cases = [], [], Counter()
    for item in items:
        left_out = any(item.get_closest_marker(name) for name in ("parity", "exhaustive"))
        if not left_out and item.get_closest_marker("sampled"):
            function = item.nodeid.partition("[")[0]
            left_out = cases[function] % 5
            cases[function] += 1
        (deselected if left_out else selected).append(item)
    items[:] = selected
    if deselected:
        config.hook.pytest_deselected(items=deselected)


def pytest_ignore_collect(collection_path, config):
    """Import no module without a test that is selected: some take seconds to import torch, JAX and Keras."""
    selected = config.option.markexpr
    if collection_path.suffix != ".py" or selected not in ("", "not parity", "parity"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    if selected == "parity":
        return "mark.parity" not in text or None
    return bool(re.search(r"^pytestmark = \[?pytest\.mark\.parity", text, re.MULTILINE)) or None


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Collect no doctests of test modules: pytest would skip a module that cannot be imported instead of failing."""
    return [collector for collector in (yield) if type(collector) is pytest.Module]


def pytest_sessionstart(session):
    """Before the workers of pytest-xdist start, compile what each would compile, and give each one thread for BLAS."""
    if getattr(session.config.option, "numprocesses", None) and not hasattr(session.config, "workerinput"):
        compile_kernels()
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@pytest.fixture(autouse=True)
def short_search(request):
    """Searches for several mistakes at once end early: most of them find nothing anyway."""
    whole = any(map(request.node.get_closest_marker, ("whole_search", "exhaustive", "parity")))
    with nullcontext() if whole else limited_evaluations(1_000 - MORE_FOR_PAIRS):
        yield


@contextmanager
def _little_work():
    with pytest.MonkeyPatch.context() as patch:
        for module in ("headwise.explanation.faithfulness", "headwise.metrics.faithfulness"):
            patch.setattr(import_module(module), "EXACT_UP_TO", 4)
        run = import_module("headwise.experiments.tokenizers.run")
        patch.setattr(run, "step_times", partial(run.step_times, seconds=0.01))
        yield


@pytest.fixture(scope="session")
def little_work():
    """A context in which faithfulness is tested on a sample of the sets of tokens, and timings are short."""
    return _little_work


@pytest.fixture(scope="session")
def driver():
    """The driver of one browser; the tests that use it are in one group, which runs in one process."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def rng():
    return np.random.default_rng(20261)

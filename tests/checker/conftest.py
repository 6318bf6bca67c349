import contextlib

import pytest

from headwise.checker.search.effort import MORE_FOR_PAIRS, limited_evaluations


@pytest.fixture(autouse=True)
def short_search(request):
    """Without `make test-all`, a test's searches for several mistakes end early: most end with nothing found anyway."""
    whole = request.config.option.markexpr or request.node.get_closest_marker("whole_search")
    with contextlib.nullcontext() if whole else limited_evaluations(4_000 - MORE_FOR_PAIRS):
        yield

"""The sessions of the pages that need torch."""

import doctest
from pathlib import Path

import pytest

pytestmark = pytest.mark.parity


def test_the_session_of_the_page_on_capture():
    page = Path(__file__).parents[2] / "docs/capture.md"
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried
    assert failed == 0

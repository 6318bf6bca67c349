"""The thresholds and their page."""

from pathlib import Path

from headwise.thresholds import THRESHOLDS, thresholds_page
from helpers.recomputed import THRESHOLDS as EXPECTED

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_generated_from_the_table():
    assert (DOCS / "thresholds.md").read_text(encoding="utf-8") == thresholds_page() + "\n"


def test_the_oracle_uses_the_same_values():
    assert {name: THRESHOLDS[name].value for name in EXPECTED} == EXPECTED

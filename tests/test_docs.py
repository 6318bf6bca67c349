"""The examples on the pages in docs/ run, their links lead somewhere, and what is measured is on its page."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import headwise.measure

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = [page for page in sorted(DOCS.rglob("*.md")) if ">>>" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_the_examples_of_the_page(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
    assert tried > 10


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_measure_is_on_its_page():
    page = (DOCS / "measures.md").read_text(encoding="utf-8")
    for module in pkgutil.iter_modules(headwise.measure.__path__):
        public = vars(importlib.import_module(f"headwise.measure.{module.name}"))
        for name in filter(lambda name: inspect.isfunction(public[name]), public["__all__"]):
            assert name in page, f"{module.name}.{name} is not in docs/measures.md"

"""The examples on the pages in docs/ run, their links lead somewhere, and what is measured is on its page."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import headwise.metrics

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
SHOWN = [page for page in PAGES[1:] if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_the_examples_of_the_page(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
    assert tried


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_is_one_that_runs(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert code.startswith(">>>"), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def words_of_code(text):
    """Every word in a block of code, or in one within a line."""
    block = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
    return set(re.findall(r"\w+", " ".join([*block.findall(text), *re.findall(r"`([^`\n]+)`", block.sub("", text))])))


def test_prose_is_no_code():
    assert words_of_code("flow of `rollout`\n```\nx = 1\n```\nand `area`") == {"rollout", "x", "1", "area"}


def test_every_measure_is_on_its_page():
    documented = words_of_code((DOCS / "metrics.md").read_text(encoding="utf-8"))
    functions = {name for name in headwise.metrics.__all__ if inspect.isfunction(getattr(headwise.metrics, name))}
    assert functions <= documented

"""The examples on the pages in docs/ run, their links lead somewhere, and what is measured is on its page."""

import doctest
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import headwise
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


def test_the_examples_of_what_to_edit_are_true():
    text = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    examples = re.findall(r"^\*\*A.*?`(\w+)`:\n\n((?:- .*\n?)+)", text, re.MULTILINE)
    assert len(examples) == 3
    for name, edits in examples:
        paths = re.findall(r"^- `(.*?)`", edits, re.MULTILINE)
        assert len(paths) <= 4
        for path in paths:
            assert name in path or name in (DOCS.parent / path).read_text(encoding="utf-8"), (
                f"{path} is not about {name}"
            )
            assert (DOCS.parent / path).exists(), path


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_named_on_the_page_exist(page):
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    for name in re.findall(r"`((?:src/|tests/|docs/|benchmarks/|[a-z_]+/)[\w./]+)`", text):
        assert any((root / name).exists() for root in (DOCS.parent, DOCS.parent / "src/headwise")), name


def test_every_package_is_in_the_architecture():
    text = (DOCS.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for module in pkgutil.iter_modules(headwise.__path__):
        assert module.name.startswith("_") or module.name == "testing" or f"`{module.name}`" in text, module.name

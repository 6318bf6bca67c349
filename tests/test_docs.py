"""The examples on the pages in docs/ run, their links lead somewhere, and what is measured is on its page."""

import ast
import doctest
import inspect
import json
import linecache
import pkgutil
import re
from pathlib import Path

import pytest
import yaml

import headwise
import headwise.metrics

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
GENERATED = {"gallery.md", "reference/commands.md", "reference/model-families.md"}  # by docs/generate, for the site
SLOW = {"estimators", "series", "captions", "metrics"}  # pages whose examples train models or test many sets of tokens
SHOWN = [page for page in PAGES[1:] if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.exhaustive] * (page.stem in SLOW)) for page in SHOWN],
    ids=[page.stem for page in SHOWN],
)
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
        path = page.parent / target
        assert path.exists() or path.resolve() in {DOCS / name for name in GENERATED}, target


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_prints_what_is_saved(path, capsys, monkeypatch):
    """Numbers may differ in their last digits on another processor: the words are compared."""
    monkeypatch.chdir(path.parent)
    namespace = {}
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        value = run_cell("".join(cell["source"]), f"{path.stem} {number}", namespace)
        assert value is not False, "".join(cell["source"])
        printed = capsys.readouterr().out
        saved = "".join("".join(output.get("text", "")) for output in cell["outputs"] if output.get("name") == "stdout")
        assert re.findall(r"[^\W\d]+", printed) == re.findall(r"[^\W\d]+", saved)
        assert cell["outputs"] or value is None


def run_cell(source, name, namespace):
    """Run a cell, whose source can be inspected as in a notebook; returns the value that it displays."""
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) and not source.endswith(";") else None
    exec(compile(tree, name, "exec"), namespace)
    return last and eval(compile(ast.Expression(last.value), name, "eval"), namespace)


def test_every_page_is_in_the_navigation():
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda *args: None)
    navigation = json.dumps(yaml.load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"), loader)["nav"])
    listed = set(re.findall(r'"([\w/.-]+\.md)"', navigation))
    pages = {str(path.relative_to(DOCS)) for path in PAGES[1:]} | GENERATED
    pages |= {str(path.relative_to(DOCS).with_suffix(".md")) for path in NOTEBOOKS}
    assert {page for page in listed if not page.startswith("project/")} == pages


def test_every_picture_is_in_the_gallery():
    gallery = (DOCS / "generate" / "gallery.py").read_text(encoding="utf-8")
    for picture in (DOCS / "picture").glob("*.png"):
        assert picture.name in gallery or picture.name.startswith("attention")  # drawn at build


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


def documented_names(docstring):
    """The names under "Parameters" and "Attributes"."""
    for section in re.findall(r"^(?:Parameters|Attributes)\n-+\n((?:(?!\n\n[A-Z]).)*)", docstring, re.DOTALL | re.M):
        for line in re.findall(r"^\S.*", section, re.M):
            yield from (name.strip(" *") for name in line.split(" : ")[0].split(","))


def test_docstrings_name_parameters_and_fields_that_exist():
    for path in Path(headwise.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            documented = isinstance(node, ast.FunctionDef | ast.ClassDef) and set(
                documented_names(ast.get_docstring(node) or "")
            )
            if documented:
                parts = list(ast.walk(node))
                names = {part.arg for part in parts if isinstance(part, ast.arg)}
                names |= {part.attr for part in parts if isinstance(part, ast.Attribute)}
                names |= {
                    part.target.id for part in parts if isinstance(part, ast.AnnAssign) and hasattr(part.target, "id")
                }
                names |= {part.name for part in parts if isinstance(part, ast.FunctionDef)}
                assert documented <= names, f"{path.name}: {node.name}"

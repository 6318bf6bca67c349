"""The worked solution: an executed notebook in the course's notation, LaTeX, hints, and a class's answers."""

import ast
import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import headwise as hw
from headwise.coursework.notebook import ArrayOptions, read_course
from headwise.coursework.report import BUDGETS, build, write_hints
from headwise.document import pdf as printing
from helpers.notebooks import NOTEBOOKS, write_notebook

# tests/cli/test_report.py builds a solution, too
pytestmark = [pytest.mark.xdist_group("solution"), pytest.mark.exhaustive]
TINY = replace(BUDGETS["quick"], name="tiny", targets=1, starts=1, steps=20, samples=60)


@pytest.fixture(scope="module", autouse=True)
def no_browser():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(printing, "browser", lambda: None)
        yield


@pytest.fixture(scope="module")
def build_from(tmp_path_factory):
    """A notebook of the course by name, and its report, built once."""

    @cache
    def build_from(name):
        course = read_course(NOTEBOOKS / f"{name}.ipynb", ArrayOptions())
        return course, build(tmp_path_factory.mktemp(name), parts=("attention",), budget=TINY, course=course)

    return build_from


@pytest.fixture(params=["prince_12_2", "unseeded", "rows_in_out"])
def built(request, build_from):
    """Notebooks that differ in notation, orientation, N, D and H."""
    return build_from(request.param)


def code_cells(report):
    cells = json.loads((report.page.parent / "solution.ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"], cells


def test_the_notebook_runs_by_itself_and_agrees_with_the_library(built):
    course, report = built
    found, (sources, _) = course.inputs, code_cells(report)
    variables = {}
    with np.printoptions():  # which the notebook sets
        for source in sources:
            exec(source, variables)
    for heads, (output, weights) in variables["results"].items():
        expected = hw.multi_head_attention(**found.arrays, heads=heads)
        np.testing.assert_allclose(output.T if found.columns else output, expected.output, atol=1e-12)
        np.testing.assert_allclose(weights, expected.weights, atol=1e-12)
    assert set(variables["results"]) == {1, found.heads}


def test_it_uses_the_names_and_keeps_what_the_code_printed(built):
    course, report = built
    sources, cells = code_cells(report)
    names = {node.id for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    for expressions in course.inputs.sources.values():
        assert {name for name in expressions if name.isidentifier()} <= names
    printed = ["".join(out["text"]) for cell in cells for out in cell.get("outputs", ())]
    assert any("output:" in text for text in printed)
    assert all(re.fullmatch(r"[\w-]+", cell["id"]) for cell in cells)


def test_the_page_has_a_table_of_what_was_found(built):
    course, report = built
    page = report.page.read_text()
    assert f"What was found in {course.path.name}" in page
    for finding in course.inputs.findings:
        assert finding.name.replace("'", "&#39;") in page
    assert (report.page.parent / "tables" / "notebook-arrays.csv").is_file()


def test_a_wrong_function_is_named_in_the_report(build_from):
    _, report = build_from("rows_in_out")
    page = report.page.read_text()
    assert "wrong: scale-model-width" in page
    assert "What the checker says about multi_head" in page
    tex = (report.page.parent / "solution.tex").read_text()
    assert tex.count(r"\begin{enumerate}") == tex.count(r"\end{enumerate}") > 2
    assert r"W\_q" in tex


def test_large_arrays_are_read_from_the_report_folder(tmp_path):
    code = "import numpy as np\nrng = np.random.default_rng(0)\nX = rng.normal(size=(24, 5))\n"
    code += "Wq, Wk, Wv = (rng.normal(size=(24, 24)) for _ in range(3))\nQ = Wq @ X\nheads = 4\n"
    course = read_course(write_notebook(tmp_path / "a.ipynb", code))
    assert course.inputs.columns
    report = build(tmp_path / "report", parts=("attention",), budget=TINY, course=course)
    sources, _ = code_cells(report)
    assert 'np.load("arrays/coursework.npz")' in sources[0]


def test_hints_have_no_answers(tmp_path):
    paths = write_hints(tmp_path, ("attention", "gaussian"), read_course(NOTEBOOKS / "fails_half_way.ipynb"))
    text = paths[0].read_text()
    assert "Question:" in text
    assert "Rows instead of patches" not in text
    assert "did not" not in text
    assert "Cell 2 failed" in text
    assert [path.name for path in paths] == ["hints.ipynb", "hints.html", "hints.tex"]


def test_the_answers_of_a_class_next_to_the_right_ones(tmp_path):
    (tmp_path / "class").mkdir()
    wrong = "import numpy as np\ndef self_attention(X, Wq, Wk, Wv):\n    S = X @ Wq.T @ (X @ Wk.T).T\n"
    wrong += "    P = np.exp(S - S.max(1, keepdims=True))\n    return P / P.sum(1, keepdims=True) @ X @ Wv.T\n"
    (tmp_path / "class" / "ada.py").write_text(wrong)
    budget = replace(TINY, pretraining=replace(TINY.pretraining, epochs=1))
    how = {"parts": ("gaussian",), "budget": budget, "solutions": tmp_path / "class"}
    report = build(tmp_path / "report", **how)
    page = report.page.read_text()
    assert "The class&#39;s answers" in page
    assert "not divided by √d" in page
    assert "agrees with attention that does not divide by √d" in page
    again = build(tmp_path / "report", **how)
    assert again.page.read_text() == page


def test_the_short_form_repeats_no_paragraph(built):
    course, report = built
    page = (report.page.parent / "solution.html").read_text()
    paragraphs = re.findall(r"<p>(.*?)</p>", page, re.DOTALL)
    assert len(paragraphs) == len(set(paragraphs)) > 5
    assert page.count('<figure id="figure-') == len({1, course.inputs.heads})  # the weights for each number of heads
    assert "<details>" not in page

"""``headwise check`` and ``headwise diff``, run as a user would."""

import json
import re
import sys
from textwrap import indent
from types import ModuleType

import pytest
from rich.console import Console
from typer.testing import CliRunner

import headwise as hw
from headwise.checker.diff import diff
from headwise.checker.user_code import statements
from headwise.cli import application, console
from headwise.errors import DataError
from helpers.notebooks import write_notebook
from layers import plain_layers
from planted import handwritten

SOURCE = """
import numpy as np

def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def ours(X, Wq, Wk, Wv):
    return softmax(X @ Wq.T @ (X @ Wk.T).T / np.sqrt(len(Wq))) @ X @ Wv.T

def theirs(X, Wq, Wk, Wv):
    s = X @ Wq.T @ (X @ Wk.T).T
    return softmax(s / len(Wq)) @ X @ Wv.T
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "answers.py"
    path.write_text(SOURCE)
    return path


def run(*arguments):
    return CliRunner().invoke(application(("check", "diff")), [str(a) for a in arguments])


def test_status_and_text(file):
    good, bad = run("check", f"{file}:ours"), run("check", f"{file}:theirs")
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "ours is right" in good.output
    assert "scale-no-root" in bad.output
    assert "line 13" in bad.output


def test_lines_are_as_long_as_those_of_a_narrow_terminal(file, monkeypatch):
    long = run("check", f"{file}:theirs").output
    monkeypatch.setattr(console, "output", Console(force_terminal=True, width=50))
    short = run("check", f"{file}:theirs").output
    assert max(map(len, long.splitlines())) <= 96
    assert max(map(len, short.splitlines())) <= 50
    assert short.split() == long.split()


def test_json_and_markdown(file):
    assert json.loads(run("check", f"{file}:theirs", "--json").output)["mistakes"] == ["scale-no-root"]
    assert run("check", f"{file}:theirs", "--markdown", "--kind", "self_attention").output.startswith("## ")


def test_nothing_is_written_next_to_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "scores.py").write_text("def score(q, k):\n    return q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5\n")
    (tmp_path / "uses_scores.py").write_text(
        "import numpy as np\nfrom scores import score\n\n"
        "def attention(q, k, v):\n    p = np.exp(score(q, k))\n    return p / p.sum(-1, keepdims=True) @ v\n"
    )
    before = sorted(tmp_path.rglob("*"))
    assert run("check", f"{tmp_path}/uses_scores.py").exit_code == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert not sys.dont_write_bytecode


def test_the_only_function_needs_no_name(tmp_path):
    path = tmp_path / "one.py"
    for encoding in ("utf-8", "utf-16"):  # as an editor on Windows writes it
        path.write_text(SOURCE[: SOURCE.index("def theirs")], encoding=encoding)
        assert run("check", path).exit_code == 0


SILENT = "class Silent(Exception):\n    def __str__(self): raise ValueError\n"


UNSCALED = """
def attention(q, k, v):
    s = q @ k.swapaxes(-1, -2)
    s = np.exp(s - s.max(-1, keepdims=True))
    return s / s.sum(-1, keepdims=True) @ v
"""


def test_statements_that_fail_cost_only_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(statements, "_SECONDS", 0.2)
    text = f"from __future__ import annotations\nimport numpy as np\nimport not_there\n{UNSCALED}"
    (tmp_path / "mine.py").write_text(f"{text}name = input()\nassert attention(1, 2, 3) == 4\nwhile True: pass\n")
    result = run("check", tmp_path / "mine.py")
    assert result.exit_code == 1
    assert "mine.py: line 3 failed: ModuleNotFoundError: No module named 'not_there'; so did 3 more" in result.stderr
    assert "scale-missing" in result.stdout
    loaded = statements.run_statements(ModuleType("m"), "input()\nwhile True: pass\nx = 1", "m.py")
    parsed = ModuleType("m")
    assert not statements.run_statements(parsed, "import argparse\nargs = argparse.ArgumentParser().parse_args()", "m")
    assert not vars(parsed.args)
    assert [(failure.line, failure.error.partition(":")[0]) for failure in loaded] == [
        (1, "EOFError"),
        (2, "it was stopped after 0 s"),
    ]


@pytest.mark.parametrize("name", ["Solution.attention", "Layer.forward"])
def test_a_method_of_a_class_needs_no_instance(tmp_path, name):
    solution = "class Solution:" + indent(UNSCALED.replace("(q", "(self, q"), "    ")
    layer = "class Layer:\n    def __init__(self): self.Wq = self.Wk = self.Wv = np.ones((4, 4))\n"
    layer += "    def forward(self, x): return attention(x @ self.Wq, x @ self.Wk, x @ self.Wv)\n"
    (tmp_path / "mine.py").write_text(f"import numpy as np\n{UNSCALED}\n{solution}\n{layer}")
    assert "scale-missing" in run("check", f"{tmp_path / 'mine.py'}:{name}").output


@pytest.mark.parametrize("init", [(), ("", "blocks")])
def test_relative_imports_refer_to_the_package_of_the_file(tmp_path, init):
    package = f"net{len(init)}"  # another one for each case: modules stay imported
    folder = tmp_path / package / "blocks"
    folder.mkdir(parents=True)
    for name in init:
        (tmp_path / package / name / "__init__.py").write_text("")
    (tmp_path / package / "inner").mkdir()
    (tmp_path / package / "inner" / "scores.py").write_text("def scores(q, k): return q @ k.swapaxes(-1, -2)\n")
    (folder / "softmax.py").write_text("from numpy import exp\n")
    code = UNSCALED.replace("q @ k.swapaxes(-1, -2)", "scores(q, k)").replace("np.exp", "exp")
    (folder / "mine.py").write_text(f"from ..inner.scores import scores\nfrom .softmax import exp\n{code}")
    result = run("check", folder / "mine.py")
    assert "scale-missing" in result.stdout
    assert "failed" not in result.stderr
    assert hw.checker.loading.import_object(folder / "mine.py", "attention")


def test_modules_of_the_current_folder_are_found(tmp_path, monkeypatch):
    (tmp_path / "project_a").mkdir()
    (tmp_path / "project_a" / "helpers_a.py").write_text("from numpy import exp\n")
    code = f"import numpy as np\nfrom project_a.helpers_a import exp\n{UNSCALED.replace('np.exp', 'exp')}"
    (tmp_path / "project_a" / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    result = run("check", "project_a/mine.py")
    assert "scale-missing" in result.stdout
    assert result.stderr == ""


def test_a_wrapped_function_needs_no_name(tmp_path):
    wrapper = "class Jitted:\n    def __init__(self, f): functools.update_wrapper(self, f)\n"
    wrapper += "    def __call__(self, *args): return self.__wrapped__(*args)\n"
    (tmp_path / "mine.py").write_text(f"import functools\nimport numpy as np\n{wrapper}@Jitted{UNSCALED}")
    assert "scale-missing" in run("check", tmp_path / "mine.py").output


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("unwritten.py", "def attention(q, k, v):\n    ...\n", "returned None: its return is missing, or it is not"),
        ("missing.py", None, "no such file"),
        ("broken.py", "def f(:\n", "fails when it is imported: SyntaxError"),
        ("exits.py", "raise SystemExit(0)\n", "fails when it is imported: SystemExit"),
        ("silent.py", f"{SILENT}raise Silent\n", "fails when it is imported: Silent, which cannot be printed"),
        ("silent_call.py", f"{SILENT}def f(q, k, v): raise Silent\n", "f cannot be called as attention"),
        ("stops.py", "raise GeneratorExit\n", "fails when it is imported: GeneratorExit"),
        ("asynchronous.py", "async def f(q, k, v): return v\n", "f is asynchronous"),
        ("empty.py", "x = 1\n", "attention; it defines none; put the code into one."),
        ("several.py", SOURCE, "found these: ours, theirs. Name it"),
        ("weights.npz", "PK", "expected Python code (.py) or a notebook (.ipynb)"),
        ("notes.txt:f", "f", "no such file"),
        ("cells.ipynb", "{}", "expected a notebook; got something else"),
        ("several.py:nobody", SOURCE, "expected a function or module nobody; it defines softmax, ours, theirs"),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name.partition(":")[0]).write_text(text)
    result = run("check", tmp_path / name)
    assert isinstance(result.exception, DataError)  # the command line turns it into status 2
    assert message in str(result.exception)


def test_diff_names_what_takes_one_to_the_other(file):
    result = run("diff", f"{file}:ours", f"{file}:theirs")
    assert result.exit_code == 1
    assert "theirs: scale-no-root" in result.output
    same = run("diff", f"{file}:theirs", f"{file}:theirs")
    assert same.exit_code == 0
    assert "Both: scale-no-root" in same.output


def test_diff_takes_the_options_of_check(file):
    answers = json.loads(run("diff", f"{file}:ours", f"{file}:theirs", "--json").output)
    assert (answers["same"], answers["added"]) == (False, ["scale-no-root"])
    assert answers["second"]["mistakes"] == ["scale-no-root"]
    assert "- theirs: scale-no-root" in run("diff", f"{file}:ours", f"{file}:theirs", "--markdown").output
    assert run("diff", f"{file}:ours", f"{file}:ours", "--strict").exit_code == 0
    options = {c: set(re.findall(r"--[a-z]+", run(c, "--help").output)) for c in ("check", "diff")}
    assert options["check"] <= options["diff"]


@pytest.mark.exhaustive
def test_diff_of_objects_that_hold_their_weights():
    first, second = plain_layers.MultiHead(12, 3), plain_layers.MergedUnmoved(12, 3)
    result = diff(first, second)
    assert result.added == ("heads-merged-unmoved",)
    assert not result.same
    assert diff(first, plain_layers.MultiHead(12, 3)).same
    with pytest.raises(DataError, match="second: expected a module of the first's sizes"):
        diff(first, plain_layers.MultiHead(15, 5))


@pytest.mark.whole_search
def test_diff_of_functions():
    result = diff(handwritten.student_a, handwritten.two_sides)
    assert result.added == ("scale-inverted", "softmax-axis")
    assert result.removed == ("weights-transposed",)
    assert not result.same
    assert result.explained
    assert diff(handwritten.student_a, handwritten.two_sides, weights="out-in").removed == ("weights-transposed",)
    with pytest.raises(DataError, match="second: expected self_attention, which the first is; got attention"):
        diff(hw.self_attention, hw.attention)


SCORES = """
import numpy as np

def weigh(s, v):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v

def scores(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])

def added(q, k, v, mask):
    \"\"\"mask: 0 or -inf, added to the logits\"\"\"
    return weigh(scores(q, k) + mask, v)

def hides(q, k, v, mask):
    \"\"\"mask: True hides\"\"\"
    return weigh(np.where(mask, -np.inf, scores(q, k)), v)

def fills(q, k, v, mask):
    \"\"\"mask: True hides\"\"\"
    return weigh(np.where(mask, -1e9, scores(q, k)), v)

def banded(s, v, least):
    i, j = np.indices(s.shape[-2:])
    return weigh(np.where((i - j >= 0) & (i - j < least), s, -np.inf), v)

def counts(q, k, v, window):
    return banded(scores(q, k), v, window)

def reaches(q, k, v, window):
    return banded(scores(q, k), v, window + 1)
"""


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.py"
    path.write_text(SCORES)
    return path


@pytest.mark.exhaustive
def test_diff_of_two_conventions_and_of_edge_cases(scores):
    same, edges = run("diff", f"{scores}:added", f"{scores}:hides"), run("diff", f"{scores}:fills", f"{scores}:hides")
    assert (same.exit_code, edges.exit_code) == (0, 0)
    assert "They differ in edge cases: queries that may attend to nothing" in edges.output
    assert run("diff", f"{scores}:fills", f"{scores}:hides", "--strict").exit_code == 1


def test_diff_says_for_which_inputs_and_by_which_convention(scores):
    result = run("diff", f"{scores}:counts", f"{scores}:reaches")
    assert result.exit_code == 1
    assert "a window; with the others tried they are the same." in result.output
    assert "counts: a window given as one number of keys, counting the token itself" in result.output
    assert "reaches: a window given as one number of keys, not counting the token itself" in result.output


@pytest.mark.parity
def test_a_framework_that_computes_in_float32_gives_the_same_outputs(tmp_path):
    pytest.importorskip("jax")
    path = tmp_path / "in_jax.py"
    path.write_text(
        "import jax\n"
        "def plain(q, k, v):\n    return jax.nn.softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5) @ v\n"
        "def warm(q, k, v):\n    return jax.nn.softmax(0.99 * q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5) @ v\n"
    )
    own = tmp_path / "own.py"
    own.write_text(SCORES + "\ndef plain(q, k, v):\n    return weigh(scores(q, k), v)\n")
    assert run("diff", f"{path}:plain", f"{own}:plain").exit_code == 0
    assert run("diff", f"{path}:warm", f"{own}:plain").exit_code == 1


NOTEBOOK = (
    "import numpy as np\nd_model, num_heads = 12, 3\nrng = np.random.default_rng(0)",
    "Wq, Wk, Wv = (rng.normal(size=(d_model, d_model)) for _ in range(3))",
    "def softmax(s):\n    e = np.exp(s - s.max(axis=-1, keepdims=True))\n    return e / e.sum(axis=-1, keepdims=True)",
    "broken = undefined",
    "def heads(X):\n    q, k, v = ((X @ W).reshape(-1, num_heads, 4).swapaxes(0, 1) for W in (Wq, Wk, Wv))\n"
    "    s = q @ k.swapaxes(1, 2)\n    return (softmax(s) @ v).swapaxes(0, 1).reshape(-1, d_model)",
    "def theirs(X, Wq, Wk, Wv):\n    return softmax(X @ Wq.T @ (X @ Wk.T).T / len(Wq)) @ X @ Wv.T",
    "def products(q, k, v):\n    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v",
)


@pytest.fixture
def notebook(tmp_path):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in NOTEBOOK]
    path = tmp_path / "course.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_function_of_a_notebook_uses_its_matrices(notebook):
    result = run("check", f"{notebook}:heads")
    assert "scale-missing" in result.output
    assert "cell 5, line 3:  s = q @ k.swapaxes(1, 2)" in result.output


def test_cells_that_are_no_python_are_told(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "import numpy as np", UNSCALED, "def attention(q, k, v)\n    pass")
    result = run("check", path)
    assert result.exit_code == 1
    assert "cell 3 is not Python (line 1: expected ':') and was left out." in " ".join(result.stderr.split())


def test_diff_with_the_functions_of_a_notebook(file, notebook):
    result = run("diff", f"{file}:ours", "--notebook", notebook)
    assert result.exit_code == 1
    assert "theirs: scale-no-root" in result.output
    assert "products" not in result.output  # it is of another kind
    assert "expected a second file, or --notebook" in str(run("diff", f"{file}:ours").exception)

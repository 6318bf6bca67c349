"""Functions and classes of course notebooks: each is checked, compared on the notebook's arrays, or named."""

import re

import numpy as np
import pytest

from headwise.coursework.notebook import ArrayOptions, read_course, read_functions
from headwise.errors import DataError
from helpers.notebooks import write_notebook

SOFTMAX = "def softmax(z):\n    e = np.exp(z - z.max(-1, keepdims=True))\n    return e / e.sum(-1, keepdims=True)\n"
START = f"import numpy as np\nrng = np.random.default_rng(3)\nX = rng.normal(size=(5, 7))\n{SOFTMAX}"
MATRICES = "Wq, Wk = rng.normal(size=(2, 7, 3))\nWv = rng.normal(size=(7, 2))\n"


def read(tmp_path, *cells):
    course = read_course(write_notebook(tmp_path / "course.ipynb", *cells))
    return course, {item.checked.name: item for item in course.functions}


def test_a_class_is_checked_and_its_instance_compared(tmp_path):
    code = """
class Head:
    def __init__(self, d_model, d_k, seed=0):
        draw = np.random.default_rng(seed)
        self.W_Q, self.W_K, self.W_V = (draw.normal(size=(d_model, d_k)) for _ in range(3))
    def __call__(self, x):
        q, k, v = x @ self.W_Q, x @ self.W_K, x @ self.W_V
        return softmax(q @ k.T / SCALE) @ v
"""
    wrong = code.replace("Head", "Wrong").replace("SCALE", "q.shape[1]")
    right = code.replace("Head", "Right").replace("SCALE", "np.sqrt(q.shape[1])")
    other = "class Points:\n    def __init__(self, n):\n        self.n = np.ones(n)\n    def forward(self, x): ...\n"
    course, functions = read(
        tmp_path, START, wrong, right, other, "a, b = Wrong(7, 4), Right(7, 4)", "head = Right(7, 4)"
    )
    assert functions["Wrong"].checked.verdict.mistakes == ("scale-no-root",)
    assert functions["Right"].checked.verdict.ok
    assert (functions["Right"].comparison.call, functions["Right"].comparison.agrees) == ("b(X)", True)
    assert any("the class Points was not checked" in note for note in course.notes), course.notes


@pytest.mark.exhaustive
def test_weights_that_are_variables_of_the_notebook(tmp_path):
    scores = "def scores(x):\n    return (x @ Wq) @ (x @ Wk).T\n"
    code = "def attend(x):\n    return softmax(scores(x) / {}) @ (x @ Wv)\n"
    cells = scores, code.format("3**0.5"), code.format("7**0.5").replace("attend", "extend")
    _, functions = read(tmp_path, START, MATRICES, *cells)
    assert functions["attend"].checked.weights == ("Wv", "Wq", "Wk")
    assert functions["attend"].comparison.agrees
    assert not functions["extend"].comparison.agrees


def test_a_function_without_arguments(tmp_path):
    code = "def attend():\n    return softmax(X @ Wq @ (X @ Wk).T / 3**0.5) @ X @ Wv\n"
    _, functions = read(tmp_path, START, MATRICES, code, code.replace(" / 3**0.5", "").replace("attend", "extend"))
    assert set(functions["attend"].checked.weights) == {"X", "Wq", "Wk", "Wv"}
    assert functions["attend"].comparison.agrees
    assert not functions["extend"].comparison.agrees


@pytest.mark.exhaustive
def test_a_function_of_a_list_of_columns(tmp_path):
    cells = "all_x = [rng.normal(size=(7, 1)) for _ in range(4)]\nWq, Wk, Wv = rng.normal(size=(3, 7, 7))\n"
    one = """
def one_by_one(all_x, Wq, Wk, Wv):
    keys, values, out = [Wk @ x for x in all_x], [Wv @ x for x in all_x], []
    for x in all_x:
        weights = softmax(np.array([((Wq @ x).T @ k)[0, 0] for k in keys]) / SCALE)
        out.append(sum(w * v for w, v in zip(weights, values)))
    return out
"""
    joined = """
def joined(all_x, Wq, Wk, Wv):
    x = np.hstack(all_x)
    return Wv @ x @ softmax((Wq @ x).T @ (Wk @ x) / np.sqrt(len(Wq))).T
"""
    several = """
def several(all_x, Wq, Wk, Wv, H=7):
    x, out = np.hstack(all_x), np.zeros((len(Wv), len(all_x)))
    for h in range(H):
        q, k, v = (Wq @ x)[h::H], (Wk @ x)[h::H], (Wv @ x)[h::H]
        out[h::H] = v @ softmax(q.T @ k / np.sqrt(len(q))).T
    return out
"""
    wrong = one.replace("one_by_one", "wrong").replace("SCALE", "len(Wq)")
    start = START.replace("X =", "unused =")
    _, functions = read(tmp_path, start, cells, one.replace("SCALE", "np.sqrt(len(Wq))"), joined, several, wrong)
    assert functions["several"].checked.verdict.mistakes == ("heads-interleaved",)
    assert functions["one_by_one"].checked.verdict.ok
    assert functions["joined"].checked.verdict.ok
    assert functions["one_by_one"].comparison.agrees
    assert functions["joined"].comparison.agrees
    assert functions["wrong"].checked.verdict.mistakes == ("scale-no-root",)


@pytest.mark.parametrize("returned", ["out[:, :3]", "out / 0"])
def test_an_output_that_cannot_be_compared(returned, tmp_path):
    code = "def attend(X, Wq, Wk, Wv):\n    out = softmax((X @ Wq) @ (X @ Wk).T / 3**0.5) @ (X @ Wv)\n"
    code += f"    return {returned}\n"
    _, functions = read(tmp_path, START, MATRICES.replace("(7, 2)", "(7, 5)"), code)
    assert "no output of the expected shape, or one with NaN or Inf" in functions["attend"].comparison.description


@pytest.mark.parametrize("heads_first", [True, False])
def test_the_options_that_take_matrices_without_names(heads_first, tmp_path):
    code = f"heads = rng.normal(size={(2, 3, 7, 5) if heads_first else (3, 2, 7, 5)})\n"
    tuples = "heads = [tuple(head) for head in heads]\n"
    with pytest.raises(DataError) as error:
        read(tmp_path, START.replace("Wq", "A"), code + tuples)
    options = re.findall('--take "([^"]*)"', str(error.value))
    expected = "heads[0][0],heads[1][0]" if heads_first else "heads[0][0],heads[0][1]"
    assert options[0] == f"Wq={expected}"
    take = {role: tuple(names.split(",")) for role, names in (option.split("=") for option in options)}
    course = read_course(tmp_path / "course.ipynb", ArrayOptions(take=take))
    assert course.inputs.heads == 2
    assert course.inputs.arrays["Wq"].shape == (10, 7)


def test_arguments_without_names_are_those_of_the_calls(tmp_path):
    code = "def f(t, a, b, c):\n    return softmax((t @ a) @ (t @ b).T) @ (t @ c)\nY = f(X, Wq, Wk, Wv)\n"
    _, functions = read(tmp_path, START, MATRICES, code)
    assert functions["f"].checked.verdict.mistakes == ("scale-missing",)
    assert "probably cell 3, line 2:  return softmax(" in functions["f"].checked.report()


def test_dicts_in_dicts_and_a_function_that_only_the_notebook_can_call(tmp_path):
    code = """
params = {f"head_{h}": {n: rng.normal(size=(7, 4)) for n in ("W_Q", "W_K", "W_V")} for h in range(2)}
params["W_O"] = rng.normal(size=(8, 7))
def mha(x, params):
    heads = [params[f"head_{h}"] for h in range(2)]
    parts = [softmax((x @ p["W_Q"]) @ (x @ p["W_K"]).T / 2) @ (x @ p["W_V"]) for p in heads]
    return np.concatenate(parts, axis=-1) @ params["W_O"]
Y = mha(X, params)
"""
    course, functions = read(tmp_path, START, code, "def multihead(*args):\n    return args\n")
    assert course.inputs.sources["Wq"] == ("params['head_0']['W_Q']", "params['head_1']['W_Q']")
    assert course.inputs.heads == 2
    assert functions["mha"].checked.verdict is None
    assert functions["mha"].comparison.agrees
    assert any("the function multihead was not checked" in note for note in course.notes)


def test_heads_in_dicts_of_matrices_called_queries_keys_and_values(tmp_path):
    code = """
heads = [{n: rng.normal(size=(X.shape[1], 4)) for n in ("query", "key", "value")} for _ in range(2)]
W_out = rng.normal(size=(8, 7))
def mha(x, heads, W_out):
    parts = [softmax((x @ p["query"]) @ (x @ p["key"]).T / p["key"].shape[1] ** 0.5) @ (x @ p["value"]) for p in heads]
    return np.concatenate(parts, axis=-1) @ W_out
Y = mha(X, heads, W_out)
"""
    course, functions = read(tmp_path, START, code)
    assert course.inputs.sources["Wk"] == ("heads[0]['key']", "heads[1]['key']")
    assert functions["mha"].checked.verdict.ok
    assert functions["mha"].comparison.call == "mha(X, heads, W_out)"  # heads is no number of them
    assert functions["mha"].comparison.agrees


def test_a_dict_from_a_file_next_to_the_notebook(tmp_path):
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "weights.npz", **{name: rng.normal(size=(3, 7)) for name in ("Wq", "Wk", "Wv")})
    code = "weights = np.load('weights.npz')\ndef attend(X, weights):\n    q, k, v = (X @ weights[n].T for n in {})\n"
    code = code.format("('Wq', 'Wk', 'Wv')") + "    return softmax(q @ k.T / np.sqrt(3)) @ v\nY = attend(X, weights)\n"
    course, functions = read(tmp_path, START, code)
    assert course.inputs.sources["Wv"] == ("weights['Wv']",)
    assert functions["attend"].comparison.agrees


@pytest.mark.exhaustive
def test_a_function_that_is_not_written_yet_and_a_batch(tmp_path):
    code = "def self_attention(X, Wq, Wk, Wv):\n    # TODO: replace this line\n    return np.zeros((len(X), 2))\n"
    _, functions = read(tmp_path, START, MATRICES, code)
    assert functions["self_attention"].comparison.zeros
    batch = "X = rng.normal(size=(2, 5, 7))\ndef attend(X, Wq, Wk, Wv):\n    q, k, v = X @ Wq, X @ Wk, X @ Wv\n"
    batch += "    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(3)) @ v\n"
    _, functions = read(tmp_path, START, MATRICES, batch)
    assert functions["attend"].comparison.agrees


def test_a_causal_function_is_compared_with_causal_attention(tmp_path):
    code = "def causal_attention(X, Wq, Wk, Wv):\n    s = (X @ Wq) @ (X @ Wk).T / np.sqrt(3)\n"
    code += "    s = np.where(np.tri(len(X)) > 0, s, -np.inf)\n    return softmax(s) @ (X @ Wv)\n"
    _, functions = read(tmp_path, START, MATRICES, code)
    assert functions["causal_attention"].comparison.agrees


def test_functions_of_a_notebook_without_arrays(tmp_path):
    code = SOFTMAX + "def f(X, Wq, Wk, Wv):\n    return softmax((X @ Wq) @ (X @ Wk).T) @ (X @ Wv)\n"
    functions, _ = read_functions(write_notebook(tmp_path / "a.ipynb", "import numpy as np", code))
    assert functions[0].checked.verdict.mistakes == ("scale-missing",)
    assert "no Wq and Wk and Wv found" in functions[0].comparison.problem
    with pytest.raises(DataError, match="it defines no function that can be called as attention"):
        read_functions(write_notebook(tmp_path / "b.ipynb", "x = 1"))


def test_a_wrong_function_of_a_nested_dict_is_named(tmp_path):
    code = """
def mixer(p, tokens):
    project = lambda name: tokens @ p[name]["w"] + p[name]["b"]
    q, k, v = (project(name) for name in ("query", "key", "value"))
    return softmax(q @ k.T / SCALE) @ v
"""
    params = 'params = {name: {"w": rng.normal(size=(7, 3)), "b": rng.normal(size=3)} for name in NAMES}\n'
    cells = (
        params.replace("NAMES", '("query", "key", "value")'),
        code.replace("SCALE", "q.shape[1]"),
        "y = mixer(params, X)",
    )
    course, functions = read(tmp_path, START, *cells)
    assert course.inputs.sources["bk"] == ("params['key']['b']",)
    assert functions["mixer"].checked.verdict.mistakes == ("scale-no-root",)
    assert not functions["mixer"].comparison.agrees


def test_one_head_of_a_list_of_matrices(tmp_path):
    matrices = "WQs, WKs, WVs = ([rng.normal(size=(7, 2)) for _ in range(3)] for _ in range(3))\n"
    code = "def head(X, WQ, WK, WV):\n    return softmax((X @ WQ) @ (X @ WK).T / np.sqrt(WQ.shape[1])) @ X @ WV\n"
    _, functions = read(tmp_path, START, matrices, code)
    assert functions["head"].comparison.call == "head(X, WQs[0], WKs[0], WVs[0])"
    assert functions["head"].comparison.agrees


def test_the_steps_in_cells_are_checked_and_compared_where_there_is_no_function(tmp_path):
    right = "q, k, v = X @ Wq, X @ Wk, X @ Wv\nright = softmax(q @ k.T / np.sqrt(3)) @ v\n"
    wrong = "Q, K, V = X @ Wq, X @ Wk, X @ Wv\nwrong = softmax(Q @ K.T / 3) @ V\n"
    _, functions = read(tmp_path, START, MATRICES, right, wrong)
    assert functions["right"].checked.verdict.ok
    assert functions["right"].comparison.agrees
    assert functions["wrong"].checked.verdict.mistakes == ("scale-no-root",)
    assert not functions["wrong"].comparison.agrees
    assert {item.checked.form for item in functions.values()} == {"array"}


def test_an_object_is_checked_where_its_class_cannot_be_made(tmp_path):
    code = """
class Attention:
    def __init__(self, matrices):
        self.Wq, self.Wk, self.Wv = matrices
    def __call__(self, x):
        return softmax((x @ self.Wq) @ (x @ self.Wk).T) @ (x @ self.Wv)
"""
    _, functions = read(tmp_path, START, MATRICES, code, "one, two = Attention((Wq, Wk, Wv)), None")
    assert functions["Attention"].checked.verdict.mistakes == ("scale-missing",)
    assert functions["Attention"].comparison.unscaled


def test_a_function_that_returns_the_weights_alone_is_compared_with_the_weights(tmp_path):
    code = "def weights_of(X, Wq, Wk):\n    return softmax((X @ Wq) @ (X @ Wk).T / np.sqrt(3))\n"
    _, functions = read(tmp_path, START, MATRICES, code, "weights_of(X, Wq, Wk)")
    assert functions["weights_of"].comparison.agrees

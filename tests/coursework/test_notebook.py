"""Course notebooks: arrays are found by name and shape, functions are checked, nothing is assumed silently."""

import json

import numpy as np
import pytest

import headwise as hw
from headwise.coursework.notebook import ArrayOptions, read_course
from headwise.errors import DataError, ShapeError
from helpers.commands import headwise
from helpers.notebooks import NOTEBOOKS, write_notebook


def namespace(name):
    """The variables of a test notebook, run here."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    variables = {"display": lambda *_: None}
    for cell in cells:
        code = "".join(line for line in cell["source"] if not line.startswith(("%", "!", "import matplotlib", "get_")))
        if cell["cell_type"] == "code":
            exec(code, variables)
    return variables


def functions(course):
    return {item.checked.name: item for item in course.functions}


def test_one_head_with_columns():
    course = read_course(NOTEBOOKS / "prince_12_1.ipynb")
    found, own = course.inputs, namespace("prince_12_1")
    assert (found.columns, found.in_out) == (True, False)
    np.testing.assert_array_equal(found.arrays["X"], own["X"].T)
    np.testing.assert_array_equal(found.arrays["Wv"], own["omega_v"])
    np.testing.assert_array_equal(found.arrays["bq"], own["beta_q"].ravel())
    output = hw.self_attention(**found.arrays).output
    np.testing.assert_allclose(output.T, own["X_prime"], atol=1e-12)
    assert functions(course)["scaled_dot_product_self_attention"].comparison.agrees
    unscaled = functions(course)["self_attention"]
    assert unscaled.checked.verdict.mistakes == ("scale-missing",)
    assert unscaled.comparison.unscaled
    assert not unscaled.comparison.agrees
    assert "names no number of heads" in course.inputs.assumptions[0]


def test_matrices_of_each_head_and_a_final_transformation():
    course = read_course(NOTEBOOKS / "prince_12_2.ipynb")
    found, own = course.inputs, namespace("prince_12_2")
    assert (found.heads, found.own_heads, found.assumptions) == (2, 2, ())
    np.testing.assert_array_equal(found.arrays["Wk"], np.concatenate([own["omega_k1"], own["omega_k2"]]))
    np.testing.assert_array_equal(found.arrays["Wo"], own["omega_c"])
    [result] = course.functions
    assert result.comparison.agrees
    assert result.checked.sizes == ("H_D",)


def test_rows_and_in_out_matrices_with_magics_and_a_wrong_scale():
    course = read_course(NOTEBOOKS / "rows_in_out.ipynb")
    own = namespace("rows_in_out")
    assert (course.inputs.columns, course.inputs.in_out, course.inputs.heads) == (False, True, 3)
    np.testing.assert_array_equal(course.inputs.arrays["Wq"], own["W_q"].T)
    np.testing.assert_array_equal(course.inputs.arrays["Wo"], own["W_o"].T)
    [result] = course.functions
    assert result.checked.verdict.mistakes == ("scale-model-width",)
    assert not result.comparison.agrees


def test_a_notebook_that_fails_half_way():
    course = read_course(NOTEBOOKS / "fails_half_way.ipynb")
    assert course.inputs.arrays["X"].shape == (4, 6)
    assert [failure.cell for failure in course.failures] == [2, 4, 6]
    assert "a_module_that_nobody_has" in course.failures[0].error
    assert any("cell 5 is not Python" in note for note in course.notes)
    assert functions(course)["self_attention"].comparison.agrees


def test_arrays_in_a_dict_drawn_without_a_seed():
    course = read_course(NOTEBOOKS / "unseeded.ipynb")
    assert course.inputs.in_out
    assert course.inputs.arrays["Wv"].shape == (2, 4)
    assert any("without a seed" in note and "tokens" in note for note in course.notes)


def test_torch_tensors_and_a_softmax_over_the_wrong_axis():
    pytest.importorskip("torch")
    course = read_course(NOTEBOOKS / "pytorch.ipynb")
    assert (course.inputs.columns, course.inputs.in_out, course.inputs.heads) == (False, True, 4)
    assert course.inputs.arrays["X"].shape == (5, 8)
    assert functions(course)["attention_head"].checked.verdict.mistakes == ("softmax-axis",)


ARRAYS = "import numpy as np\nrng = np.random.default_rng(0)\nX = rng.normal(size=(5, {d}))\n"
MATRICES = "A, B, C = (rng.normal(size=({d}, {d})) for _ in range(3))\n"


@pytest.mark.exhaustive
def test_names_are_taken_from_calls_and_options(tmp_path):
    code = (ARRAYS + MATRICES).format(d=6) + "def f(X, Wq, Wk, Wv):\n    return X @ Wq @ (X @ Wk).T @ X @ Wv\n"
    by_call = read_course(write_notebook(tmp_path / "a.ipynb", code, "Y = f(X, A, B, C)")).inputs
    assert by_call.sources["Wk"] == ("B",)
    path = write_notebook(tmp_path / "b.ipynb", code)
    with pytest.raises(DataError, match=r"no Wq and Wk and Wv found.* Its arrays are X \(5, 6\), A \(6, 6\)"):
        read_course(path)
    taken = read_course(path, ArrayOptions(take={"Wq": ("C",), "Wk": ("B",), "Wv": ("A",)})).inputs
    assert taken.sources["Wq"] == ("C",)
    with pytest.raises(DataError, match=r"--take: b\.ipynb has no array Q"):
        read_course(path, ArrayOptions(take={"Wq": ("Q",)}))
    with pytest.raises(DataError, match="--take: expected one of X, Wq"):
        read_course(path, ArrayOptions(take={"Z": ("A",)}))


def test_an_orientation_that_nothing_shows_is_stated(tmp_path):
    code = ARRAYS.format(d=5) + "Wq, Wk, Wv = (rng.normal(size=(5, 5)) for _ in range(3))\n"
    path = write_notebook(tmp_path / "a.ipynb", code)
    found = read_course(path).inputs
    assert found.reason == ""
    assert any("Nothing in the notebook shows the orientation" in text for text in found.assumptions)
    turned = read_course(path, ArrayOptions(columns=True, in_out=True, heads=5)).inputs
    np.testing.assert_array_equal(turned.arrays["X"], found.arrays["X"].T)
    np.testing.assert_array_equal(turned.arrays["Wq"], found.arrays["Wq"].T)
    assert turned.assumptions == ()
    with pytest.raises(ShapeError, match="--heads: expected a divisor of the 5 rows"):
        read_course(path, ArrayOptions(heads=2))


def test_two_sets_of_tokens_or_matrices(tmp_path):
    code = (
        ARRAYS.format(d=6) + "Wq, Wk, Wv, Wq1, Wk1, Wv1, Wq2, Wk2, Wv2 = (rng.normal(size=(6, 6)) for _ in range(9))\n"
    )
    path = write_notebook(tmp_path / "a.ipynb", code + "tokens = rng.normal(size=(4, 6))\nQ = X @ Wq1\n")
    found = read_course(path).inputs
    assert found.own_heads == 2
    assert any("--take Wq=Wq" in text for text in found.assumptions)
    assert any("--take X=tokens" in text for text in found.assumptions)
    taken = {name: (name,) for name in ("Wq", "Wk", "Wv")} | {"X": ("tokens",)}
    one = read_course(path, ArrayOptions(take=taken)).inputs
    assert one.arrays["X"].shape == (4, 6)
    assert one.arrays["Wq"].shape == (6, 6)
    same = write_notebook(tmp_path / "b.ipynb", code + "x = rng.normal(size=(3, 6))\nQ = X @ Wq\n")
    with pytest.raises(DataError, match="the notebook has X and x, which differ"):
        read_course(same)


def test_lists_stacks_and_a_fused_matrix(tmp_path):
    code = ARRAYS.format(d=6) + "Wqs, Wks, Wvs = (list(rng.normal(size=(2, 6, 3))) for _ in range(3))\n"
    listed = read_course(write_notebook(tmp_path / "a.ipynb", code)).inputs
    assert (listed.in_out, listed.own_heads) == (True, 2)
    drawn = np.random.default_rng(0)
    drawn.normal(size=(5, 6))
    np.testing.assert_array_equal(listed.arrays["Wq"], np.concatenate(drawn.normal(size=(2, 6, 3)), axis=1).T)
    fused = ARRAYS.format(d=4) + "W_qkv = rng.normal(size=(4, 12))\nn_heads = 2\n"
    found = read_course(write_notebook(tmp_path / "b.ipynb", fused)).inputs
    assert (found.in_out, found.heads) == (True, 2)
    drawn = np.random.default_rng(0)
    drawn.normal(size=(5, 4))
    np.testing.assert_array_equal(found.arrays["Wv"], drawn.normal(size=(4, 12))[:, 8:].T)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "expected a notebook"),
        ("a.ipynb", "[]", "expected a notebook; got something else"),
        ("a.py", "x = (1,\n", "a.py: line 1 is not Python"),
        ("a.py", "import numpy as np\nWq = Wk = Wv = np.eye(6)\n", r"a.py: no tokens X found.* Wq \(6, 6\)"),
        (
            "a.py",
            "import numpy as np\nWq = Wk = Wv = np.eye(6)\nX = np.ones((5, 4))\n",
            r"a.py: the arrays do not fit one another: X \(5, 4\), Wq \(6, 6\).* \(.*\)\. Use --take",
        ),
    ],
)
def test_what_has_no_arrays_of_a_course_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises((DataError, ShapeError), match=message):
        read_course(tmp_path / name)


def test_it_reads_its_own_folder_and_nothing_else(tmp_path):
    np.savetxt(tmp_path / "tokens.csv", np.eye(4, 6), delimiter=",")
    secret = tmp_path.parent / "secret.csv"
    np.savetxt(secret, np.eye(3, 6), delimiter=",")
    code = "import numpy as np\nX = np.loadtxt('tokens.csv', delimiter=',')\n"
    code += f"X = np.loadtxt({str(secret)!r}, delimiter=',')\n"
    code += "Wq, Wk, Wv = np.eye(6), np.eye(6), np.eye(6)\nnp.save('written.npy', X)\n"
    course = read_course(write_notebook(tmp_path / "a.ipynb", code))
    assert course.inputs.arrays["X"].shape == (4, 6)
    assert [failure.error.partition(":")[0] for failure in course.failures] == ["PermissionError", "PermissionError"]
    assert not (tmp_path / "written.npy").exists()


def test_attend_prints_what_it_found_and_the_notebooks_own_output():
    shown = headwise("attend", NOTEBOOKS / "prince_12_1.ipynb", "--heads", 1)
    assert shown.returncode == 0, shown.stderr
    own = namespace("prince_12_1")
    assert "omega_q 4×4: queries, (out, in)" in shown.stdout
    assert f"{own['X_prime'][0, 0]:.4f}" in shown.stdout
    failed = headwise("attend", NOTEBOOKS / "prince_12_1.ipynb", "--take", "X")
    assert failed.returncode == 2
    assert "--take: expected ROLE=NAME" in failed.stderr


def test_heads_in_a_list_of_dicts_and_an_unusual_name_of_the_tokens(tmp_path):
    code = ARRAYS.format(d=6).replace("X =", "input_seq =")
    code += "heads = [{n: rng.normal(size=(6, 3)) for n in ('Wq', 'Wk', 'Wv')} for _ in range(2)]\n"
    found = read_course(write_notebook(tmp_path / "a.ipynb", code)).inputs
    assert found.sources["Wk"] == ("heads[0]['Wk']", "heads[1]['Wk']")
    assert (found.in_out, found.own_heads, found.sources["X"]) == (True, 2, ("input_seq",))


def test_two_layers_are_two_sets(tmp_path):
    code = ARRAYS.format(d=6) + "draw = lambda: {n: rng.normal(size=(6, 6)) for n in ('Wq', 'Wk', 'Wv')}\n"
    code += "one, two = draw(), draw()\nQ = X @ one['Wq']\n"
    found = read_course(write_notebook(tmp_path / "a.ipynb", code)).inputs
    assert found.sources["Wq"] == ("one['Wq']",)
    assert any("two['Wq']" in text for text in found.assumptions)


def test_names_in_other_languages(tmp_path):
    code = """
import numpy as np
rng = np.random.default_rng(5)
n_têtes, eingaben = 3, rng.normal(size=(6, 5))
W_requete, W_clé, wWert = (rng.normal(size=(6, 6)) for _ in range(3))
"""
    found = read_course(write_notebook(tmp_path / "a.ipynb", code)).inputs
    assert found.sources == {"X": ("eingaben",), "Wq": ("W_requete",), "Wk": ("W_clé",), "Wv": ("wWert",)}
    assert (found.columns, found.heads) == (True, 3)


@pytest.mark.parametrize("in_function", [False, True])
def test_names_that_say_nothing_are_those_of_the_products(in_function, tmp_path):
    products = "Q = A @ z + a; K = B @ z; V = C @ z\n"
    function = f"def f(z, A, B, C, a):\n    {products}    return Q, K, V\nf(*WHAT)\n".replace("*WHAT", "z, A, B, C, a")
    code = (ARRAYS + MATRICES).format(d=6).replace("X =", "z =") + "z = z.T; a = rng.normal(size=(6, 1))\n"
    found = read_course(write_notebook(tmp_path / "a.ipynb", code + (function if in_function else products))).inputs
    assert found.sources == {"X": ("z",), "Wq": ("A",), "bq": ("a",), "Wk": ("B",), "Wv": ("C",)}
    assert (found.columns, found.in_out) == (True, False)


def test_two_names_of_one_role_are_stated(tmp_path):
    code = ARRAYS.format(d=6) + "Wq, Wk, Wv, W_query, W_key, W_value = rng.normal(size=(6, 6, 6))\n"
    found = read_course(write_notebook(tmp_path / "a.ipynb", code)).inputs
    assert found.sources["Wk"] == ("Wk",)
    assert "--take Wq=W_query --take Wk=W_key --take Wv=W_value" in found.assumptions[0]
    one = code.replace("W_key, W_value", "A, B")
    found = read_course(write_notebook(tmp_path / "b.ipynb", one)).inputs
    assert "--take Wq=W_query --take Wk=Wk --take Wv=Wv" in found.assumptions[0]

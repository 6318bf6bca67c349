"""``headwise attend`` on files: conventions, causal masks, other names and other kinds of CSV."""

import json

import numpy as np

import headwise as hw
from headwise.data.array_files import coursework_arrays
from helpers.commands import headwise


def attend(*arguments):
    shown = headwise("attend", *arguments, "--json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def test_in_out_matrices_are_those_of_the_transposed_ones(tmp_path):
    arrays = coursework_arrays()
    turned = {name: array.T if name.startswith("W") else array for name, array in arrays.items()}
    np.savez(tmp_path / "a.npz", **turned)
    result = attend(tmp_path / "a.npz", "--weights", "in-out", "--heads", 3)
    np.testing.assert_allclose(result["output"], hw.multi_head_attention(**arrays, heads=3).output)
    assert "(in, out), q = Wᵀ x" in result["convention"]


def test_a_causal_mask_with_rows_and_columns(tmp_path):
    arrays = coursework_arrays()
    weights = np.array(attend("--causal", "--heads", 2)["weights"])
    assert not np.triu(weights, 1).any()
    x = arrays["X"]
    for n in range(len(x)):  # the last token of each prefix attends to all of it
        expected = hw.multi_head_attention(**{**arrays, "X": x[: n + 1]}, heads=2).weights[:, -1]
        np.testing.assert_allclose(weights[:, n, : n + 1], expected)
    np.savez(tmp_path / "a.npz", **{**arrays, "X": x.T})
    turned = attend(tmp_path / "a.npz", "--columns", "--causal", "--heads", 2)
    np.testing.assert_allclose(turned["weights"], weights)
    assert np.shape(turned["output"]) == (6, 5)


def test_other_names_header_rows_semicolons_and_an_index(tmp_path):
    arrays = coursework_arrays()
    rows = {name: array.tolist() for name, array in arrays.items()}
    (tmp_path / "X.csv").write_text(
        "a;b;c;d;e;f\n" + "".join(";".join(f"{v}".replace(".", ",") for v in r) + "\n" for r in rows["X"])
    )
    index = "".join(f"{i}," + ",".join(map(str, r)) + "\n" for i, r in enumerate(rows["Wq"]))
    (tmp_path / "W_q.csv").write_text(",0,1,2,3,4,5\n" + index)
    (tmp_path / "omega_k.csv").write_text("\n".join("\t".join(map(str, r)) for r in rows["Wk"]))
    for head, part in enumerate(np.split(arrays["Wv"], 2), 1):
        np.savetxt(tmp_path / f"omega_v{head}.csv", part, delimiter=",")
    result = attend(tmp_path, "--heads", 2)
    np.testing.assert_allclose(result["output"], hw.multi_head_attention(**arrays, heads=2).output)


def test_the_convention_is_printed():
    first_line = headwise("attend").stdout.partition("\n")[0]
    assert all(term in first_line for term in ("rows of X", "(out, in)", "--weights in-out"))


def test_wide_matrices_are_printed_in_parts(tmp_path):
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "a.npz", X=rng.normal(size=(23, 3)), **{f"W{part}": np.eye(3) for part in "qkv"})
    result = attend(tmp_path / "a.npz")
    shown = headwise("attend", tmp_path / "a.npz").stdout
    assert "…" not in shown
    assert all(f"{weight:.4f}" in shown for weight in np.ravel(result["weights"]))

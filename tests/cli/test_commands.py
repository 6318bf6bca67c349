"""The commands as a user types them."""

import json
import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

import headwise as hw
from headwise.cli import application
from headwise.cli.inputs import read_input
from headwise.data import coursework_arrays, load_bundled_mnist
from headwise.errors import DataError
from helpers.commands import headwise, headwise_process, interrupt_after
from helpers.digits import few
from helpers.processes import PATIENCE


def test_attend_prints_tables():
    shown = headwise_process("attend", "--heads", 3)
    assert shown.returncode == 0
    output, weights = hw.multi_head_attention(**coursework_arrays(), heads=3)
    for value in (output[0, 0], output[4, 5], weights[2, 3, 0]):
        assert f"{value:.4f}" in shown.stdout
    assert shown.stderr == ""


def test_attend_prints_json_and_writes(tmp_path, rng):
    arrays = {"X": rng.normal(size=(6, 5)), **{n: rng.normal(size=(6, 6)) for n in ("Wq", "Wk", "Wv")}}
    for name, array in arrays.items():
        np.savetxt(tmp_path / f"{name}.csv", array, delimiter=",", fmt="%.17g")
    files = [tmp_path / f"{name}.csv" for name in arrays]
    shown = headwise("attend", *files, "--heads", 2, "--columns", "--json", "--out", tmp_path / "o.npz")
    expected = hw.multi_head_attention(**arrays, heads=2, tokens="columns")
    np.testing.assert_array_equal(json.loads(shown.stdout)["output"], expected.output)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npz")["weights"], expected.weights)


def test_train_interrupted_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr("headwise.cli.train.load_bundled_mnist", few)
    command = ("train", "--tokenizer", "14x14", "--epochs", 3, "--batch-size", 50, "--out")
    uninterrupted = headwise(*command, tmp_path / "whole", "--json")
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    result = json.loads(uninterrupted.stdout)
    assert result["n_train"] == 200
    assert result["interval"][0] < result["accuracy"] < result["interval"][1]
    with monkeypatch.context() as patch:
        interrupt_after(patch, import_module("headwise.train.loop"), "_save", 2)
        interrupted = headwise(*command, tmp_path / "broken")
    assert interrupted.returncode == 130
    assert "Run the same command with --resume to resume" in interrupted.stderr
    refused = headwise(*command, tmp_path / "broken")
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    assert headwise(*command, tmp_path / "broken", "--resume").returncode == 0
    for name in ("model.safetensors", "history.csv"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "broken").iterdir()) == ["history.csv", "model.safetensors"]


def test_explain_with_the_model_that_ships(tmp_path, little_work):
    digits = load_bundled_mnist()
    Image.fromarray((digits.test.images[0] * 255).round().astype(np.uint8)).save(tmp_path / "digit.png")
    with little_work():
        shown = headwise("explain", "digit.png", "--label", digits.test.labels[0], folder=tmp_path)
        as_json = headwise("explain", "digit.png", "--figure", "depth", "--json", "--out", "o", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"predicts {digits.test.labels[0]}" in " ".join(shown.stdout.split())
    files = {path.name for path in (tmp_path / "digit-attention").iterdir()}
    kinds = "png", "svg", "pdf", "npz", "json", "md", "tex", "txt", "alt.txt"
    assert files == {f"{stem}.{kind}" for stem in ("attention", "attention-dependence") for kind in kinds}
    assert int(np.argmax(json.loads(as_json.stdout)["probabilities"])) == digits.test.labels[0]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attend", "nowhere.npz"), "nowhere.npz: no such file"),
        (("attend", "--heads", "4"), "heads: expected a divisor of the 6 rows of Wq"),
        (("attend", "odd.npz"), "unknown array 'Q'"),
        (("attend", "bad.npz"), r"Wk: expected (d=6, D=6)"),
        (("train", "--tokenizer", "5x5"), "divides the image's 28 pixels"),
        (("train", "--tokenizer", "stripes"), "tokenizer: expected a patch size"),
        (("train", "--data", "."), "train-images-idx3-ubyte: no such file"),
        (("train", "--epochs", "0"), "epochs: expected 1 or more"),
        (("explain", "nowhere.png"), "nowhere.png: no such file"),
        (("explain", ""), "input: expected an image, an .npz file, a text file, or a text."),
        (("explain", "The cat sat on the mat. " * 500), "image: expected an image file; got a text, 'The cat sat"),
        (("explain", "odd.txt"), "no such file"),
        (("explain", "digit.png", "--model", "odd.npz"), "odd.npz: expected"),
        (("explain", "digit.png", "--preprocess", "mean"), "--preprocess: expected one of imagenet, clip, half"),
        (("report", "--out", "odd.npz"), "is a file"),
        (("report", "--arrays", "nowhere.npz"), "no such file"),
        (("report", "--arrays", "odd.npz", "--notebook", "a.ipynb"), "--arrays, --notebook: expected at most one"),
        (("attend", "a.ipynb", "odd.npz"), "arrays: expected one notebook, or files of arrays; got both"),
        (("attend", "odd.npz", "--take", "X=Y"), "--take: applies to a notebook"),
        (
            ("explain", "digit.png", "--model", "odd", "--text", "a"),
            "--text: expected one text, or two for a pair",
        ),
        (("explain", "--model", "odd", *("--text", "a") * 3), "--text: expected one text, or two for a pair"),
        (("check", "a.py", "--json", "--markdown"), "--json, --markdown: expected one of them; got both"),
        (("diff", "a.py", "b.py", "--json", "--markdown"), "--json, --markdown: expected one of them; got both"),
        (("caption", "odd.npz", "--tokens", "digit.png"), "--tokens: digit.png: expected text in UTF-8"),
    ],
)
def test_a_plain_error_on_one_line(arguments, message, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "odd.npz", Q=np.ones((2, 2)))
    bad = {n: rng.normal(size=(6, 6)) for n in ("X", "Wq", "Wv")}
    np.savez(tmp_path / "bad.npz", **bad, Wk=np.ones((6, 5)))
    Image.fromarray((load_bundled_mnist().test.images[0] * 255).astype(np.uint8)).save(tmp_path / "digit.png")
    before = sorted(tmp_path.iterdir())
    shown = headwise(*arguments, folder=tmp_path)
    assert shown.returncode == 2
    assert shown.stdout == ""
    lines = shown.stderr.strip().splitlines()
    assert lines[-1].startswith("headwise: ")
    assert message in lines[-1]
    assert len(lines) == 1, shown.stderr
    assert sorted(tmp_path.iterdir()) == before  # nothing half-written


MODELS = """
class Sequential:
    __module__ = "keras.models"
    def __call__(self, x): ...
model = Sequential()
def broken(x):
    raise ValueError(f"{x.ndim} axes")
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "x.npz", "--model", "m.py:model"),
        ("explore", "m.py:model", "x.npz"),
        ("capture", "m.py:model", "x.npz"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_model_of_keras_is_refused_with_what_to_do(arguments, tmp_path, monkeypatch):
    pytest.importorskip("torch")  # capture makes its tensors
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    np.savez("x.npz", x=np.ones((1, 2)))
    with pytest.raises(DataError, match=r"Models of Keras and flax are not run: save .* to `headwise caption`"):
        application(arguments[:1])(arguments, standalone_mode=False)


def test_inspect_knows_no_tool_for_a_model_of_keras(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    application(["inspect"])(["inspect", "m.py:model", "--json"], standalone_mode=False)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["tools"], shown["protocol"]) == ([], [])
    assert "Models of Keras and flax are not run" in shown["not"][0]


def test_what_a_users_model_raises_is_no_internal_error(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    np.save("x.npy", np.ones((1, 2)))
    with pytest.raises(DataError, match=r"called with input 1 \(1, 2\), it raised ValueError: 2 axes"):
        application(["capture"])(["capture", "m.py:broken", "x.npy"], standalone_mode=False)


def test_a_text_file_is_a_text(tmp_path):
    (tmp_path / "note.txt").write_text("\ufeffA cat.\n")
    assert read_input(str(tmp_path / "note.txt"), None) == ("A cat.", tmp_path / "note.txt")
    (tmp_path / "note.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="expected text in UTF-8"):
        read_input(str(tmp_path / "note.txt"), None)


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    arrays = {"X": np.ones((300, 6)), **{n: np.ones((6, 6)) for n in ("Wq", "Wk", "Wv")}}
    np.savez(tmp_path / "a.npz", **arrays)
    command = f"{sys.executable} -m headwise attend {tmp_path / 'a.npz'} --json | head -c 10"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=PATIENCE)
    assert shown.stdout == '{"output":'
    assert shown.stderr == ""


def test_what_the_system_refuses_is_told_on_one_line():
    shown = headwise("attend", "--out", "/proc/nowhere/o.npz")
    assert shown.returncode == 2
    assert shown.stderr.startswith("headwise: ")
    assert len(shown.stderr.splitlines()) == 1


def test_without_the_extra_it_says_how_to_install_it(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    shown = subprocess.run(
        [sys.executable, "-m", "headwise", "attend"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert shown.returncode == 2
    assert shown.stderr == "headwise: the command line needs typer: pip install 'headwise[lab]'\n"


def test_an_unknown_option_or_command_is_status_2():
    for arguments in (("attend", "--nonsense"), ("nonsense",)):
        shown = headwise(*arguments)
        assert shown.returncode == 2
        assert "Traceback" not in shown.stderr


def test_version():
    assert headwise_process("--version").stdout.strip() == hw.__version__

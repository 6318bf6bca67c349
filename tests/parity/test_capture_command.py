"""`headwise capture`, `inspect` and `diff` of arrays, on a torch module and an ONNX file."""

import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import numpy as np
import pytest

from headwise.cli import run

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

MODEL = """
import torch
torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)
model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
number = 3
"""


@dataclass
class Finished:
    returncode: int
    stdout: str
    stderr: str


def headwise(*args, cwd):
    """Run the command line in this process, which has imported torch already."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["headwise", *args])
        try:
            status = run()
        except SystemExit as stopped:
            status = stopped.code
    return Finished(status or 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("capture")
    (path / "mine.py").write_text(MODEL)
    x = np.random.default_rng(0).normal(size=(1, 5, 12)).astype(np.float32)
    np.savez(path / "x.npz", src=x)
    np.save(path / "x.npy", x)
    return path


def test_capture_and_diff(folder):
    found = headwise("capture", "mine.py:model", "x.npz", "--out", "a.npz", cwd=folder)
    assert (found.returncode, found.stderr) == (0, "")
    assert "layers.1.self_attn  self  1 x 3 x 5 x 5  verified" in found.stdout
    assert "2 layers in a.npz" in found.stdout
    with np.load(folder / "a.npz") as arrays:
        weights = arrays["weights"]
    assert weights.shape == (1, 2, 3, 5, 5)
    np.savez(folder / "mean.npz", weights[0].mean(axis=1))
    np.savez(folder / "same.npz", weights[0])
    found = headwise("diff", "mean.npz", "a.npz", cwd=folder)
    assert found.returncode == 1
    assert "mean over heads" in found.stdout
    assert "heads-averaged" in found.stdout
    assert headwise("diff", "same.npz", "a.npz", cwd=folder).returncode == 0
    found = headwise("caption", "a.npz", "--grid", "2x2", cwd=folder)
    assert found.returncode == 0
    assert "not verified" not in found.stdout
    found = headwise("caption", "same.npz", "--grid", "2x2", cwd=folder)
    assert "The arrays are not verified" in " ".join(found.stdout.split())


def test_chosen_layers(folder):
    found = headwise("capture", "mine.py:model", "x.npy", "--layers=-1", "--out", "b.npz", cwd=folder)
    assert found.returncode == 0
    assert "1 layers in b.npz" in found.stdout
    assert "layers.0" not in found.stdout


def test_inspect(folder):
    found = headwise("inspect", "mine.py:model", cwd=folder)
    assert "capture, caption, explain, explore" in found.stdout
    assert found.returncode == 0
    assert "TransformerEncoder" in found.stdout
    assert "layers.0.self_attn (MultiheadAttention)" in found.stdout
    facts = json.loads(headwise("inspect", "mine.py:model", "--json", cwd=folder).stdout)
    assert facts["candidates"][0] == "layers.0.self_attn (MultiheadAttention)"
    assert facts["parameters"] == int(re.search("parameters +([0-9,]+)", found.stdout)[1].replace(",", ""))
    assert facts["types"] == ["float32"]


def test_capture_as_json(folder):
    found = headwise("capture", "mine.py:model", "x.npy", "--layers=-1", "--out", "j.npz", "--json", cwd=folder)
    summary = json.loads(found.stdout)
    with np.load(folder / "j.npz") as saved:
        (layer,) = summary.pop("layers")
        assert (layer["name"], layer["error"], layer["proven"]) == (saved["names"], saved["errors"], True)
        assert tuple(layer["shape"]) == saved["weights"][:, 0].shape
    assert summary == {"out": "j.npz", "proven": True, "ignored": []}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["capture", "mine.py", "x.npz"], "name the object too, such as mine.py:model"),
        (["capture", "mine.py:other", "x.npz"], "expected an object other; it defines torch, layer, model, number"),
        (["capture", "mine.py:number", "x.npz"], "expected a torch module or another callable; got int"),
        (["capture", "none.onnx", "x.npz"], "there is no such file or folder"),
        (["capture", "mine.py:model", "words"], "expected arrays as .npz or .npy"),
        (["diff", "x.npz", "x.npz"], "expected a file that a capture saved"),
    ],
)
def test_errors_are_one_line(folder, args, message):
    found = headwise(*args, cwd=folder)
    assert found.returncode == 2
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_onnx(folder):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    nodes = [
        node("MatMul", ["q", "k"], ["s"], "/block/MatMul"),
        node("Softmax", ["s"], ["p"]),
        node("MatMul", ["p", "v"], ["y"], "/block/MatMul_1"),
    ]
    shapes = {"q": (1, 2, 5, 3), "k": (1, 2, 3, 5), "v": (1, 2, 5, 4)}
    inputs = [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = onnx.helper.make_graph(nodes, "g", inputs, [value("y", onnx.TensorProto.FLOAT, (1, 2, 5, 4))])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "m.onnx")
    rng = np.random.default_rng(0)
    np.savez(folder / "qkv.npz", **{name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()})
    found = headwise("capture", "m.onnx", "qkv.npz", "--out", "o.npz", cwd=folder)
    assert (found.returncode, found.stderr) == (0, "")
    assert "block  self  1 x 2 x 5 x 5  verified" in found.stdout
    found = headwise("inspect", "m.onnx", cwd=folder)
    assert "attention   block (self, Softmax)" in found.stdout
    assert "input       q (1, 2, 5, 3)" in found.stdout
    facts = json.loads(headwise("inspect", "m.onnx", "--json", cwd=folder).stdout)
    assert (facts["input"][0], facts["attention"]) == ("q (1, 2, 5, 3)", ["block (self, Softmax)"])

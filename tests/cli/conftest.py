"""A folder in which the commands of the help and of the pages in docs/ run, at a small size."""

import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headwise.cli import application
from headwise.coursework.report import BUDGETS
from headwise.data.array_files import coursework_arrays
from headwise.experiments.tables import TablesPlan
from helpers.budgets import TINY
from helpers.digits import few
from helpers.notebooks import NOTEBOOKS
from helpers.serving import run_server
from layers import plain_layers

EXAMPLES = Path(__file__).parents[2] / "examples"
ATTENTION = """
import numpy as np
def attention(q, k, v):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ v
"""
SMALL = {  # appended to the example; the last of two values counts
    "bench": "--no-peer",
    "report": "--quick --part gaussian",
    "train": "--epochs 1 --tokenizer 14x14",
    "study faithfulness": "--count 2 --players 4 --maps rollout,AttnLRP",
    "study sets": "--seeds 1 --steps 3",
    "study series": "--seeds 1 --epochs 1 --pretrain-epochs 1 --no-baselines",
    "study tables": "--seeds 1",
    "study tokenizers": "--tokenizers 7x7,rows --seeds 1 --epochs 1 --processes 1",
}


def write_idx(path, array):
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def write_onnx(path):
    """softmax(q kᵀ / 2) v as an ONNX model, and its inputs."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    shape = (2, 3, 5, 4)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "qkv"]
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["logits"]),
        helper.make_node("Mul", ["logits", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["o"]),
    ]
    scale = onnx.numpy_helper.from_array(np.float32(0.5), "scale")
    graph = helper.make_graph(nodes, "a", inputs, [helper.make_tensor_value_info("o", 1, shape)], [scale])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    rng = np.random.default_rng(0)
    np.savez("input.npz", **{name: rng.standard_normal(shape).astype(np.float32) for name in "qkv"})


@pytest.fixture
def folder(tmp_path, monkeypatch, rng, little_work):
    """The current folder, with every file that an example names."""
    monkeypatch.chdir(tmp_path)
    settings = {"max_iter": 1, "d_model": 8, "n_layers": 1, "n_heads": 2}
    monkeypatch.setattr("headwise.cli.study.tables.TablesPlan", partial(TablesPlan, settings=settings))
    for name, array in coursework_arrays().items():
        np.savetxt(f"{name}.csv", array, delimiter=",")
    np.savez("arrays.npz", weights=rng.dirichlet(np.ones(17), (3, 2, 17)))
    shutil.copy(EXAMPLES / "digit.png", "digit.png")
    shutil.copy(NOTEBOOKS / "fails_half_way.ipynb", "course.ipynb")
    Path("submissions").mkdir()
    shutil.copy(EXAMPLES / "class" / "bo.py", "submissions/bo.py")
    layers = Path(plain_layers.__file__).read_text()
    Path("model.py").write_text(f"{layers}\n\nNet = TwoLayers\n".replace(".attention", ".attn"))
    Path("mine.py").write_text(ATTENTION + "f = attention\n")
    Path("theirs.py").write_text(
        ATTENTION.replace("/ np.sqrt(q.shape[-1])", "").replace("attention", "g") + "attention = g\n"
    )
    monkeypatch.setattr("headwise.cli.train.load_bundled_mnist", few)
    monkeypatch.setattr("headwise.cli.study.tokenizers.load_digits", few)
    monkeypatch.setitem(BUDGETS, "quick", TINY)
    with little_work():
        yield tmp_path


def write_mnist():
    Path("mnist").mkdir()
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 8:20, 12:16] = 255
        write_idx(Path(f"mnist/{part}-images-idx3-ubyte"), images)
        write_idx(Path(f"mnist/{part}-labels-idx1-ubyte"), np.arange(count, dtype=np.uint8) % 10)


@pytest.fixture
def run_small(folder):
    """Runs a command line at a small size, with the files that it names; serving ends when the page is there."""

    def run_small(line):
        arguments = shlex.split(line)
        command = " ".join(arguments[: 1 + (arguments[0] == "study")])
        if command in ("capture", "inspect"):
            write_onnx("model.onnx")
        if "mnist/" in line:
            write_mnist()
        if command == "serve":
            with run_server(*re.sub(r"--port \d+", "", line).split()[1:]):
                return
        small = SMALL.get(command, "")
        arguments += (re.sub(r"--tokenizers \S+ ", "", small) if "--tokenizers" in line else small).split()
        shown = CliRunner().invoke(application(), arguments, catch_exceptions=False)
        assert shown.exit_code == (1 if command == "diff" else 0), shown.output
        assert shown.stdout.strip()

    return run_small

"""Damaged files: every reader returns something, or raises an error of Headwise that names the file.

``FUZZ_EXAMPLES`` is the number of damaged versions of each file in the corpus; `make fuzz` sets it. ``SEED`` chooses
other ones.
"""

import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headwise.checker.loading import load_function
from headwise.data import load_npz, read_arrays, read_idx, read_image, read_ts
from headwise.errors import HeadwiseError
from headwise.grading.rubric import read_rubric
from headwise.models import load
from headwise.train.checkpoint import load_vit

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))


def describe_onnx(path):
    pytest.importorskip("onnx")
    return pytest.importorskip("headwise.recorder.onnx_run").describe_onnx(path)


def load_gguf(path):
    pytest.importorskip("gguf")
    return load(path)


READERS = [
    ("array.npy", load_npz),
    ("arrays.npz", load_npz),
    ("X.csv", lambda path: read_arrays([path])),
    ("digits.idx", lambda path: read_idx(path, (2, 3, 3))),
    ("image.png", read_image),
    ("model.gguf", load_gguf),
    ("model.onnx", describe_onnx),
    ("model.safetensors", load_vit),
    ("model.safetensors", load),
    ("notebook.ipynb", lambda path: load_function(str(path))),
    ("rubric.yaml", read_rubric),
    ("series.ts", read_ts),
]


def damaged(content, rng):
    """One damaged version of a file: cut, repeated, or with bytes, numbers or a piece changed."""
    data, start = bytearray(content), int(rng.integers(len(content) + 1))
    match rng.integers(6):
        case 0:
            del data[start:]
        case 1:
            data[start:start] = bytes(rng.integers(0, 256, 8, dtype=np.uint8))
        case 2:
            del data[start : start + int(rng.integers(1, 20))]
        case 3:  # the largest and other special numbers, where a length may be
            data[start : start + 8] = [b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7, b"9" * 8][rng.integers(4)]
        case 4:
            data[start:start] = data[int(rng.integers(start + 1)) : start] * int(rng.integers(1, 4))
        case _:
            for place in rng.integers(0, len(data), int(rng.integers(1, 6))):
                data[place] = rng.integers(256)
    return bytes(data)


@pytest.mark.parametrize(("name", "read"), READERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_damaged_file_is_read_or_named(name, read, tmp_path):
    content = (CORPUS / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content)
    if path.suffix not in (".csv", ".ipynb"):  # one array is not enough, and there is no function
        read(path)
    failures = []
    start = int(os.environ.get("SEED", "0")) * EXAMPLES
    for seed in range(start, start + EXAMPLES):
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        try:
            with warnings.catch_warnings(action="ignore"):
                read(path)
        except HeadwiseError:
            pass
        except Exception as error:
            failures.append(f"seed {seed}: {type(error).__name__}: {str(error)[:100]}")
    assert not failures, "\n".join(failures)


def test_an_onnx_tensor_without_a_type_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(CORPUS / "model.onnx")
    model.graph.initializer.append(onnx.TensorProto(dims=[112, 101], name="scale"))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(HeadwiseError, match=r"model\.onnx: cannot be read as an ONNX model"):
        describe_onnx(tmp_path / "model.onnx")


def test_an_onnx_attribute_without_a_value_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(CORPUS / "model.onnx")
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    del softmax.attribute[:]
    softmax.attribute.append(onnx.AttributeProto(name="axis"))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(HeadwiseError, match="Softmax: its attribute axis has no value"):
        describe_onnx(tmp_path / "model.onnx")


def test_an_array_of_more_values_than_the_file_has_is_named(tmp_path):
    pytest.importorskip("gguf")
    header = struct.pack("<4sIQQQcIIQ", b"GGUF", 3, 0, 1, 1, b"a", 9, 0, 2**50)  # an array of 2^50 bytes
    (tmp_path / "model.gguf").write_bytes(header)
    with pytest.raises(HeadwiseError, match=r"model\.gguf: corrupt"):
        load(tmp_path / "model.gguf")


def test_a_zip_file_of_other_files_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as archive:
        archive.writestr("X.npy", "hello")
    with pytest.raises(HeadwiseError, match=r"arrays\.npz: its member 'X' is no array"):
        load_npz(tmp_path / "arrays.npz")


@pytest.mark.parametrize("name", ["notebook.ipynb", "rubric.yaml", "config.json"])
def test_a_file_that_is_nested_deeply_is_named(name, tmp_path):
    (tmp_path / name).write_text("[" * 100_000)
    read = dict(READERS).get(name, lambda path: load(path.parent))
    with pytest.raises(HeadwiseError, match=name):
        read(tmp_path / name)

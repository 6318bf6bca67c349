"""ONNX files under the `Model` protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, require_extra
from headwise.files import check_file
from headwise.hashing import fingerprint
from headwise.models.base import Capability
from headwise.models.frameworks.arguments import STATE_SCORES, InputOptions, InputReader, is_score
from headwise.models.frameworks.framework_model import Arrays, FrameworkModel
from headwise.models.frameworks.locations import PatchSizes, prefix_labels
from headwise.models.frameworks.texts import read_tokenizer
from headwise.recorder import Capture, capture

_TYPES = {"float16": np.float16, "float": np.float32, "double": np.float64, "int32": np.int32, "int64": np.int64}
_NO_GRADIENTS = "onnxruntime computes no gradients; load the model's weights with headwise.load for them."


def onnx_model(path: Path, options: InputOptions) -> FrameworkModel:
    """An .onnx file under the `Model` protocol.

    Raises
    ------
    DataError
        If there is no such file, or onnxruntime cannot run it.
    """
    with require_extra("Running an .onnx file", None, "onnx"):
        import onnxruntime
    check_file(path)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises many classes of errors
        raise DataError(f"{path}: onnxruntime cannot open it ({error}).") from None
    inputs = session.get_inputs()
    types = {i.name: kind for i in inputs if (kind := _TYPES.get(i.type.removeprefix("tensor(").rstrip(")")))}
    if options.tokenizer is None and any(np.dtype(kind).kind == "i" for kind in types.values()):
        beside = path.with_name("tokenizer.json")  # as exports of transformers have it
        options = replace(options, tokenizer=read_tokenizer(beside) if beside.is_file() else None)
    names = [output.name for output in session.get_outputs()]
    named = [name for name in ("logits", *names) if name in names and is_score(name)]
    scores = options.scores

    def typed(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        return {name: array.astype(types.get(name, array.dtype), copy=False) for name, array in arrays.items()}

    def run(arrays: Arrays) -> npt.NDArray[Any]:
        if scores is not None:
            return np.asarray(scores(dict(zip(names, session.run(None, typed(arrays)), strict=True))))
        if not named:
            raise DataError(f"model: it returns {', '.join(names)}, and no scores. {STATE_SCORES}.")
        found = np.asarray(session.run(named[:1], typed(arrays))[0])
        return found.astype(np.float32) if found.dtype == np.float16 else found

    def record(arrays: Arrays, layer: int | str | None) -> Capture:
        return capture(path, typed(arrays), layers=layer)

    reads_images = bool(inputs) and len(inputs[0].shape) == 4
    reader = InputReader.of([i.name for i in inputs], options, reads_images, options.preprocess)
    names_of_prefix = prefix_labels(_initializers(path)) if reads_images else ()
    replacement = None if reader.texts is None else reader.texts.replacement
    missing: dict[Capability, str] = {"gradients": _NO_GRADIENTS}
    return FrameworkModel(
        run,
        record,
        reader,
        None,
        missing,
        PatchSizes() if options.patch is None else PatchSizes((options.patch,), stated=True),
        names_of_prefix,
        options.fill,
        replacement,
        weights_digest=lambda: fingerprint(np.frombuffer(path.read_bytes(), np.uint8)),
    )


def _initializers(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a graph's parameters."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return [(array.name, tuple(array.dims)) for array in graph.initializer]

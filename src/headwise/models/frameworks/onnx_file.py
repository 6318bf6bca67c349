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
from headwise.recorder import Capture, capture

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
    types = {i.name: np.int32 if i.type == "tensor(int32)" else np.int64 for i in inputs if "int" in i.type}
    if types and options.tokenizer is None:
        options = replace(options, tokenizer=_tokenizer_of(path))
    names = [output.name for output in session.get_outputs()]
    named = [name for name in ("logits", *names) if name in names and is_score(name)]
    scores = options.scores

    def typed(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        return {
            name: array.astype(types.get(name, array.dtype if array.dtype != np.float64 else np.float32), copy=False)
            for name, array in arrays.items()
        }

    def run(arrays: Arrays) -> npt.NDArray[Any]:
        if scores is not None:
            return np.asarray(scores(dict(zip(names, session.run(None, typed(arrays)), strict=True))))
        if not named:
            raise DataError(f"model: it returns {', '.join(names)}, and no scores. {STATE_SCORES}.")
        return np.asarray(session.run(named[:1], typed(arrays))[0])

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


def _tokenizer_of(path: Path) -> Any:
    """The tokenizer.json in the folder of the file, as exports of transformers have it; None without one."""
    file = path.with_name("tokenizer.json")
    if not file.is_file():
        return None
    with require_extra("Preprocessing texts", "tokenizers", "models"):
        import tokenizers
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise DataError(f"{file}: {error}.") from None
    tokenizer.no_padding()
    return tokenizer


def _initializers(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a graph's parameters."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return [(array.name, tuple(array.dims)) for array in graph.initializer]

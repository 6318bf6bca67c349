"""ONNX files under the `Model` protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, require_extra
from headwise.hashing import fingerprint
from headwise.models.base import Capability
from headwise.models.frameworks.arguments import InputReader
from headwise.models.frameworks.framework_model import Arrays, FrameworkModel
from headwise.models.frameworks.images import ImageReader
from headwise.models.frameworks.locations import prefix_labels
from headwise.models.frameworks.texts import TextReader
from headwise.recorder import Capture, capture

_NO_GRADIENTS = "onnxruntime computes no gradients; load the model's weights with headwise.load for them."


def onnx_model(
    path: Path | str,
    *,
    tokenizer: Any = None,
    preprocess: Callable[..., Any] | None = None,
    scores: Callable[[Any], Any] | None = None,
    patch: tuple[int, int] | None = None,
    fill: float = 0.0,
) -> FrameworkModel:
    """An .onnx file under the `Model` protocol; see `headwise.models.open_model` for the parameters.

    Raises
    ------
    DataError
        If there is no such file, or onnxruntime cannot run it.
    """
    with require_extra("Running an .onnx file", None, "onnx"):
        import onnxruntime
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises many classes of errors
        raise DataError(f"{path}: onnxruntime cannot open it ({error}).") from None
    inputs = session.get_inputs()
    types = {i.name: np.int32 if i.type == "tensor(int32)" else np.int64 for i in inputs if "int" in i.type}
    names = [output.name for output in session.get_outputs()]
    chosen = names.index("logits") if "logits" in names else 0

    def typed(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        return {
            name: array.astype(types.get(name, array.dtype if array.dtype != np.float64 else np.float32), copy=False)
            for name, array in arrays.items()
        }

    def run(arrays: Arrays) -> npt.NDArray[Any]:
        outputs = session.run(None, typed(arrays))
        return np.asarray(outputs[chosen] if scores is None else scores(dict(zip(names, outputs, strict=True))))

    def record(arrays: Arrays, layer: int | None) -> Capture:
        return capture(path, typed(arrays), layers=layer)

    reads_images = bool(inputs) and len(inputs[0].shape) == 4
    reader = InputReader(
        [i.name for i in inputs],
        ImageReader(preprocess if reads_images else None),
        None if tokenizer is None else TextReader(tokenizer),
        reads_images,
        None if reads_images else preprocess,
    )
    patches = () if patch is None else (patch,)
    names_of_prefix = prefix_labels(_initializers(path)) if reads_images else ()
    replacement = None if reader.texts is None else reader.texts.replacement
    missing: dict[Capability, str] = {"gradients": _NO_GRADIENTS}
    return FrameworkModel(
        run,
        record,
        reader,
        None,
        missing,
        patches,
        names_of_prefix,
        fill,
        replacement,
        weights_digest=lambda: fingerprint(np.frombuffer(path.read_bytes(), np.uint8)),
    )


def _initializers(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a graph's parameters."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return [(array.name, tuple(array.dims)) for array in graph.initializer]

"""A run of a model as steps that can be compared with those of another: inputs, attention of each layer, outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.models.base import Model
from headwise.models.frameworks import FrameworkModel
from headwise.models.loaded_model import LoadedModel
from headwise.recorder import AttentionLayer, Capture
from headwise.shapes import Array

_ROWS = 256  # queries whose weights are compared in long sequences
_OUTPUTS = ("logits", "last_hidden_state", "pooler_output", "image_embeds", "text_embeds")


@dataclass(frozen=True, eq=False)
class Step:
    """One array of a run."""

    layer: int  # place of the attention call; −1 before the first, the number of calls after the last
    # values (all that comes before them: embedding, norm, projection), weights (queries, keys, positions, mask,
    # scale), the output of attention, or an output of the model
    part: str
    name: str  # of the attention module or the output
    array: Array

    def error(self, other: Step) -> float:
        """Largest difference, relative to the largest number; infinite for other shapes."""
        a, b = self.array, other.array
        if a.shape != b.shape:
            return float("inf")
        difference, largest = np.abs(a - b).max(initial=0), np.abs(b).max(initial=0)
        error = float(difference / largest) if largest else float(difference)
        return error if np.isfinite(error) else float("inf")

    def __str__(self) -> str:
        what = {
            "values": "the values of",
            "weights": "the attention weights of",
            "attention": "the output of",
            "output": "the model's output",
        }
        return f"{what[self.part]} {self.name}"


def prepared(model: Model, input: Any) -> dict[str, npt.NDArray[Any]]:
    """The arrays that a model is called with for an input, by the names of transformers where it has them."""
    if isinstance(model, FrameworkModel):
        arguments = model.reader.read(_named(model, input))
        return {"pixel_values" if name == arguments.image else name: a for name, a in arguments.arrays.items()}
    if isinstance(model, LoadedModel):
        return {name: np.asarray(a) for name, a in model.arrays(input).items()}
    return {}


def run_steps(model: Model, input: Any) -> list[Step]:
    """Run a model once and return its steps in order of execution."""
    capture = model.look(_named(model, input))
    steps = [step for i, layer in enumerate(capture.layers) for step in _of_layer(i, layer)]
    return [*steps, *_outputs(len(capture.layers), capture)]


def _named(model: Model, input: Any) -> Any:
    """Arrays by the argument names of the model; the first argument takes what has another name."""
    if not isinstance(input, Mapping) or not isinstance(model, FrameworkModel) or not model.reader.names:
        return input
    names = model.reader.names
    main = next((name for name in ("pixel_values", "input_ids", "input_features") if name in input), None)
    renamed = {name: array for name, array in input.items() if name in names}
    if main is not None and main not in names:
        renamed[names[0]] = input[main]
    return renamed or input


def _of_layer(index: int, layer: AttentionLayer) -> Iterator[Step]:
    heads, n = layer.shape[1], layer.shape[2]
    rows = None if n <= _ROWS else np.linspace(0, n - 1, _ROWS).astype(int)
    yield Step(index, "values", layer.name, np.repeat(layer.v, heads // layer.v.shape[1], axis=1))
    yield Step(index, "weights", layer.name, layer.weights(rows))
    yield Step(index, "attention", layer.name, layer.output)


def _outputs(index: int, capture: Capture) -> Iterator[Step]:
    """The outputs that have a common name, or the first of a model that names none."""
    output = capture.output
    for name in _OUTPUTS:
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if value is not None:
            yield Step(index, "output", name, _as_array(value))
    if not isinstance(output, Mapping) and not any(hasattr(output, name) for name in _OUTPUTS):
        first = output[0] if isinstance(output, list | tuple) else output
        yield Step(index, "output", "", _as_array(first))


def _as_array(value: Any) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.element_size() < 4 else value
        return np.asarray(value.numpy())
    return np.asarray(value)

"""Models of other frameworks under the `Model` protocol: torch modules and ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headwise.errors import DataError, MissingExtraError
from headwise.models.base import Capability, Tokens
from headwise.recorder import Capture, capture
from headwise.shapes import Array, BoolArray, bind

__all__ = ["Arrays", "FrameworkModel", "onnx_model", "torch_model"]

Arrays = Mapping[str, Any]  # by the names of the model's arguments, batch size 1


@dataclass(frozen=True, eq=False)
class FrameworkModel:
    """A model that another framework runs; its input is a mapping of argument names to arrays with batch size 1.

    An image is the one array with four axes (1, C, Y, X), normalised as the model expects it; its tokens are patches in
    reading order, after prefix tokens. Any other input is a sequence.

    Attributes
    ----------
    run : callable
        Returns the model's output for an input.
    record : callable
        Returns the `Capture` of an input.
    patch : (int, int), optional
        Height and width of an image's patches; by default the smallest square with at most one patch per token.
    fill : float
        What replaces the pixels of missing patches; 0 is the mean of normalised images.
    """

    run: Callable[[Arrays], Any]
    record: Callable[[Arrays], Capture]
    patch: tuple[int, int] | None = None
    fill: float = 0.0
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"tokens", "look", "predict"})

    def look(self, input: Arrays) -> Capture:
        """Run the model on one input and record its attention."""
        return self.record(input)

    def tokens(self, input: Arrays) -> Tokens:
        """The tokens of one input, as many as its first attention call has keys.

        Raises
        ------
        DataError
            If the patches do not fit the number of tokens.
        """
        count = self.look(input).layers[0].shape[3]
        name = _image_in(input)
        if name is None:
            return Tokens("other", np.zeros((count, 2), np.int64), np.zeros(count, bool))
        y, x = np.shape(input[name])[2:]
        height, width = self.patch or _square_patch(y, x, count)
        rows, columns = y // height, x // width
        prefix = count - rows * columns
        if prefix < 0:
            raise DataError(
                f"patch: expected at most {count} patches, the number of tokens; {height} x {width} pixels make "
                f"{rows} x {columns} of {y} x {x}."
            )
        corner = np.indices((rows, columns)).reshape(2, -1).T * (height, width)
        boxes = np.concatenate([corner, np.broadcast_to([height, width], corner.shape)], axis=1)
        located = np.concatenate([np.zeros((prefix, 4), np.int64), boxes])
        return Tokens("image", located, np.arange(count) < prefix)

    def predict(self, input: Arrays, keep: BoolArray | None = None) -> Array:
        """Scores (C,) of one input; with `keep` (S, T) scores (S, C) without the other tokens.

        Missing patches are filled in the image; missing tokens of a sequence are hidden by its ``attention_mask``.
        Prefix tokens are always kept.

        Raises
        ------
        DataError
            If the model returns no scores for the whole input, or a sequence has no attention mask.
        """
        if keep is None:
            return self._scores(input)
        tokens = self.tokens(input)
        bind(f"S {len(tokens)}", keep=keep)
        return np.stack([self._scores(self._without(input, tokens, row | tokens.prefix)) for row in keep])

    def gradients(self, input: Arrays, target: int) -> tuple[Array, ...]:
        """Raise DataError: gradients are not among the capabilities."""
        raise DataError("gradients: not available for models of other frameworks; load the weights with headwise.load.")

    def _without(self, input: Arrays, tokens: Tokens, keep: BoolArray) -> Arrays:
        name = _image_in(input)
        if name is not None:
            image = np.array(input[name])
            for top, left, height, width in tokens.locations[~keep]:
                image[..., top : top + height, left : left + width] = self.fill
            return {**input, name: image}
        if "attention_mask" not in input:
            raise DataError("keep: expected an input with an attention_mask, to hide missing tokens; it has none.")
        return {**input, "attention_mask": np.asarray(input["attention_mask"]) * keep}

    def _scores(self, input: Arrays) -> Array:
        output = self.run(input)
        scores = getattr(output, "logits", output)
        array = scores.detach().float().cpu().numpy() if hasattr(scores, "detach") else np.asarray(scores)
        if array.ndim != 2 or len(array) != 1 or array.dtype.kind != "f":
            raise DataError(
                f"model: expected scores of shape (1, classes) for one input; got {array.dtype} of {array.shape}."
            )
        return np.asarray(array[0])


def torch_model(module: Any, *, patch: tuple[int, int] | None = None, fill: float = 0.0) -> FrameworkModel:
    """A torch module under the `Model` protocol.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode; its arguments are the names of an input.
    patch, fill
        As in `FrameworkModel`.

    Raises
    ------
    DataError
        If the module is in training mode, in which dropout makes every run different.
    """
    import torch

    if module.training:
        raise DataError("module: expected a module in evaluation mode; call module.eval() first.")

    def call(function: Callable[..., Any], input: Arrays) -> Any:
        device = next((p.device for p in module.parameters()), None)
        tensors = {name: torch.as_tensor(np.asarray(array), device=device) for name, array in input.items()}
        with torch.no_grad():
            return function(**tensors)

    def record(**tensors: Any) -> Capture:
        return capture(module, **tensors)

    return FrameworkModel(lambda i: call(module, i), lambda i: call(record, i), patch, fill)


def onnx_model(path: Path | str, *, patch: tuple[int, int] | None = None, fill: float = 0.0) -> FrameworkModel:
    """An .onnx file under the `Model` protocol.

    Parameters
    ----------
    path : Path or str
    patch, fill
        As in `FrameworkModel`.

    Raises
    ------
    DataError
        If there is no such file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("Running an .onnx file", str(error.name), "onnx") from None
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(input: Arrays) -> Any:
        return session.run(None, {name: np.asarray(array) for name, array in input.items()})[0]

    return FrameworkModel(run, lambda input: capture(path, dict(input)), patch, fill)


def _image_in(input: Arrays) -> str | None:
    """Name of the image among the arrays of an input."""
    return next((name for name, array in input.items() if np.ndim(array) == 4), None)


def _square_patch(y: int, x: int, tokens: int) -> tuple[int, int]:
    """The smallest square patch that divides an image into at most so many tokens."""
    for side in range(1, min(y, x) + 1):
        if y % side == 0 and x % side == 0 and (y // side) * (x // side) <= tokens:
            return side, side
    raise DataError(f"patch: no square divides an image of {y} x {x} pixels into at most {tokens} tokens; pass patch=.")

"""One input of a model, as the arrays it is called with and what is known of its tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError
from headwise.models.frameworks.images import Box, ImageReader
from headwise.models.frameworks.texts import TextReader, read_tokenizer
from headwise.models.preprocess.texts import Tokenized

_IMAGE_FILES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_TIME_LAST = ("input_features", "input_values")  # audio: (1, bins, T) and (1, T)

STATE_SCORES = "In Python, headwise.models.open_model(model, scores=...) takes a function of the output"
_NO_SCORES = ("hidden", "embed", "pooler", "attention", "key_values", "cache", "loss")  # in names of outputs


@dataclass(frozen=True, eq=False)
class Arguments:
    """What a model is called with for one input."""

    arrays: Mapping[str, npt.NDArray[Any]]  # by the names of the model's arguments, batch size 1
    image: str = ""  # which of them is an image (1, C, Y, X); empty if none is
    box: Box | None = None  # left, top, right and bottom of what the model sees, in pixels of the user's image
    text: Tokenized | None = None  # the tokens of a text

    @property
    def series(self) -> tuple[str, int] | None:
        """Name of the array that is a series, and its axis of time (the last of sound); None if there is none."""
        for name, array in self.arrays.items():
            if name != self.image and array.dtype.kind == "f" and array.ndim in (2, 3):
                return name, array.ndim - 1 if name in _TIME_LAST or array.ndim == 2 else 1
        return None

    @property
    def vocabulary(self) -> float:
        """How many scores of next tokens there are at least: one more than the largest token id; infinite without."""
        ids = self.arrays.get("input_ids", next((a for a in self.arrays.values() if a.dtype.kind in "iu"), None))
        return np.inf if ids is None or self.image else int(ids.max(initial=0)) + 1


@dataclass(frozen=True, eq=False)
class InputOptions:
    """What a user passes because a model of another framework does not state it; see `headwise.models.open_model`."""

    tokenizer: Any = None
    preprocess: Callable[..., Any] | None = None
    scores: Callable[[Any], Any] | None = None
    patch: tuple[int, int] | None = None
    fill: float = 0.0


@dataclass(frozen=True, eq=False)
class InputReader:
    """How inputs become arguments."""

    names: Sequence[str]  # arguments of the model in order
    images: ImageReader
    texts: TextReader | None = None  # with a tokenizer
    reads_images: bool = False  # whether an array of three axes is an image, and not a batch of one series
    # prepares sound and series; called with the array, it returns arrays by name
    prepare: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, names: Sequence[str], options: InputOptions, reads_images: bool, preprocess: Any) -> InputReader:
        """The reader of a model with these arguments; `preprocess` is the user's or what the model states."""
        images = ImageReader(preprocess if reads_images else None)
        tokenizer = options.tokenizer
        if isinstance(tokenizer, str | Path):
            tokenizer = read_tokenizer(tokenizer)
        texts = None if tokenizer is None else TextReader(tokenizer)
        return cls(names, images, texts, reads_images, None if reads_images else options.preprocess)

    def read(self, input: Any) -> Arguments:
        """The arguments for one input.

        `input`: a mapping of arrays by the names of arguments; a text or a pair of texts, with a tokenizer; an image as
        a path, a PIL image or an array of uint8; a normalised image (C, Y, X); a series (N, V); sound (samples,); token
        ids (N,). Arrays may have a batch axis of size 1 in front.
        Raises DataError if the input is of another kind, or something is missing to prepare it.
        """
        if isinstance(input, Mapping):
            return self._given(input)
        if _is_text(input) and not (isinstance(input, str) and self._names_an_image(input)):
            if self.texts is None:
                raise DataError(
                    "tokenizer: expected one, to prepare a text: pass tokenizer= or --tokenizer, such as the folder "
                    "with its tokenizer.json, or token ids (N,)."
                )
            arrays, tokenized = self.texts.read(input, self.names)
            return Arguments(arrays, text=tokenized)
        array = _as_array(input)
        if array is None and not (isinstance(input, str | Path) or hasattr(input, "convert")):
            raise DataError(
                "input: expected one text, one image, one series, token ids or arrays by name; "
                f"got {type(input).__name__}."
            )
        if array is None or (array.dtype == np.uint8 and array.ndim in (2, 3)):
            pixels, box = self.images.read(input if array is None else array)
            return Arguments({self._name("pixel_values"): pixels}, self._name("pixel_values"), box)
        return self._array(array)

    def _given(self, input: Mapping[str, Any]) -> Arguments:
        arrays = {name: array for name, value in input.items() if (array := _as_array(value)) is not None}
        if missing := input.keys() - arrays.keys():
            raise DataError(f"input: expected arrays by name; {', '.join(sorted(missing))} is none.")
        image = next((name for name, array in arrays.items() if array.ndim == 4), "")
        text = None
        if self.texts is not None and "input_ids" in arrays:
            text = self.texts.tokens_of_ids(arrays["input_ids"][0])
        return Arguments(arrays, image, text=text)

    def _array(self, array: npt.NDArray[Any]) -> Arguments:
        """An array that enters the model as it is, with a batch axis."""
        if array.dtype.kind in "iu":
            ids = array[None] if array.ndim == 1 else array
            text = None if self.texts is None else self.texts.tokens_of_ids(ids[0])
            return Arguments({self._name("input_ids"): ids}, text=text)
        if array.dtype.kind != "f":
            raise DataError(f"input: expected numbers; got {array.dtype}.")
        if array.ndim == 4 or (array.ndim == 3 and self.reads_images):
            if array.shape[-1] <= 4 < array.shape[-3]:
                raise DataError(
                    f"input: expected an image (C, Y, X) as the model takes it; got {array.shape}. Channels last? Pass "
                    "pixels as uint8 or the name of a file, which are prepared for the model."
                )
            name = self._name("pixel_values")
            images = array.reshape(-1, *array.shape[-3:])
            if len(images) != 1:
                raise DataError(f"input: expected one image; got {len(images)}, {array.shape}. Pass them one by one.")
            return Arguments({name: images}, name)
        if self.prepare is not None:
            return Arguments({name: np.asarray(value) for name, value in dict(self.prepare(array)).items()})
        batch = array if array.ndim == 3 or (array.ndim == 2 and len(array) == 1) else array[None]
        if len(batch) != 1:
            raise DataError(f"input: expected one series (N, V), or a batch of one; got {array.shape}.")
        return Arguments({self.names[0] if self.names else "": batch})

    def _names_an_image(self, input: str) -> bool:
        return Path(input).suffix.lower() in _IMAGE_FILES and (self.texts is None or os.path.isfile(input))

    def _name(self, usual: str) -> str:
        """The argument: the usual name if the model has it, else its first."""
        return usual if usual in self.names or not self.names else self.names[0]


def is_score(name: str) -> bool:
    """Whether an output of this name may be scores: not if it is hidden states, embeddings or attention."""
    return not any(word in name for word in _NO_SCORES)


def _is_text(input: Any) -> bool:
    """A text, or a pair of texts."""
    return isinstance(input, str) or (
        isinstance(input, tuple) and len(input) == 2 and all(isinstance(part, str) for part in input)
    )


def _as_array(input: Any) -> npt.NDArray[Any] | None:
    """Arrays, tensors and lists of numbers as an array; None for paths and PIL images."""
    if hasattr(input, "detach"):
        return np.asarray(input.detach().cpu().numpy())
    if isinstance(input, np.ndarray | list):
        array = np.asarray(input)
        return array if array.dtype.kind in "biufc" else None
    return None

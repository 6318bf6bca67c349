"""A model that another framework runs, under the `Model` protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, HeadwiseError
from headwise.models.base import CAPABILITIES, Capability, Tokens, in_batches, with_prefix_tokens
from headwise.models.frameworks.arguments import STATE_SCORES, Arguments, InputReader
from headwise.models.frameworks.locations import (
    Grid,
    PatchSizes,
    TokenResponse,
    image_tokens,
    measure_response,
    series_tokens,
)
from headwise.recorder import AttentionLayer, Capture
from headwise.shapes import Array, BoolArray

Arrays = Mapping[str, npt.NDArray[Any]]  # by the names of the model's arguments

_SUBSETS_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class FrameworkModel:
    """A model that another framework runs; see `headwise.models.open_model` for its inputs.

    Tokens are located by running the model on other inputs, once for each size of the input: prefix tokens are those
    whose keys and values in the first layer do not depend on the input; the others are steps, or patches in reading
    order if they depend on the halves of the image as patches do.

    Attributes
    ----------
    run : callable
        Returns the model's scores for arrays by name: (B, classes), or (B, N, vocabulary) of the next tokens.
    record : callable
        Returns the `Capture` of arrays by name, of chosen layers or all, as `headwise.capture`.
    reader : InputReader
    gradient : callable, optional
        Returns the gradients of a score with respect to the attention weights of each layer.
    missing : mapping
        Why some of the methods cannot be called.
    patches : PatchSizes
    prefix : tuple of str
        Names of the prefix tokens of an image or a series.
    fill : float
        What replaces the pixels and steps of missing tokens; 0 is the mean of normalised images.
    replacement : int, optional
        The token id that replaces missing tokens of a text where the model takes no ``attention_mask``.
    batches : bool
        Whether the model takes several items at once.
    double : callable, optional
        Returns the same model in float64.
    weights_digest : callable, optional
        Returns a digest of the parameters.
    layers : str, optional
        Which attention layers the model consists of, as names of modules for `headwise.capture`: such as those of one
        stage, whose tokens are other ones. All by default.
    """

    run: Callable[[Arrays], npt.NDArray[Any]]
    record: Callable[[Arrays, int | str | None], Capture]
    reader: InputReader
    gradient: Callable[[Arrays, int], tuple[Array, ...]] | None
    missing: Mapping[Capability, str]
    patches: PatchSizes = field(default_factory=PatchSizes)
    prefix: tuple[str, ...] = ()
    fill: float = 0.0
    replacement: int | None = None
    batches: bool = False
    double: Callable[[], FrameworkModel] | None = None
    weights_digest: Callable[[], str] | None = None
    layers: str | None = None
    responses: dict[Any, TokenResponse] = field(default_factory=dict, init=False, repr=False)  # by the input's shape

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which methods of the `Model` protocol can be called."""
        return frozenset(CAPABILITIES) - self.missing.keys()

    def restrict(self, layers: str) -> FrameworkModel:
        """The same model as if it consisted of these layers, whose tokens need not be the patches that it states."""
        return replace(self, layers=layers, patches=replace(self.patches, stated=False))

    def look(self, input: Any) -> Capture:
        """Run the model on one input and record its attention."""
        return self._record(self.reader.read(input), self.layers)

    def tokens(self, input: Any) -> Tokens:
        """The tokens of one input, as many as its first attention layer has keys.

        Raises
        ------
        DataError
            If they cannot be located; the message says why.
        """
        return self._tokens(self.reader.read(input))

    def predict(self, input: Any, keep: BoolArray | None = None) -> Array:
        """Scores (C,) of one input; with `keep` (S, T) scores (S, C) without the other tokens.

        Missing patches and steps are filled; missing tokens of a text are hidden by its ``attention_mask``, or replaced
        where the model takes none. Prefix tokens are always kept.

        Raises
        ------
        DataError
            If the model returns no scores for the whole input, or tokens cannot be removed.
        """
        arguments = self.reader.read(input)
        if keep is None:
            return np.asarray(self._scores(arguments, arguments.arrays, None)[0])
        tokens = self._tokens(arguments)
        keep = with_prefix_tokens(keep, tokens.prefix)
        if not len(keep):
            return np.zeros((0, len(self.predict(input))), np.float32)
        at_once = _SUBSETS_AT_ONCE if self.batches else 1

        def scores(sets: BoolArray) -> Array:
            return self._scores(arguments, self._without(arguments, tokens, sets), sets)

        return in_batches(scores, keep, at_once)

    def gradients(self, input: Any, target: int) -> tuple[Array, ...]:
        """Gradients of the target's score with respect to the weights of each layer, (1, H, N, M) each.

        Raises
        ------
        DataError
            If they cannot be computed; the message says why.
        """
        if self.gradient is None:
            raise DataError(f"gradients: {self.missing['gradients']}")
        arrays = self.reader.read(input).arrays
        with running(arrays):
            gradients = self.gradient(arrays, target)
        return gradients if self.layers is None else tuple(gradients[layer.index] for layer in self.look(input).layers)

    def _tokens(self, arguments: Arguments) -> Tokens:
        located = arguments.image or (arguments.series or ("",))[0]
        if located and arguments.text is None:
            key = located, arguments.arrays[located].shape
            if key not in self.responses:
                self.responses[key] = measure_response(arguments, located, self._first_layer)
            if arguments.image:
                return image_tokens(arguments, self.responses[key], self.prefix, self.patches)
            return series_tokens(arguments, self.responses[key].unchanged, self.prefix)
        count = self._first_layer(arguments).shape[3]
        text = arguments.text
        if text is None:
            ids = next((array[0] for array in arguments.arrays.values() if array.dtype.kind in "iu"), np.zeros(0))
            labels = tuple(map(str, ids)) if ids.shape == (count,) else ()
            return Tokens("other", np.zeros((count, 2), np.int64), np.zeros(count, bool), labels)
        if len(text.special) != count:
            raise DataError(f"tokens: the text has {len(text.special)}, but the first layer attends to {count}.")
        return Tokens("text" if text.text else "other", text.spans, text.special, text.labels, text.text)

    def _first_layer(self, arguments: Arguments) -> AttentionLayer:
        return self._record(arguments, 0 if self.layers is None else self.layers).layers[0]

    def _record(self, arguments: Arguments, layer: int | str | None) -> Capture:
        with running(arguments.arrays):
            return self.record(arguments.arrays, layer)

    def _without(self, arguments: Arguments, tokens: Tokens, keep: BoolArray) -> Arrays:
        """Arrays of S copies of the input, each without the tokens that its row does not keep."""
        arrays = {name: np.repeat(array, len(keep), axis=0) for name, array in arguments.arrays.items()}
        if arguments.image:
            pixels, places = arrays[arguments.image], keep[:, ~tokens.prefix]
            grid = self.patches.grid(pixels.shape[2], pixels.shape[3], places.shape[1])
            assert grid is not None  # the tokens were located in it
            _fill_patches(pixels, places, grid, self.fill)
        elif tokens.kind == "series" and arguments.series is not None:
            _fill_steps(arrays[arguments.series[0]], tokens, keep, self.fill)
        elif "attention_mask" in arrays:
            arrays["attention_mask"] = arrays["attention_mask"] * keep
        elif "input_ids" in arrays and self.reader.names and "attention_mask" in self.reader.names:
            arrays["attention_mask"] = keep.astype(np.int64)
        else:
            name = next((name for name, array in arrays.items() if array.shape == keep.shape), "")
            if not name or self.replacement is None or arrays[name].dtype.kind not in "iu":
                raise DataError(
                    "keep: tokens cannot be removed, because the model takes no attention_mask and its tokenizer has "
                    "no mask, unknown or padding token to replace them with."
                )
            arrays[name] = np.where(keep, arrays[name], self.replacement)
        return arrays

    def _scores(self, arguments: Arguments, arrays: Arrays, keep: BoolArray | None) -> Array:
        """Scores (S, C), of classes or of the token after the last one that is kept."""
        with running(arrays):
            scores = self.run(arrays)
        items = 1 if keep is None else len(keep)
        if scores.ndim == 1 and items == 1:
            scores = scores[None]
        if scores.ndim == 3 and len(scores) == items and arguments.vocabulary <= scores.shape[2]:
            mask = self._first_layer(arguments).mask
            if mask is not None and mask.causal:
                last = scores.shape[1] - 1 if keep is None else keep.shape[1] - 1 - keep[:, ::-1].argmax(axis=1)
                return np.asarray(scores[np.arange(items), last])
        if scores.ndim != 2 or len(scores) != items or scores.dtype.kind != "f":
            raise DataError(
                "model: expected scores of classes (1, C), or of the next token of a causal model, (1, N, vocabulary), "
                f"for one input; got {scores.dtype} of {scores.shape}. {STATE_SCORES}."
            )
        return np.asarray(scores)


@contextmanager
def running(arrays: Arrays) -> Iterator[None]:
    """An error of the model itself as one of this package, which says what the model was called with."""
    try:
        yield
    except HeadwiseError:
        raise
    except Exception as error:  # whatever a user's model raises
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
        reason = shorten(str(error), 300)
        raise DataError(f"model: called with {shapes}, it raised {type(error).__name__}: {reason}") from error


def _fill_patches(pixels: Array, keep: BoolArray, grid: Grid, fill: float) -> None:
    """Fill the patches that are not kept, in the pixels that the model reads."""
    y, x = grid.edges(0), grid.edges(1)
    for image, row in zip(pixels, keep, strict=True):
        for down, right in np.argwhere(~row.reshape(grid.shape)):
            image[:, y[down] : y[down + 1], x[right] : x[right + 1]] = fill


def _fill_steps(series: Array, tokens: Tokens, keep: BoolArray, fill: float) -> None:
    """Fill the steps that are not kept."""
    steps = int(tokens.locations.max())
    axis = next(axis for axis in range(1, series.ndim) if series.shape[axis] == steps)
    moved = np.moveaxis(series, axis, 1)
    for item, row in zip(moved, keep, strict=True):
        for first, end in tokens.locations[~row]:
            item[first:end] = fill

"""Where the tokens of a model's first attention layer lie in an image or a series: patches, steps, prefix tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headwise.errors import DataError
from headwise.models.base import Tokens, patch_boxes, patch_labels
from headwise.models.frameworks.arguments import Arguments
from headwise.recorder import AttentionLayer
from headwise.shapes import Array, BoolArray, IntArray

_KNOWN_PREFIXES = {
    "cls_token": "[CLS]", "class_token": "[CLS]", "class_embedding": "[CLS]", "cls": "[CLS]",
    "dist_token": "[DIST]", "distillation_token": "[DIST]",
    "reg_token": "[REG]", "register_tokens": "[REG]", "reg_tokens": "[REG]", "storage_tokens": "[REG]",
}  # fmt: skip
_SAME = 1e-5  # largest change of a key that does not depend on the input, relative to the largest key
_CONTRAST = 0.1  # least difference between the two halves of a grid of tokens in how they depend on a half of the image
_ANISOTROPY = 4  # largest ratio of these differences along rows and columns; of Next-ViT's runs of tokens it is over 5


@dataclass(frozen=True)
class Grid:
    """Rows and columns of tokens in reading order, and the height and width in pixels of what each stands for."""

    shape: tuple[int, int]
    patch: tuple[float, float]

    def edges(self, axis: int) -> IntArray:
        """The first pixel of each row or column, and the end of the last."""
        return (np.arange(self.shape[axis] + 1) * self.patch[axis]).round().astype(np.int64)


@dataclass(frozen=True)
class PatchSizes:
    """Heights and widths that the patches of an image may have."""

    sizes: tuple[tuple[int, int], ...] = ()
    stated: bool = False  # by the user or the model; otherwise equal parts are possible too

    def grid(self, height: int, width: int, count: int) -> Grid | None:
        """The first grid of this number of tokens: patches, or equal parts as wide as high; None if there is none."""
        grids = [Grid((height // tall, width // wide), (tall, wide)) for tall, wide in self.sizes]
        shapes = [] if self.stated else [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
        grids += [
            Grid((rows, columns), (height / rows, width / columns))
            for rows, columns in shapes
            if abs(rows - columns * height / width) < 1 or abs(columns - rows * width / height) < 1
        ]
        return next((grid for grid in grids if grid.shape[0] * grid.shape[1] == count), None)


@dataclass(frozen=True)
class TokenResponse:
    """How the keys and values of a model's first attention layer change with its input."""

    layer: str
    unchanged: BoolArray  # (M,): they are the same for another input
    padding: BoolArray  # (M,): they are so too, and the same for several tokens
    halves: Array  # (2, M): change by noise in the upper (left) half of an image, divided by that plus the other half's

    def obstacle(self, grid: Grid | None) -> str:
        """Why the tokens that change are not the cells of this grid; empty if they are.

        A token depends most on its own side of the image, and along rows about as much as along columns.
        """
        shares = self.halves[:, ~self.unchanged]
        if shares.shape[1] > 1 and shares.std(axis=1).max() < _CONTRAST / 2:
            return "each depends on the whole image alike, as in attention between channels (XCiT), or deep in a model"
        if grid is None:
            return "there is no grid of so many tokens in the image's proportions"
        cells = shares.reshape(2, *grid.shape)
        axes = [axis for axis in (0, 1) if grid.shape[axis] > 1]
        own = [_contrast(cells[axis], axis) for axis in axes]
        other = [abs(_contrast(cells[axis], 1 - axis)) for axis in axes]
        if own and (min(own) < max(_CONTRAST, max(own) / _ANISOTROPY) or max(other) > max(own) / 2):
            return "they do not depend on the parts that a grid gives them, as with windows or pooled runs (Next-ViT)"
        return ""


def prefix_labels(shapes: Sequence[tuple[str, Sequence[int]]]) -> tuple[str, ...]:
    """Names of prefix tokens in their usual order, from the names and shapes of a model's parameters."""
    counts = dict.fromkeys(("[CLS]", "[DIST]", "[REG]"), 0)
    for name, shape in shapes:
        label = _KNOWN_PREFIXES.get(name.rpartition(".")[2])
        if label is not None:
            counts[label] = max(counts[label], int(shape[-2]) if len(shape) > 1 else 1)
    registers = tuple(f"[REG{i + 1}]" for i in range(counts["[REG]"]))
    return ("[CLS]",) * counts["[CLS]"] + ("[DIST]",) * counts["[DIST]"] + registers


def measure_response(
    arguments: Arguments, name: str, first_layer: Callable[[Arguments], AttentionLayer]
) -> TokenResponse:
    """Compare the first layer for an input array with that for noise, or noise in each half of an image."""
    array = arguments.arrays[name]
    noise = np.random.default_rng([2, 3, 5]).normal(size=array.shape).astype(array.dtype)  # no input of a user
    inputs = [array, noise]
    if name == arguments.image:
        upper, left = (np.arange(side) < side // 2 for side in array.shape[2:])
        inputs = [array, *(np.where(half, noise, array) for half in (upper[:, None], ~upper[:, None], left, ~left))]
    layers = [first_layer(Arguments({**arguments.arrays, name: values}, arguments.image)) for values in inputs]
    if layers[0].shape[0] != 1:
        raise DataError(
            f"tokens: the first attention layer, {layers[0].name}, attends within {layers[0].shape[0]} groups of "
            "tokens (windows, channels); the model has no common list of tokens."
        )
    if any(layer.shape != layers[0].shape for layer in layers):
        raise DataError("tokens: their number depends on the values of the input.")
    scales = [max(float(np.abs(part).max(initial=0)), 1e-30) for part in (layers[0].k, layers[0].v)]
    own, *others = [
        np.concatenate([_rows(layer.k) / scales[0], _rows(layer.v) / scales[1]], axis=1) for layer in layers
    ]
    unchanged = np.all([np.abs(other - own).max(axis=1) <= _SAME for other in others], axis=0)
    alike = [(np.abs(own - row).max(axis=1) <= _SAME).sum() > 1 for row in own[unchanged]]
    padding = unchanged.copy()
    padding[unchanged] = alike
    changes = np.stack([np.linalg.norm(other - own, axis=1) for other in others])
    halves = changes[::2] / np.maximum(changes[::2] + changes[1::2], _SAME) if len(changes) > 1 else changes
    return TokenResponse(layers[0].name, unchanged, padding, halves)


def image_tokens(arguments: Arguments, response: TokenResponse, labels: Sequence[str], patches: PatchSizes) -> Tokens:
    """Prefix tokens wherever they are, and patches in reading order, whose boxes are in pixels of the user's image.

    The prefix tokens have these labels if their number fits.
    """
    height, width = arguments.arrays[arguments.image].shape[2:]
    if not response.unchanged.any() and not patches.grid(height, width, len(response.unchanged)):
        # where activations are rounded by their common range, no token is independent of the input
        response = replace(response, unchanged=np.arange(len(response.unchanged)) < len(labels))
    prefix = response.unchanged
    count = int((~prefix).sum())
    grid = patches.grid(height, width, count)
    if grid is None and patches.stated:
        expected = " or ".join(
            f"{(height // tall) * (width // wide)} tokens of {tall} x {wide} pixels" for tall, wide in patches.sizes
        )
        raise DataError(
            f"patch: an image of {height} x {width} pixels has {expected}; the first layer has {count} (besides "
            "prefix tokens). If the model drops or merges tokens, their places are unknown."
        )
    obstacle = response.obstacle(grid)
    if obstacle or grid is None:
        raise DataError(
            f"patch: the {count} keys of {response.layer} (besides prefix tokens) cannot be drawn over an image of "
            f"{height} x {width} pixels: {obstacle}. hw.capture records their weights. Patches that are not square can "
            "be stated: headwise.models.open_model(model, patch=(height, width))."
        )
    area = arguments.box or (0.0, 0.0, float(width), float(height))
    boxes = patch_boxes(area, (height, width), grid.patch, grid.shape)
    if len(labels) != prefix.sum():
        rest = iter(labels if len(labels) == (prefix & ~response.padding).sum() else ())
        labels = ["[PAD]" if padded else next(rest, f"[{i + 1}]") for i, padded in enumerate(response.padding[prefix])]
    return Tokens("image", *_scattered(boxes, prefix, labels, patch_labels(*grid.shape)), patches=grid.shape)


def series_tokens(arguments: Arguments, prefix: BoolArray, labels: Sequence[str]) -> Tokens:
    """Steps, or equal parts, of a series; a part of sound is as long as the tokens are apart."""
    assert arguments.series is not None
    name, axis = arguments.series
    array = arguments.arrays[name]
    count = int((~prefix).sum())
    lengths = [array.shape[a] for a in (axis, *range(1, array.ndim)) if array.shape[a] >= count]
    exact = [length for length in lengths if length == count]
    if not lengths or not count:
        raise DataError(f"tokens: {count} tokens do not come from the steps of a series of shape {array.shape}.")
    steps = (exact or lengths)[0]
    edges = np.arange(count + 1) * steps // count
    spans = np.stack([edges[:-1], edges[1:]], axis=1)
    return Tokens("series", *_scattered(spans, prefix, labels, [str(first) for first in edges[:-1]]))


def _scattered(
    locations: IntArray, prefix: BoolArray, labels: Sequence[str], names: Sequence[str]
) -> tuple[IntArray, BoolArray, tuple[str, ...]]:
    """Locations and labels of all tokens in their order."""
    count = int(prefix.sum())
    special = list(labels) if len(labels) == count else [f"[{i + 1}]" for i in range(count)]
    located = np.zeros((len(prefix), locations.shape[1]), np.int64)
    located[~prefix] = locations
    of_prefix, of_others = iter(special), iter(names)
    return located, prefix, tuple(next(of_prefix if is_prefix else of_others) for is_prefix in prefix)


def _contrast(cells: Array, axis: int) -> float:
    """How much larger the mean of the first half along an axis is than that of the second."""
    half = cells.shape[axis] // 2
    first, second = (np.take(cells, range(*ends), axis) for ends in ((half,), (-half, 0)))
    return float(first.mean() - second.mean()) if half else 0.0


def _rows(keys: Array) -> Array:
    """(M, G d): the keys or values (1, G, M, d) of each token."""
    return np.moveaxis(keys[0], 1, 0).reshape(keys.shape[2], -1)

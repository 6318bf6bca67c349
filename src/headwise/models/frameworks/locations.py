"""Where the tokens of a model's first attention layer lie in an image or a series: patches, steps, prefix tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class PatchSizes:
    """Heights and widths that the patches of an image may have."""

    sizes: tuple[tuple[int, int], ...] = ()
    stated: bool = False  # by the user or the model; otherwise squares are possible too

    def fitting(self, height: int, width: int, count: int) -> tuple[int, int] | None:
        """The first size that gives this number of patches; None if there is none."""
        sides = (side for side in range(1, min(height, width) + 1) if height % side == 0 and width % side == 0)
        squares = () if self.stated else ((side, side) for side in sides)
        sizes = (*self.sizes, *squares)
        return next(((tall, wide) for tall, wide in sizes if (height // tall) * (width // wide) == count), None)


def prefix_labels(shapes: Sequence[tuple[str, Sequence[int]]]) -> tuple[str, ...]:
    """Names of prefix tokens in their usual order, from the names and shapes of a model's parameters."""
    counts = dict.fromkeys(("[CLS]", "[DIST]", "[REG]"), 0)
    for name, shape in shapes:
        label = _KNOWN_PREFIXES.get(name.rpartition(".")[2])
        if label is not None:
            counts[label] = max(counts[label], int(shape[-2]) if len(shape) > 1 else 1)
    registers = tuple(f"[REG{i + 1}]" for i in range(counts["[REG]"]))
    return ("[CLS]",) * counts["[CLS]"] + ("[DIST]",) * counts["[DIST]"] + registers


def unchanged_tokens(arguments: Arguments, name: str, first_layer: Callable[[Arguments], AttentionLayer]) -> BoolArray:
    """Which tokens (M,) do not depend on an input array: their keys and values in the first layer stay the same."""
    array = arguments.arrays[name]
    noise = np.random.default_rng([2, 3, 5]).normal(size=array.shape).astype(array.dtype)  # no input of a user
    other = Arguments({**arguments.arrays, name: noise}, arguments.image)
    layers = [first_layer(arguments), first_layer(other)]
    if layers[0].shape[0] != 1:
        raise DataError(
            f"tokens: the first attention layer, {layers[0].name}, attends within {layers[0].shape[0]} groups of "
            "tokens (windows, channels); the model has no common list of tokens."
        )
    if layers[0].shape != layers[1].shape:
        raise DataError("tokens: their number depends on the values of the input.")
    same = [_same(getattr(layers[0], part), getattr(layers[1], part)) for part in ("k", "v")]
    return np.asarray(same[0] & same[1])


def image_tokens(arguments: Arguments, prefix: BoolArray, labels: Sequence[str], patches: PatchSizes) -> Tokens:
    """Prefix tokens wherever they are, and patches in reading order, whose boxes are in pixels of the user's image.

    The prefix tokens have these labels if their number fits.
    """
    height, width = arguments.arrays[arguments.image].shape[2:]
    if not prefix.any() and not patches.fitting(height, width, len(prefix)):
        # where activations are rounded by their common range, no token is independent of the input
        prefix = np.arange(len(prefix)) < len(labels)
    count = int((~prefix).sum())
    patch = patch_size(height, width, count, patches)
    grid = height // patch[0], width // patch[1]
    boxes = patch_boxes(arguments.box or (0.0, 0.0, float(width), float(height)), (height, width), patch, grid)
    return Tokens("image", *_scattered(boxes, prefix, labels, patch_labels(*grid)), patches=grid)


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


def patch_size(height: int, width: int, count: int, patches: PatchSizes) -> tuple[int, int]:
    """Height and width of patches that give this number of tokens."""
    if fitting := patches.fitting(height, width, count):
        return fitting
    if patches.stated:
        expected = " or ".join(
            f"{(height // tall) * (width // wide)} tokens of {tall} x {wide} pixels" for tall, wide in patches.sizes
        )
        raise DataError(
            f"patch: an image of {height} x {width} pixels has {expected}; the first layer has {count} (besides "
            "prefix tokens). If the model drops or merges tokens, their places are unknown."
        )
    raise DataError(
        f"patch: no square patches divide an image of {height} x {width} pixels into {count} tokens (besides prefix "
        "tokens). Patches that are not square can be stated: headwise.models.open_model(model, patch=(height, width)). "
        "Patches that overlap (as in PiT) and attention among channels (as in XCiT) cannot be drawn over an image; "
        "hw.capture records their weights."
    )


def _same(a: Array, b: Array) -> BoolArray:
    """Whether each of M rows of (1, G, M, d) is the same in both."""
    return np.asarray(np.abs(a - b).max(axis=(0, 1, 3), initial=0) <= _SAME * np.abs(a).max(initial=0))

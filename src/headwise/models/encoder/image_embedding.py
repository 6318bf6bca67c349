"""Embedding of images: patches, prefix tokens and positions that follow the size of the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError, ShapeError
from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.models.encoder.positions import resample_backward, resample_forward
from headwise.nn import LinearCache, Params, linear_backward_parallel, linear_forward, subtree, with_prefix
from headwise.nn.params import collect
from headwise.shapes import Array


@dataclass(frozen=True)
class ImageEmbedding:
    """How pixels become tokens."""

    patch: tuple[int, int]  # height and width of a patch in pixels
    channels: int
    grid: tuple[int, int]  # rows and columns of patches that the position table was trained for
    # parameters of the tokens before the patches, in order, such as ``("class_token", "register_tokens")``
    prefix: tuple[str, ...] = ("class_token",)
    positioned: tuple[str, ...] = ("class_token",)  # which of them have rows in the position table, in its order
    interpolation: str = "bicubic"  # one of `INTERPOLATIONS`, for images of another size
    norm: Norm = field(default_factory=Norm)  # used if the parameters contain ``norm``

    def patch_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of whole patches in an image; pixels beyond them are not read, as by a convolution."""
        return height // self.patch[0], width // self.patch[1]


class ImageEmbeddingCache(NamedTuple):
    """The image's shape and grid of patches, the shapes of the prefix tokens, and caches of projection and norm."""

    options: ImageEmbedding
    shape: tuple[int, ...]
    grid: tuple[int, int]
    prefix: dict[str, tuple[int, ...]]
    positioned: int
    projection: LinearCache
    norm: NormCache | None


def image_embedding_forward(
    pixel_values: Array, params: Params, options: ImageEmbedding
) -> tuple[Array, ImageEmbeddingCache]:
    """Embed images (B, C, Y, X) as prefix tokens and patches (B, N, D), these from left to right and top to bottom.

    Params are ``patch`` (D, C · P · P), ``position`` (R + patches, D) if there are positions, each of the prefix tokens
    (D,) or (R, D), and optionally ``norm``.
    """
    patches, grid = _cut(pixel_values, options)
    x, projection = linear_forward(patches, subtree(params, "patch"))
    prefix = {name: np.atleast_2d(params[name]) for name in options.prefix}
    rows = sum(len(prefix[name]) for name in options.positioned)
    if "position" in params:
        table = _position_table(params["position"], rows, grid, options)
        x = x + table[rows:]
        start = 0
        for name in options.positioned:
            stop = start + len(prefix[name])
            prefix[name] = prefix[name] + table[start:stop]
            start = stop
    tokens = [np.broadcast_to(token, (len(x), *token.shape)) for token in prefix.values()]
    x = np.concatenate([*tokens, x], axis=1)
    norm = None
    if gain := subtree(params, "norm"):
        x, norm = norm_forward(x, gain, options.norm)
    shapes = {name: params[name].shape for name in options.prefix}
    positioned = rows if "position" in params else -1
    return x, ImageEmbeddingCache(options, pixel_values.shape, grid, shapes, positioned, projection, norm)


def image_embedding_backward(dy: Array, cache: ImageEmbeddingCache) -> tuple[Array, Params]:
    """Gradients with respect to the pixels (B, C, Y, X), and to the parameters."""
    options, grads, dx = cache.options, Params(), dy
    if cache.norm is not None:
        dx = collect(grads, "norm", norm_backward(dx, cache.norm))
    total = dx.sum(axis=0)  # tokens and positions are the same in every image
    start = 0
    position_rows = []
    for name, shape in cache.prefix.items():
        stop = start + (1 if len(shape) == 1 else shape[0])
        grads[name] = total[start:stop].reshape(shape)
        if name in options.positioned:
            position_rows.append(total[start:stop])
        start = stop
    if cache.positioned >= 0:
        dpatches = total[start:]
        if cache.grid != options.grid:
            resampled = resample_backward(dpatches.reshape(*cache.grid, -1), options.grid, options.interpolation)
            dpatches = resampled.reshape(-1, dy.shape[-1])
        grads["position"] = np.concatenate([*position_rows, dpatches])
    dpatches, patch_grads = linear_backward_parallel(dx[:, start:], cache.projection)
    return _paste(dpatches, cache), grads | with_prefix("patch", patch_grads)


def _position_table(table: Array, rows: int, grid: tuple[int, int], options: ImageEmbedding) -> Array:
    if len(table) != rows + options.grid[0] * options.grid[1]:
        raise DataError(
            f"position embeddings: expected {rows} + {options.grid[0]} · {options.grid[1]} rows; got {len(table)}."
        )
    if grid == options.grid:
        return table
    patches = resample_forward(table[rows:].reshape(*options.grid, -1), grid, options.interpolation)
    return np.concatenate([table[:rows], patches.reshape(-1, table.shape[1])])


def _cut(pixel_values: Array, options: ImageEmbedding) -> tuple[Array, tuple[int, int]]:
    """(B, C, Y, X) -> (B, patches, C · P · P), and the grid of patches."""
    if pixel_values.ndim != 4 or pixel_values.shape[1] != options.channels:
        raise ShapeError(f"pixel_values: expected (B, C={options.channels}, Y, X); got {pixel_values.shape}.")
    b, c, height, width = pixel_values.shape
    (down, across), (tall, wide) = options.patch_grid(height, width), options.patch
    if not down * across:
        raise ShapeError(f"pixel_values: expected at least {tall} × {wide} pixels, one patch; got {height} × {width}.")
    cropped = pixel_values[:, :, : down * tall, : across * wide]
    cut = cropped.reshape(b, c, down, tall, across, wide).transpose(0, 2, 4, 1, 3, 5)
    return cut.reshape(b, down * across, c * tall * wide), (down, across)


def _paste(dpatches: Array, cache: ImageEmbeddingCache) -> Array:
    """The inverse of `_cut`; zeros where pixels were not read."""
    (down, across), (tall, wide) = cache.grid, cache.options.patch
    b, c = cache.shape[:2]
    pasted = dpatches.reshape(b, down, across, c, tall, wide).transpose(0, 3, 1, 4, 2, 5)
    dpixels = np.zeros(cache.shape, dpatches.dtype)
    dpixels[:, :, : down * tall, : across * wide] = pasted.reshape(b, c, down * tall, across * wide)
    return dpixels

"""Inputs as figures show them: an image in the colours and at the size that the model sees, the values of a series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.models import Model, Tokens
from headwise.models.base import grid_boxes
from headwise.models.preprocess.images import NORMALIZATIONS, open_image
from headwise.shapes import Array, IntArray

_MEAN, _STD = (np.array(values, np.float32) for values in NORMALIZATIONS["imagenet"])  # by which most models normalise
_PATCH = 16  # pixels of a patch whose size is unknown
_MAX_POINTS = 4000  # of a curve; of a longer one, each point is the largest of some samples


def displayed_image(model: Model, input: Any, tokens: Tokens) -> tuple[Array, IntArray]:
    """The image (Y, X) or (Y, X, 3) from 0 to 1 at the model's size, and the boxes (N, 4) of its tokens."""
    boxes = tokens.locations[~tokens.prefix]
    pixels = _pixels(input)
    if pixels is not None:  # an array as the model takes it
        return _denormalize(pixels), boxes
    image = open_image(input)
    top, left = boxes[:, :2].min(axis=0).tolist()
    bottom, right = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    grid = tokens.grid
    if grid is None:
        visible = image.crop((left, top, right, bottom))
        return _to_array(visible), boxes - np.array([top, left, 0, 0])
    size = _model_size(model, input) or (grid[0] * _PATCH, grid[1] * _PATCH)
    visible = image.crop((left, top, right, bottom)).resize((size[1], size[0]), 3)
    return _to_array(visible), _grid_boxes(grid, size)


def displayed_series(input: Any, tokens: Tokens) -> tuple[Array, IntArray]:
    """The values (S, V) of a series or a sound, and the spans (N, 2) of its tokens in them."""
    arrays = list(input.values()) if isinstance(input, Mapping) else [input]
    values = np.asarray(arrays[0], np.float32)
    values = values[0] if values.ndim == 3 else values
    values = values[:, None] if values.ndim == 1 else values
    spans = tokens.locations[~tokens.prefix]
    end = int(spans.max(initial=1))
    if len(values) < end <= values.shape[1]:  # a spectrogram, whose columns are the steps
        values = values.T
    if len(values) < end:
        values = np.concatenate([values, np.zeros((end - len(values), values.shape[1]), np.float32)])
    values = values[:end]
    step = -(-end // _MAX_POINTS)
    if step == 1:
        return values, spans
    starts = np.arange(0, end, step)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    first, last = spans[:, 0] // step, -(-spans[:, 1] // step)
    return np.where(np.abs(high) >= np.abs(low), high, low), np.stack([first, np.maximum(last, first + 1)], axis=1)


def read_colors(path: Path) -> Array:
    """An image file as (Y, X), or (Y, X, 3) if it has colours, from 0 to 1."""
    return _to_array(open_image(path))


def _pixels(input: Any) -> Array | None:
    """(C, Y, X) or (Y, X) if the input is an array of floats, else None."""
    if isinstance(input, Mapping):
        pixels = [np.asarray(array) for array in input.values() if np.ndim(array) == 4]
        if not pixels:
            raise DataError("input: expected an array of pixels (1, C, Y, X) among the arrays; there is none.")
        return np.asarray(pixels[0][0], np.float32)
    if hasattr(input, "detach"):
        input = input.detach().cpu().numpy()
    if isinstance(input, np.ndarray) and input.dtype.kind == "f":
        return np.asarray(input[0] if input.ndim == 4 else input, np.float32)
    return None


def _denormalize(pixels: Array) -> Array:
    """Pixels from 0 to 1: as they are, from −1 to 1, or normalised by the statistics of ImageNet."""
    channels_last = pixels if pixels.ndim == 2 else pixels.transpose(1, 2, 0)
    if channels_last.ndim == 3 and channels_last.shape[-1] == 1:
        channels_last = channels_last[..., 0]
    low, high = float(channels_last.min()), float(channels_last.max())
    if low >= 0 and high <= 1:
        return np.ascontiguousarray(channels_last)
    if low >= -1 and high <= 1:
        return np.ascontiguousarray((channels_last + 1) / 2)
    if channels_last.ndim == 3 and channels_last.shape[-1] == 3:
        colours = channels_last * _STD + _MEAN
        if colours.min() > -0.05 and colours.max() < 1.05:
            return np.ascontiguousarray(np.clip(colours, 0, 1))
    return np.ascontiguousarray((channels_last - low) / (high - low or 1))


def _model_size(model: Any, input: Any) -> tuple[int, int] | None:
    """Height and width of the image as the model sees it."""
    reader = getattr(model, "reader", None)
    if reader is not None:
        arrays = reader.read(input).arrays
    elif hasattr(model, "preprocess"):
        arrays = model.preprocess(input)
    else:
        return None
    shapes = [np.shape(array)[2:] for array in arrays.values() if np.ndim(array) == 4]
    return shapes[0] if shapes else None


def _grid_boxes(grid: tuple[int, int], size: tuple[int, int]) -> IntArray:
    rows, columns = (
        np.linspace(0, side, count + 1).round().astype(np.int64) for side, count in zip(size, grid, strict=True)
    )
    return grid_boxes(rows, columns)


def _to_array(image: Any) -> Array:
    """(Y, X) of a grey image, (Y, X, 3) of a coloured one."""
    array = np.asarray(image.convert("RGB"), np.float32) / 255
    grey = np.abs(array - array.mean(axis=-1, keepdims=True)).max() < 1e-3
    return np.ascontiguousarray(array[..., 0] if grey else array)

"""Where each element of a tensor lies in the tensor that it was made from, through views, permutations and slices."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headwise.shapes import IntArray

_Factor = tuple[int, int]  # size and stride


@dataclass(frozen=True)
class Axes:
    """The map from the indices of a tensor to linear indices of its origin.

    Like strides, but an axis may have several (size, stride) factors, slowest first. So every view of a permuted
    tensor has such a map, also where memory is copied in between.

    Examples
    --------
    >>> merged = Axes.contiguous((2, 3, 5)).permute((1, 0, 2)).view((6, 5))
    >>> merged.offsets(0)
    array([ 0, 15,  5, 20, 10, 25])
    """

    axes: tuple[tuple[_Factor, ...], ...]  # factors of each axis; an axis of size 1 has none
    offset: int = 0  # linear index of the first element

    @classmethod
    def contiguous(cls, shape: Sequence[int]) -> Axes:
        """Of a tensor in row-major order: the origin itself."""
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return cls(tuple(((size, stride),) if size > 1 else () for size, stride in zip(shape, strides, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(math.prod(size for size, _ in factors) for factors in self.axes)

    def offsets(self, axis: int) -> IntArray:
        """Linear index of each element along one axis, relative to the first."""
        linear = np.zeros(1, np.int64)
        for size, stride in self.axes[axis]:
            linear = (linear[:, None] + stride * np.arange(size)).ravel()
        return linear

    def indices(self, without: Collection[int] = ()) -> IntArray:
        """Linear index of every element, in the tensor's shape; of the first along axes that are left out."""
        linear = np.full((1,) * len(self.axes), self.offset, np.int64)
        for axis in set(range(len(self.axes))).difference(without):
            linear = linear + np.expand_dims(
                self.offsets(axis), [other for other in range(linear.ndim) if other != axis]
            )
        return linear

    def permute(self, order: Sequence[int]) -> Axes:
        """Axes in another order."""
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def transpose(self, first: int, second: int) -> Axes:
        """Two axes exchanged."""
        order = list(range(len(self.axes)))
        order[first], order[second] = order[second], order[first]
        return self.permute(order)

    def view(self, shape: Sequence[int]) -> Axes | None:
        """The same elements in another shape; None if a factor would have to be divided unevenly."""
        total = math.prod(self.shape)
        size_of_others = math.prod(size for size in shape if size != -1)
        sizes = [total // size_of_others if size == -1 and size_of_others else size for size in shape]
        if math.prod(sizes) != total or total == 0:
            return None
        left = [factor for factors in self.axes for factor in factors]
        axes = []
        for remaining in sizes:
            factors = []
            while remaining > 1:
                size, stride = left.pop(0)
                factor = math.gcd(size, remaining)
                if factor == 1 or (factor != size and factor != remaining):
                    return None
                factors.append((factor, stride * (size // factor)))
                if factor < size:
                    left.insert(0, (size // factor, stride))
                remaining //= factor
            axes.append(tuple(factors))
        return replace(self, axes=tuple(axes))

    def expand(self, shape: Sequence[int]) -> Axes | None:
        """Axes of size 1 repeated, and new axes in front; None if the shape does not fit."""
        axes = ((),) * (len(shape) - len(self.axes)) + self.axes
        padded = (1,) * (len(shape) - len(self.axes)) + self.shape
        if len(axes) != len(shape) or any(s not in (-1, o) and o != 1 for s, o in zip(shape, padded, strict=True)):
            return None
        grown = (
            ((size, 0),) if have == 1 and size > 1 else factors
            for factors, have, size in zip(axes, padded, shape, strict=True)
        )
        return replace(self, axes=tuple(grown))

    def unsqueeze(self, axis: int) -> Axes:
        """A new axis of size 1."""
        axis %= len(self.axes) + 1
        return replace(self, axes=(*self.axes[:axis], (), *self.axes[axis:]))

    def squeeze(self, dims: Sequence[int] | None = None) -> Axes:
        """Without axes of size 1: all of them, or those named."""
        named = range(len(self.axes)) if dims is None else [axis % len(self.axes) for axis in dims]
        remaining = (factors for axis, factors in enumerate(self.axes) if axis not in named or factors)
        return replace(self, axes=tuple(remaining))

    def slice(self, axis: int, start: int, length: int, step: int = 1) -> Axes | None:
        """A range of one axis; None if the axis has several factors and the range is not all of it."""
        factors = self.axes[axis]
        if start == 0 and step == 1 and length == self.shape[axis]:
            return self
        if len(factors) != 1:
            return None
        stride = factors[0][1]
        part: tuple[_Factor, ...] = ((length, stride * step),) if length != 1 else ()
        axes = (*self.axes[:axis], part, *self.axes[axis + 1 :])
        return Axes(axes, self.offset + start * stride)

    def select(self, axis: int, index: int) -> Axes:
        """One index of an axis, which disappears."""
        axes = (*self.axes[:axis], *self.axes[axis + 1 :])
        return Axes(axes, self.offset + int(self.offsets(axis)[index]))

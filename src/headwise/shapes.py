"""Shape checking by patterns in the letters of the docstrings, such as ``"... H N d"``.

Binding a pattern to an array fixes the sizes of its letters; binding the next array checks letters that are fixed.
``...`` stands for any number of leading axes, and a number for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError

Array: TypeAlias = npt.NDArray[np.floating[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]

_FLOATS = (np.float16, np.float32, np.float64)


class AxisSizes:
    """The sizes of the letters bound so far, and the argument that bound each.

    Index it by letter for a size (``sizes["N"]``); ``sizes.batch_shape`` is what ``...`` stands for.

    Examples
    --------
    >>> sizes = bind("... H N d", q=np.zeros((2, 8, 50, 64)))
    >>> sizes["N"], sizes.batch_shape
    (50, (2,))
    >>> sizes.bind("... G M d", k=np.zeros((2, 8, 64, 50)))
    Traceback (most recent call last):
    ...
    headwise.errors.ShapeError: k: expected (...=(2,), G, M, d=64) because q is (2, 8, 50, 64); got (2, 8, 64, 50).
    Transposed?
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._lead: tuple[int, ...] | None = None
        self._origin: dict[str, str] = {}

    def __getitem__(self, letter: str) -> int:
        return self._sizes[letter]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """What ``...`` stands for; empty if no pattern had it."""
        return self._lead or ()

    def bind(self, pattern: str, /, **arrays: npt.NDArray[Any]) -> AxisSizes:
        """Bind each array to the pattern, in order, and return self."""
        for name, array in arrays.items():
            self._bind_one(pattern.split(), name, array.shape)
        return self

    def _bind_one(self, letters: list[str], name: str, shape: tuple[int, ...]) -> None:
        if not self._fits(letters, shape):
            raise ShapeError(self._message(letters, name, shape))
        origin = f"{name} is {_shape(shape)}"
        if letters[:1] == ["..."]:
            cut = len(shape) - len(letters) + 1
            if self._lead is None:
                self._lead = shape[:cut]
                self._origin["..."] = origin
            letters, shape = letters[1:], shape[cut:]
        for letter, size in zip(letters, shape, strict=True):
            if not letter.isdigit() and letter not in self._sizes:
                self._sizes[letter] = size
                self._origin[letter] = origin

    def _fits(self, letters: list[str], shape: tuple[int, ...]) -> bool:
        trial = dict(self._sizes)
        if letters[:1] == ["..."]:
            letters = letters[1:]
            cut = len(shape) - len(letters)
            if cut < 0 or (self._lead is not None and shape[:cut] != self._lead):
                return False
            shape = shape[cut:]
        if len(letters) != len(shape):
            return False
        return all(
            size == (int(letter) if letter.isdigit() else trial.setdefault(letter, size))
            for letter, size in zip(letters, shape, strict=True)
        )

    def _message(self, letters: list[str], name: str, shape: tuple[int, ...]) -> str:
        bound = {letter: self._sizes[letter] for letter in letters if letter in self._sizes}
        letter_texts = [f"{letter}={bound[letter]}" if letter in bound else letter for letter in letters]
        if letters[:1] == ["..."] and self._lead is not None:
            letter_texts[0] = f"...={_shape(self._lead)}"
        origins = dict.fromkeys(self._origin[letter] for letter in letters if letter in self._origin)
        because = f" because {' and '.join(origins)}" if origins else ""
        swapped = (*shape[:-2], *reversed(shape[-2:]))
        hint = " Transposed?" if swapped != shape and self._fits(letters, swapped) else ""
        if len(shape) and not hint and self._fits(letters, (1, *shape)):
            hint = f" If its first axis would have size one, write {name}[None]."
        comma = "," if len(letter_texts) == 1 else ""
        return f"{name}: expected ({', '.join(letter_texts)}{comma}){because}; got {_shape(shape)}.{hint}"


def bind(pattern: str, /, **arrays: npt.NDArray[Any]) -> AxisSizes:
    """Check arrays, by their names in error messages, against one pattern and return the sizes it bound.

    `pattern`: letters separated by spaces, such as ``"B H N d"``; ``...`` first for any number of leading axes.
    Raises ShapeError if the number of axes differs from the pattern, or a letter would have two sizes.

    Examples
    --------
    >>> bind("N D", X=np.zeros((5, 6))).bind("d D", Wq=np.zeros((2, 6)))["d"]
    2
    """
    return AxisSizes().bind(pattern, **arrays)


def as_float_arrays(**arrays: npt.ArrayLike | None) -> tuple[Array, ...]:
    """Convert the arguments to arrays of one floating-point type, without copying those that have it.

    ``None`` is skipped. Different types are promoted to the widest, so that nothing is rounded.
    Raises DataError if an argument cannot be converted to an array, or is not float16, float32 or float64.

    Examples
    --------
    >>> as_float_arrays(X=[[1, 0], [0, 1]])
    Traceback (most recent call last):
    ...
    headwise.errors.DataError: X: expected float16, float32 or float64; got int64. Convert with X.astype(float).
    """
    converted: Mapping[str, npt.NDArray[Any]] = {
        name: as_array(name, value) for name, value in arrays.items() if value is not None
    }
    for name, array in converted.items():
        if array.dtype.type not in _FLOATS:
            hint = f" Convert with {name}.astype(float)." if array.dtype.kind in "iub" else ""
            raise DataError(f"{name}: expected float16, float32 or float64; got {array.dtype}.{hint}")
    dtype = np.result_type(*converted.values())
    return tuple(array.astype(dtype.newbyteorder("="), copy=False) for array in converted.values())


def refuse_masked(**arrays: npt.ArrayLike | None) -> None:
    """Raise DataError for NumPy masked arrays, whose mask would be lost in the computation."""
    for name, value in arrays.items():
        if isinstance(value, np.ma.MaskedArray):
            raise DataError(
                f"{name}: got a masked array, whose mask would be ignored. Pass {name}.filled(...) and a mask argument."
            )


def as_array(name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    """Convert an argument to an array, of whatever type its elements have.

    Raises DataError if it is ragged, masked, or an object that cannot be converted, as a tensor that requires a
    gradient.
    """
    refuse_masked(**{name: value})
    try:
        return np.asarray(value)
    except Exception as error:  # whatever the object's own conversion raises
        ragged = isinstance(error, ValueError) and isinstance(value, list | tuple)
        reason = "its rows have different lengths" if ragged else str(error).rstrip(".")
        hint = f" Convert with {name}.float()." if "bfloat16" in str(getattr(value, "dtype", "")) else ""
        raise DataError(f"{name}: cannot be converted to an array: {reason}.{hint}") from None


def _shape(shape: tuple[int, ...]) -> str:
    return str(tuple(int(size) for size in shape))

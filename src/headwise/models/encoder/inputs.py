"""The inputs of a loaded network, by the names that transformers uses, checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, MaskError, ShapeError
from headwise.shapes import Array, BoolArray, IntArray

_INTEGERS = ("input_ids", "token_type_ids", "position_ids")


@dataclass(frozen=True, eq=False)
class NetworkInputs:
    """The arrays that a network is called with."""

    # (B, N)
    input_ids: IntArray | None = None
    token_type_ids: IntArray | None = None
    position_ids: IntArray | None = None
    inputs_embeds: Array | None = None  # (B, N, E): instead of input_ids
    pixel_values: Array | None = None  # (B, C, Y, X)
    input_features: Array | None = None  # (B, C, T)
    mask: BoolArray | None = None  # (B, 1, 1, N) or (B, H or 1, N, N): True attends

    @classmethod
    def from_arrays(cls, dtype: np.dtype[Any], arrays: dict[str, npt.ArrayLike | None]) -> NetworkInputs:
        """Check and convert the arguments of a call.

        Raises DataError if an argument is unknown or has the wrong type; ShapeError or MaskError if a shape or the
        mask does not fit.
        """
        arguments = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
        attention_mask = arguments.pop("attention_mask", None)
        if unknown := arguments.keys() - {field.name for field in fields(cls)} | arguments.keys() & {"mask"}:
            raise DataError(f"{', '.join(sorted(unknown))}: not an argument of a loaded model.")
        for name, array in arguments.items():
            arguments[name] = _integers(name, array) if name in _INTEGERS else _float(name, array, dtype)
        if "input_ids" in arguments and "inputs_embeds" in arguments:
            raise DataError("inputs_embeds: expected either input_ids or inputs_embeds; got both.")
        inputs = cls(**arguments)
        if attention_mask is None:
            return inputs
        return cls(**arguments, mask=_mask(attention_mask, inputs._tokens))

    @property
    def batch(self) -> int:
        """B, the number of items."""
        return len(self._main)

    @property
    def _main(self) -> npt.NDArray[Any]:
        for array in (self.input_ids, self.inputs_embeds, self.pixel_values, self.input_features):
            if array is not None:
                return array
        raise DataError("expected input_ids, inputs_embeds, pixel_values or input_features; got none of them.")

    @property
    def _tokens(self) -> tuple[int, int] | None:
        """(B, N) of a text; None for other inputs."""
        main = self.input_ids if self.input_ids is not None else self.inputs_embeds
        return None if main is None else (main.shape[0], main.shape[1])

    def refuse_others(self, names: tuple[str, ...]) -> None:
        """Refuse arrays that the network does not read."""
        for field in fields(self):
            if field.name not in (*names, "mask") and getattr(self, field.name) is not None:
                raise DataError(f"{field.name}: this model does not read it; it reads {', '.join(names)}.")

    def need(self, name: str) -> Any:
        """The array of this name, which the network cannot do without."""
        array = getattr(self, name)
        if array is None:
            raise DataError(f"{name}: this model needs it, and it was not passed.")
        return array


def _integers(name: str, array: npt.NDArray[Any]) -> IntArray:
    if array.dtype.kind not in "iu":
        raise DataError(f"{name}: expected whole numbers; got {array.dtype}.")
    if array.ndim != 2:
        hint = f" For one text, write {name}[None]." if array.ndim == 1 else ""
        raise ShapeError(f"{name}: expected (B, N); got {array.shape}.{hint}")
    return array


def _float(name: str, array: npt.NDArray[Any], dtype: np.dtype[Any]) -> Array:
    if array.dtype.kind != "f":
        raise DataError(f"{name}: expected {dtype}; got {array.dtype}. Pixels from 0 to 255 go through preprocess().")
    return np.ascontiguousarray(array, dtype)


def _mask(attention_mask: npt.NDArray[Any], tokens: tuple[int, int] | None) -> BoolArray | None:
    """(B, N) of 0 and 1, or booleans (B, 1 or H, N, N); True attends. None if nothing is hidden."""
    if tokens is None:
        raise MaskError("attention_mask: only texts take one; images and spectrograms have no padding here.")
    if attention_mask.ndim == 2:
        if attention_mask.shape != tokens:
            raise MaskError(f"attention_mask: expected (B, N) = {tokens}; got {attention_mask.shape}.")
        if not np.isin(attention_mask, (0, 1)).all():
            raise MaskError("attention_mask: expected only 0 and 1, where 1 attends.")
        mask = attention_mask.astype(bool)[:, None, None, :]
    elif attention_mask.ndim == 4 and attention_mask.dtype == bool:
        mask = attention_mask
    else:
        raise MaskError(
            f"attention_mask: expected (B, N) of 0 and 1, or booleans (B, H, N, N); got {attention_mask.dtype} of "
            f"shape {attention_mask.shape}."
        )
    return None if mask.all() else mask

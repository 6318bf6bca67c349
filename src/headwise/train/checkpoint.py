"""Weights on disk: safetensors with the configuration in the header, written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from headwise.errors import CheckpointError, DataError
from headwise.files import atomic_write
from headwise.models.vit import ViTConfig, vit_params
from headwise.nn.params import Params
from headwise.shapes import Array

__all__ = ["PRETRAINED", "Checkpoint", "load_arrays", "load_vit", "pretrained_vit", "save_arrays", "save_vit"]

PRETRAINED = ("7x7", "4x4", "rows")  # models that come with the package, by how they cut an image


class Checkpoint(NamedTuple):
    """A model with its weights, and what is known of how it was made."""

    model: ViTConfig
    params: Params
    about: dict[str, Any]


def save_arrays(path: Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write named arrays and a JSON header. The same content gives the same bytes."""
    # one entry only: the format does not fix the order of several
    header = {"headwise": json.dumps(about, sort_keys=True)}
    with atomic_write(path) as beside:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, beside, metadata=header)


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `save_arrays` wrote.

    Raises
    ------
    DataError
        If there is no such file.
    CheckpointError
        If it is corrupt, or not written by Headwise.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        with safe_open(path, framework="numpy") as opened:
            about = dict(json.loads((opened.metadata() or {})["headwise"]))
            names = opened.keys()
            return {name: opened.get_tensor(name) for name in names}, about
    except SafetensorError as error:
        raise CheckpointError(f"{path}: corrupt, or no safetensors file ({error}).") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(
            f"{path}: a safetensors file, but not one of Headwise's: its header says nothing."
        ) from None


def save_vit(path: Path, model: ViTConfig, params: Params, about: Mapping[str, Any]) -> None:
    """Write a vision transformer's weights with all that is needed to use them."""
    save_arrays(path, params, {"kind": "vit", "model": asdict(model), "about": dict(about)})


def load_vit(path: Path) -> Checkpoint:
    """Read a vision transformer.

    Raises
    ------
    DataError
        If there is no such file.
    CheckpointError
        If it is corrupt, or holds something else.
    """
    arrays, header = load_arrays(path)
    if header.get("kind") != "vit":
        raise CheckpointError(
            f"{path}: expected a vision transformer; it holds {header.get('kind', 'something else')!r}."
        )
    about = header.get("about")
    if not isinstance(about, dict):
        raise CheckpointError(f"{path}: its header's about: expected what is known of the model; got {about!r}.")
    model = _model(header.get("model"), arrays, path)
    return Checkpoint(model, _params(arrays, model, path), about)


def pretrained_vit(tokens: str = PRETRAINED[0]) -> Checkpoint:
    """A trained model that comes with the package, by how it cuts an image; its card lies beside it.

    Raises
    ------
    DataError
        If none cuts so.

    Examples
    --------
    >>> pretrained_vit().model.tokens
    '7x7'
    """
    if tokens not in PRETRAINED:
        raise DataError(f"tokens: expected one of {', '.join(PRETRAINED)}; got {tokens!r}.")
    with as_file(files("headwise.models") / "weights" / f"vit-mnist-{tokens}.safetensors") as path:
        return load_vit(path)


def _model(told: object, arrays: Mapping[str, Array], path: Path) -> ViTConfig:
    """The model that a header tells of; refused before anything is built, if it is none or larger than its arrays."""
    if not isinstance(told, dict) or (odd := told.keys() - _MODEL.keys()):
        what = f"it tells of {', '.join(sorted(map(str, odd)))} too" if isinstance(told, dict) else f"got {told!r}"
        raise CheckpointError(f"{path}: expected a header with a model of {', '.join(_MODEL)}; {what}.")
    for name, value in told.items():
        fits, expected = _MODEL[name]
        if not fits(value):
            raise CheckpointError(f"{path}: its header's {name}: expected {expected}; got {value!r}.")
    numbers = sum(array.size for array in arrays.values())
    too_large = CheckpointError(
        f"{path}: a model of the sizes in its header has more than the {numbers:,} numbers in it."
    )
    if any(told.get(name, 1) > numbers for name in ("width", "depth", "hidden", "classes")):
        raise too_large
    try:
        model = ViTConfig(**(told | {"image": tuple(told["image"])} if "image" in told else told))
        cut, d = model.tokeniser, model.width
    except ValueError as error:
        raise CheckpointError(f"{path}: its header's {error}") from None
    if model.depth * d * (4 * d + 2 * model.hidden) + d * (cut.count + cut.inputs + model.classes) > numbers:
        raise too_large
    return model


def _whole(value: object, most: float = math.inf) -> bool:
    return type(value) is int and 1 <= value <= most


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_SIDE = 10_000  # pixels of an image
_WHOLE = (_whole, "a whole number, 1 or more")
_MODEL: dict[str, tuple[Callable[[Any], bool], str]] = {  # what each field may be
    "tokens": (lambda value: isinstance(value, str), "a name such as '7x7'"),
    "image": (
        lambda value: isinstance(value, list) and len(value) == 2 and all(_whole(side, _SIDE) for side in value),
        f"two whole numbers from 1 to {_SIDE:,}",
    ),
    **dict.fromkeys(("width", "depth", "heads", "hidden", "classes"), _WHOLE),
    "mean": (_finite, "a number"),
    "deviation": (lambda value: _finite(value) and value > 0, "a number above 0"),
}


def _params(arrays: Mapping[str, Array], model: ViTConfig, path: Path) -> Params:
    """The arrays in the model's own order; refused if they are not this model's, or not finite."""
    expected = vit_params(model, np.random.default_rng(0))
    if arrays.keys() != expected.keys():
        odd = ", ".join(sorted(arrays.keys() ^ expected.keys())[:3])
        raise CheckpointError(f"{path}: its arrays are not those of the model it names; they differ in {odd} …")
    for name, array in arrays.items():
        if array.shape != expected[name].shape:
            raise CheckpointError(f"{path}: {name}: expected {expected[name].shape}; got {array.shape}.")
        if array.dtype.kind != "f":
            raise CheckpointError(f"{path}: {name}: expected floating-point numbers; got {array.dtype}.")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity.")
    return {name: arrays[name] for name in expected}

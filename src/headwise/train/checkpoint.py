"""Checkpoints: safetensors files with the configuration in the header, written atomically."""

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

from headwise.errors import CheckpointError
from headwise.files import atomic_write, check_file
from headwise.models.vit import ViTConfig, vit_params
from headwise.nn.params import Params
from headwise.representation import brief_repr
from headwise.shapes import Array
from headwise.validation import check_choice

PRETRAINED = ("7x7", "4x4", "rows")  # the tokenizers of the models shipped with the package


class Checkpoint(NamedTuple):
    """A vision transformer: its configuration, its parameters, and metadata on its training."""

    config: ViTConfig
    params: Params
    metadata: dict[str, Any]

    def __repr__(self) -> str:
        return brief_repr(self)


def save_arrays(path: Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write named arrays and a JSON header. The same content gives the same bytes.

    Raises
    ------
    OSError
        If the disk is full, or the file cannot be written for another reason.
    """
    # one entry only: the format does not fix the order of several
    metadata = {"headwise": json.dumps(header, sort_keys=True)}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_write(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error}).") from None


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read the arrays and the header written by `save_arrays`.

    Raises
    ------
    DataError
        If there is no such file.
    CheckpointError
        If the file is corrupt, or not written by Headwise.
    """
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as opened:
            header = dict(json.loads((opened.metadata() or {})["headwise"]))
            names = opened.keys()
            return {name: opened.get_tensor(name) for name in names}, header
    except SafetensorError as error:
        raise CheckpointError(f"{path}: corrupt, or not a safetensors file ({error}).") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(
            f"{path}: a safetensors file that Headwise has not written. Of another model, name the folder."
        ) from None


def save_vit(path: Path, config: ViTConfig, params: Params, metadata: Mapping[str, Any]) -> None:
    """Write the configuration and the parameters of a vision transformer."""
    save_arrays(path, params, {"kind": "vit", "config": asdict(config), "metadata": dict(metadata)})


def load_vit(path: Path) -> Checkpoint:
    """Read a vision transformer.

    Raises
    ------
    DataError
        If there is no such file.
    CheckpointError
        If the file is corrupt, or contains something else.
    """
    arrays, header = load_arrays(path)
    if header.get("kind") != "vit":
        raise CheckpointError(f"{path}: expected a vision transformer; got {header.get('kind', 'another file')!r}.")
    metadata = header.get("metadata")
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: header field 'metadata': expected a mapping; got {metadata!r}.")
    config = _read_config(header.get("config"), arrays, path)
    return Checkpoint(config, _read_params(arrays, config, path), metadata)


def pretrained_vit(tokenizer: str = PRETRAINED[0]) -> Checkpoint:
    """A trained model shipped with the package, by its tokenizer. Its model card is in the same folder.

    Raises
    ------
    DataError
        If no shipped model has this tokenizer.

    Examples
    --------
    >>> pretrained_vit().config.tokenizer
    '7x7'
    """
    check_choice("tokenizer", tokenizer, PRETRAINED)
    with as_file(files("headwise.models") / "weights" / f"vit-mnist-{tokenizer}.safetensors") as path:
        return load_vit(path)


def _read_config(fields: object, arrays: Mapping[str, Array], path: Path) -> ViTConfig:
    """The configuration in a header; checked before anything of its size is allocated."""
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path}: header field 'config': expected {', '.join(_FIELDS)}; got {fields!r}.")
    if unknown := fields.keys() - _FIELDS.keys():
        names = ", ".join(sorted(map(str, unknown)))
        raise CheckpointError(f"{path}: header field 'config': expected {', '.join(_FIELDS)}; unknown keys: {names}.")
    for name, value in fields.items():
        is_valid, expected = _FIELDS[name]
        if not is_valid(value):
            raise CheckpointError(f"{path}: header field 'config': {name}: expected {expected}; got {value!r}.")
    available = sum(array.size for array in arrays.values())
    too_large = CheckpointError(
        f"{path}: the header describes a model with more parameters than the file contains ({available:,})."
    )
    if any(fields.get(name, 1) > available for name in ("d_model", "n_layers", "d_ff", "n_classes")):
        raise too_large
    if "image_size" in fields:
        fields = fields | {"image_size": tuple(fields["image_size"])}
    try:
        config = ViTConfig(**fields)
        tokenizer, d = config.image_tokenizer, config.d_model
    except ValueError as error:
        raise CheckpointError(f"{path}: header field 'config': {error}") from None
    per_layer = d * (4 * d + 2 * config.d_ff)
    if config.n_layers * per_layer + d * (tokenizer.num_tokens + tokenizer.token_dim + config.n_classes) > available:
        raise too_large
    return config


def _is_count(value: object, largest: float = math.inf) -> bool:
    return type(value) is int and 1 <= value <= largest


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_MAX_SIDE = 10_000  # pixels of an image
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {  # fields of ViTConfig: validity, and what is expected
    "tokenizer": (lambda value: isinstance(value, str), "a name such as '7x7'"),
    "image_size": (
        lambda value: isinstance(value, list) and len(value) == 2 and all(_is_count(n, _MAX_SIDE) for n in value),
        f"two whole numbers from 1 to {_MAX_SIDE:,}",
    ),
    **dict.fromkeys(("d_model", "n_layers", "n_heads", "d_ff", "n_classes"), (_is_count, "a whole number, 1 or more")),
    "mean": (_is_finite, "a number"),
    "std": (lambda value: _is_finite(value) and value > 0, "a number above 0"),
}


def _read_params(arrays: Mapping[str, Array], config: ViTConfig, path: Path) -> Params:
    """The arrays in the order of `vit_params`, after checking names, shapes, types and values."""
    expected = vit_params(config, np.random.default_rng(0))
    if arrays.keys() != expected.keys():
        names = ", ".join(sorted(arrays.keys() ^ expected.keys())[:3])
        raise CheckpointError(f"{path}: missing or unexpected arrays for the config in its header: {names} …")
    for name, array in arrays.items():
        if array.shape != expected[name].shape:
            raise CheckpointError(f"{path}: {name}: expected {expected[name].shape}; got {array.shape}.")
        if array.dtype.kind != "f":
            raise CheckpointError(f"{path}: {name}: expected floating-point numbers; got {array.dtype}.")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name}: contains NaN or infinity.")
    return {name: arrays[name] for name in expected}

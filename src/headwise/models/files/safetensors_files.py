"""Folders with config.json and safetensors files, as transformers, timm and sentence-transformers save them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headwise.errors import CheckpointError, DataError, require_extra
from headwise.files import check_file
from headwise.models.files.checkpoint import Checkpoint, Tensor
from headwise.shapes import Array

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INTEGERS = ("I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
_UNQUANTISED = "Quantised models are read from .gguf files; of others, name the folder of the original weights."
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def read_folder(path: Path) -> Checkpoint:
    """Read config.json and open the safetensors files of a folder.

    Raises DataError if the folder has no config.json or no safetensors file; a pickle file is refused with the command
    to convert; CheckpointError if a file is corrupt.
    """
    if (path / "modules.json").is_file() and not (path / "config.json").is_file():
        return replace(read_folder(path / read_json(path / "modules.json")[0]["path"]), path=path)
    config_path = path / "config.json"
    if not config_path.is_file() and (path / "adapter_config.json").is_file():
        raise DataError(f"{path}: it holds an adapter (LoRA) without its model. Merge them, and save the result.")
    if not config_path.is_file():
        raise DataError(f"{path}: expected a folder with config.json and {_WEIGHTS}; it has no config.json.")
    config = read_json(config_path)
    if not isinstance(config, dict):
        raise CheckpointError(f"{config_path}: expected a JSON object.")
    if config.get("quantization_config"):
        raise CheckpointError(f"{path}: its weights are quantised. {_UNQUANTISED}")
    tensors: dict[str, Tensor] = {}
    for file in _weight_files(path):
        tensors |= {_current_name(name): tensor for name, tensor in read_safetensors(file).items()}
    return Checkpoint(path, config, tensors)


def _current_name(name: str) -> str:
    """The name of a layer norm's tensors in today's files; the first ones had gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def read_package_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of this package: one safetensors file with the configuration in its header.

    Raises CheckpointError if it is corrupt, of another kind than a vision transformer, or not of this package.
    """
    tensors, (header, _) = read_safetensors(path), _header(path)
    try:
        metadata = json.loads(header["__metadata__"]["headwise"])
        kind, config = metadata["kind"], dict(metadata["config"])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(
            f"{path}: a safetensors file without configuration. Name the folder that also has config.json."
        ) from None
    if kind != "vit":
        raise CheckpointError(f"{path}: expected a vision transformer of this package; it contains {kind!r}.")
    return Checkpoint(path, {"model_type": "headwise_vit", **config}, tensors)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The floating-point tensors of one safetensors file, by name."""
    with require_extra("Loading a model", "safetensors", "models"):
        from safetensors import SafetensorError, safe_open
    check_file(path)
    try:
        with safe_open(path, framework="numpy"):  # checks the header and the offsets
            pass
    except SafetensorError as error:
        raise CheckpointError(f"{path}: corrupt, or no safetensors file ({error}).") from None
    header, size = _header(path)
    header.pop("__metadata__", None)
    return {
        name: _tensor(path, name, entry, 8 + size)
        for name, entry in header.items()
        if entry["dtype"] not in _INTEGERS or name.endswith(".weight")  # others are buffers, such as position ids
    }


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and its length in bytes."""
    with path.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        return json.loads(opened.read(size)), size


def read_json(path: Path) -> Any:
    """A JSON file; raises CheckpointError if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}).") from None


def pickle_error(path: Path) -> DataError:
    """The refusal of a pickle file, with the command that converts it."""
    target = path.with_name(_WEIGHTS).name
    return DataError(
        f"{path}: a pickle file, which can run any code when it is opened. Convert it once, with torch installed and "
        f'only if you trust its source: python -c "import torch; from safetensors.torch import save_file; '
        f"state = torch.load('{path.name}', map_location='cpu', weights_only=True); "
        f"save_file({{name: t.clone() for name, t in state.items()}}, '{target}')\""
    )


def _tensor(path: Path, name: str, entry: dict[str, Any], start: int) -> Tensor:
    shape = tuple(entry["shape"])
    kind = entry["dtype"]

    def read() -> Array:
        if kind not in _TYPES:
            raise CheckpointError(f"{path}: {name}: expected F64, F32, F16 or BF16; got {kind}. {_UNQUANTISED}")
        stored = np.fromfile(path, _TYPES[kind], int(np.prod(shape)), offset=start + entry["data_offsets"][0])
        if kind == "BF16":  # the upper half of a float32
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        wide = np.float64 if kind == "F64" else np.float32
        return stored.astype(wide, copy=False).reshape(shape)

    return Tensor(shape, read)


def _weight_files(path: Path) -> list[Path]:
    """The safetensors files of a folder: one, or those that the index names."""
    if (path / _WEIGHTS).is_file():
        return [path / _WEIGHTS]
    if (path / _INDEX).is_file():
        index = read_json(path / _INDEX)
        names = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise CheckpointError(f"{path / _INDEX}: expected a weight_map from tensors to files.")
        return [path / Path(name).name for name in sorted(set(names.values()))]
    for suffix in PICKLE_SUFFIXES:
        if pickles := sorted(path.glob(f"*{suffix}")):
            raise pickle_error(pickles[0])
    others = sorted(path.glob("*.safetensors"))
    if len(others) == 1:
        return others
    raise DataError(f"{path}: expected {_WEIGHTS} or {_INDEX}; it has neither.")

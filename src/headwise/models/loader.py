"""`load`: a model from disk, whichever library saved it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import CheckpointError, DataError, HeadwiseError
from headwise.models.encoder import ImageEmbedding, Network
from headwise.models.encoder.positions import INTERPOLATIONS
from headwise.models.families.architecture import Architecture
from headwise.models.files import Checkpoint, Config
from headwise.models.files.gguf_files import read_gguf
from headwise.models.files.safetensors_files import PICKLE_SUFFIXES, pickle_error, read_folder, read_package_checkpoint
from headwise.models.loaded_model import LoadedModel
from headwise.models.two_towers import TwoTowers
from headwise.validation import check_choice

FAMILIES = (
    "bert",
    "distilbert",
    "albert",
    "gpt2",
    "bloom",
    "llama",
    "gemma",
    "vit",
    "dinov2",
    "clip",
    "siglip",
    "whisper",
    "timm_vit",
    "headwise_vit",
)  # modules of headwise.models.families


def load(
    path: Path | str, *, dtype: npt.DTypeLike | None = None, interpolation: str | None = None
) -> LoadedModel | TwoTowers:
    """Load a model with its weights, to run in NumPy.

    Parameters
    ----------
    path : Path or str
        A folder with config.json and safetensors files, as transformers, timm and sentence-transformers save it; a
        .gguf file; or a vision transformer that this package trained (.safetensors).
    dtype : dtype, optional
        Type of the parameters and the computation; that of the file by default, float16 and bfloat16 widened to
        float32.
    interpolation : {"bicubic", "bicubic_antialias", "bicubic_offset"}, optional
        How position embeddings are resampled for images of another size than the model was trained for; by default as
        the library that saved the model does it. See `headwise.models.encoder.positions`.

    Returns
    -------
    LoadedModel or TwoTowers

    Raises
    ------
    DataError
        If there is no such file, or it is of another kind; pickle files are refused.
    CheckpointError
        If the file is corrupt, or the model has options that cannot be loaded, which are named.

    Examples
    --------
    >>> model = load("all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> model.family  # doctest: +SKIP
    'bert'
    """
    if not isinstance(path, str | Path):
        raise DataError(
            f"path: expected a folder or file with a model's weights; got {type(path).__name__}. A model that is in "
            "memory already is passed to headwise.capture or headwise.explain."
        )
    checkpoint = _open(Path(path))
    kind = None if dtype is None else np.dtype(dtype)
    module = _family(checkpoint)
    if checkpoint.config.get("model_type") in getattr(module, "TWO_TOWERS", ()):
        return _load_towers(checkpoint, kind, interpolation)
    return _load_network(checkpoint, kind, interpolation)


def _load_network(checkpoint: Checkpoint, dtype: np.dtype[Any] | None, interpolation: str | None) -> LoadedModel:
    config = Config(checkpoint.config, str(checkpoint.path / "config.json"))
    try:
        architecture: Architecture = _family(checkpoint).build(checkpoint, config)
    except HeadwiseError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:  # values of the wrong type
        raise CheckpointError(f"{checkpoint.path}: its configuration is malformed ({error!r}).") from None
    config.finish()
    if interpolation is not None:
        architecture = replace(architecture, network=_interpolating(architecture.network, interpolation))
    params = architecture.params(checkpoint, dtype)
    return LoadedModel(checkpoint, architecture, params)


def _load_towers(checkpoint: Checkpoint, dtype: np.dtype[Any] | None, interpolation: str | None) -> TwoTowers:
    config = Config(checkpoint.config, str(checkpoint.path / "config.json"))
    family = config.get("model_type")
    config.ignore("projection_dim", "logit_scale_init_value")
    towers = {}
    for tower in ("vision", "text"):
        options = dict(config.get(f"{tower}_config")) | {"model_type": f"{family}_{tower}_model"}
        tower_interpolation = interpolation if tower == "vision" else None
        towers[tower] = _load_network(replace(checkpoint, config=options), dtype, tower_interpolation)
    config.finish()
    learned = {
        name: checkpoint.tensors[name].shape for name in ("logit_scale", "logit_bias") if name in checkpoint.tensors
    }
    values = [checkpoint.tensor(name).read().reshape(()).astype(towers["vision"].dtype) for name in learned]
    scale, bias = (*values, np.zeros((), towers["vision"].dtype))[:2]
    return TwoTowers(checkpoint.path, family, towers["vision"], towers["text"], scale, bias, learned, checkpoint.config)


def _interpolating(network: Network, interpolation: str) -> Network:
    """The network with another way to resample positions."""
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    if not isinstance(network.embedding, ImageEmbedding):
        raise DataError("interpolation: only models of images have positions to resample.")
    return replace(network, embedding=replace(network.embedding, interpolation=interpolation))


def _family(checkpoint: Checkpoint) -> Any:
    """The module of the family that the configuration names."""
    config = Config(checkpoint.config, str(checkpoint.path / "config.json"))
    default = "timm" if "architecture" in checkpoint.config else None
    model_type = config.get("model_type", default)
    families = _model_types()
    if not isinstance(model_type, str) or model_type not in families:
        raise config.error(
            "model_type",
            f"expected one of {', '.join(sorted(families))}; got {model_type!r}. A model that torch runs is opened "
            "as FILE.py:OBJECT, or passed to headwise.explain or headwise.capture",
        )
    return families[model_type]


def _model_types() -> dict[str, Any]:
    """The module of each model type."""
    modules = [import_module(f"headwise.models.families.{name}") for name in FAMILIES]
    return {model_type: module for module in modules for model_type in module.MODEL_TYPES}


def _open(path: Path) -> Checkpoint:
    if path.is_dir():
        return read_folder(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if path.suffix in PICKLE_SUFFIXES:
        raise pickle_error(path)
    if path.suffix == ".gguf":
        return read_gguf(path)
    if path.suffix == ".safetensors":
        return read_package_checkpoint(path)
    raise DataError(f"{path}: expected a folder with config.json, a .gguf file, or a checkpoint of this package.")

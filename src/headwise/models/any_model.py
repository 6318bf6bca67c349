"""`open_model`: anything that is a model, under the `Model` protocol."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwise.checker.loading import import_object
from headwise.errors import DataError
from headwise.models.adapters import SeriesTransformer, SetTransformer, TableTransformer, ViT
from headwise.models.base import Model, is_model
from headwise.models.frameworks import InputOptions, onnx_model, torch_model
from headwise.models.loader import load
from headwise.models.series import SeriesTransformerConfig
from headwise.models.sets import SetTransformerConfig
from headwise.models.tabular import TableTransformerConfig
from headwise.models.vit import ViTConfig
from headwise.recorder import other_framework

_OWN: dict[type, Callable[..., Any]] = {
    ViTConfig: ViT,
    SeriesTransformerConfig: SeriesTransformer,
    SetTransformerConfig: SetTransformer,
    TableTransformerConfig: TableTransformer,
}


def open_model(
    model: Any,
    *,
    tokenizer: Any = None,
    preprocess: Callable[..., Any] | None = None,
    scores: Callable[[Any], Any] | None = None,
    patch: tuple[int, int] | None = None,
    fill: float = 0.0,
) -> Model:
    """Any model under the `Model` protocol: tokens, attention, scores without some tokens, gradients.

    Parameters
    ----------
    model
        A path: a folder or .gguf file that `headwise.load` reads, a vision transformer that `headwise train` saved, an
        .onnx file, or ``FILE.py:OBJECT``. Or an object: a model from `headwise.load`, a ``torch.nn.Module`` (models of
        transformers and timm are such), or a configuration of this package with its parameters, as ``.config`` and
        ``.params``.
    tokenizer : optional
        For torch and ONNX: of transformers, of the library tokenizers, a function that returns a text's token ids, or
        the path of a tokenizer.json or its folder. By default, of an .onnx file, the tokenizer.json in its folder.
    preprocess : callable, optional
        For torch and ONNX: an image processor of transformers, a transform of torchvision or timm, or a function of a
        PIL image that returns pixels (C, Y, X); for sound and series, a function that returns arrays by name. Models of
        timm state theirs themselves.
    scores : callable, optional
        For torch and ONNX: takes the model's output to scores (B, C). By default ``.logits``, or the first output.
    patch : (int, int), optional
        For torch and ONNX: height and width of an image's patches where the model does not state them.
    fill : float
        For torch and ONNX: what replaces the pixels or steps of missing tokens; 0 is the mean of normalised images.

    Returns
    -------
    Model
        Its inputs are texts and pairs of texts; images as paths, PIL images, arrays of uint8, or normalised arrays
        (C, Y, X); series (N, V); sound (samples,); token ids (N,); or a mapping of arrays by the names of the model's
        arguments.

    Raises
    ------
    DataError
        If it is no model, or a torch module in training mode.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.models.vit import ViTConfig, vit_params
    >>> config = ViTConfig("14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    >>> model = open_model(ViT(config, vit_params(config, np.random.default_rng(0))))
    >>> model.tokens(np.zeros((28, 28), np.float32)).labels
    ('[CLS]', '1,1', '1,2', '2,1', '2,2')
    """
    opened = find_model(model) if isinstance(model, str | Path) else model
    options = InputOptions(tokenizer, preprocess, scores, patch, fill)
    if isinstance(opened, Path):
        return onnx_model(opened, options)
    if _is_torch_module(opened):
        return torch_model(opened, options)
    adapter = _OWN.get(type(getattr(opened, "config", None)))
    is_own = is_model(opened) or (adapter is not None and hasattr(opened, "params"))
    if is_own and (unsupported := [name for name, value in vars(options).items() if value not in (None, 0.0)]):
        raise DataError(
            f"{unsupported[0]}: only torch modules and .onnx files take it; {type(opened).__name__} has its own."
        )
    if is_model(opened):
        return opened
    if adapter is not None and is_own:
        adapted: Model = adapter(opened.config, opened.params)
        return adapted
    raise DataError(
        "model: expected a path (a folder, .gguf, .onnx, or FILE.py:OBJECT), a torch module, or a model from "
        f"headwise.load; got {type(opened).__name__}.{other_framework(opened)}"
    )


def find_model(where: str | Path) -> Any:
    """The model that a path stands for, as `headwise.capture` takes it: an object, or the path of an .onnx file.

    Parameters
    ----------
    where : str or Path
        As in `open_model`.

    Raises
    ------
    DataError
        If there is no such file or object.
    """
    file, colon, name = str(where).rpartition(":")
    if colon and file.endswith(".py"):
        model = import_object(Path(file), name)
        if not callable(model) and not is_model(model):
            raise DataError(f"{where}: expected a torch module or another callable; got {type(model).__name__}.")
        return model
    path = Path(where)
    if path.suffix == ".py":
        raise DataError(f"{where}: name the object too, such as {where}:model.")
    if not path.exists():
        raise DataError(f"{where}: there is no such file or folder.")
    return path if path.suffix == ".onnx" else load(path)


def _is_torch_module(model: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)

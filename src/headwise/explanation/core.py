"""What a model attends to in an image: recorded, drawn, captioned and tested for faithfulness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from headwise.data.image_files import load_digit
from headwise.errors import DataError, ShapeError
from headwise.figures import AttentionRecord, Caption, CaptionedFigure, select_figures
from headwise.metrics.faithfulness import Faithfulness, faithfulness
from headwise.metrics.perturbation import ValueFunction
from headwise.metrics.shapley import EXACT_UP_TO, TabulatedGame, coalitions
from headwise.metrics.spatial import foreground_fraction
from headwise.models.adapters import ViT
from headwise.models.token_ablation import TokenGame
from headwise.models.vit import ViTConfig, predict_with_attention
from headwise.nn.params import Params
from headwise.shapes import Array
from headwise.train.checkpoint import Checkpoint, load_vit

__all__ = ["Explanation", "FaithfulnessTest", "explain", "record_attention"]

_ORDERS, _FEWER_ORDERS = 1000, 100  # random orders to compare with; fewer if not every set of tokens can be evaluated


@dataclass(frozen=True)
class Explanation:
    """Figures of what a model attends to in one image, with their captions and faithfulness scores.

    Attributes
    ----------
    figures : tuple of CaptionedFigure
        At least one.
    test : FaithfulnessTest, optional
        The test of the figures, if there is a model to run.
    preparation : str
        How an image file was prepared for the model.
    """

    figures: tuple[CaptionedFigure, ...]
    test: FaithfulnessTest | None = None
    preparation: str = ""

    @property
    def record(self) -> AttentionRecord:
        """The arrays of the first figure."""
        return self.figures[0].record

    @property
    def captions(self) -> dict[str, Caption]:
        """The captions by kind of figure."""
        return {figure.kind: figure.caption for figure in self.figures}

    @property
    def scores(self) -> dict[str, Faithfulness]:
        """The faithfulness scores by kind of figure, of those figures whose ranking was tested."""
        return {f.kind: f.record.faithfulness for f in self.figures if f.record.faithfulness is not None}

    def text(self) -> str:
        """All captions as plain text."""
        return "\n\n".join(caption.text() for caption in self.captions.values())

    def save(self, folder: Path) -> list[Path]:
        """Write every figure with its arrays and caption; return the paths of all files."""
        return [path for figure in self.figures for path in figure.save(folder / figure.stem)]


def explain(
    model: Checkpoint | Path | str,
    input: Array | Path | str,
    *,
    figure: str | Sequence[str] = "maps",
    token: int | None = None,
    label: int = -1,
    test: bool = True,
) -> Explanation:
    """Record what a model attends to in an image, draw and caption it, and test how faithful the figures are.

    Parameters
    ----------
    model : Checkpoint or path
        A vision transformer with its parameters, or the path of its file.
    input : ndarray of shape (Y, X) or path
        The image, from 0 (background) to 1 (ink) and of the model's size; or an image file of a handwritten digit,
        which is prepared for the model.
    figure : str or sequence of str
        Kinds of figure (see `headwise.figures.figure_names`), or ``"all"``.
    token : int, optional
        Show the attention of this token, 1 to N, in place of the class token's.
    label : int
        The true class, if it is known.
    test : bool
        Whether to test the faithfulness of figures that rank the tokens. It takes longer than everything else.

    Returns
    -------
    Explanation

    Raises
    ------
    ShapeError
        If the image's size differs from the model's.
    DataError
        If a file cannot be read, or there is no such label, figure or token.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> explanation = explain(pretrained_vit(), load_bundled_mnist().test.images[0])
    >>> explanation.record.weights.shape, list(explanation.captions), explanation.scores["maps"].tokens
    ((4, 4, 17, 17), ['maps'], 16)
    """
    checkpoint = model if isinstance(model, Checkpoint) else load_vit(Path(model))
    if not -1 <= label < checkpoint.config.n_classes:
        raise DataError(f"label: expected 0 to {checkpoint.config.n_classes - 1}; got {label}.")
    preparation = ""
    if isinstance(input, (str, Path)):
        image, preparation = load_digit(Path(input))
    else:
        image = input
    record = record_attention(image, checkpoint.params, checkpoint.config, label=label)
    faithfulness_test = FaithfulnessTest(image, checkpoint.params, checkpoint.config)
    figures = select_figures(record, figure, token, testable=True)
    if test:
        figures = [faithfulness_test.apply(f) for f in figures]
    return Explanation(tuple(figures), faithfulness_test, preparation)


def record_attention(image: Array, params: Params, model: ViTConfig, *, label: int = -1) -> AttentionRecord:
    """Run a model on one image and record its attention.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
        From 0 (background) to 1 (ink).
    params, model : dict, ViTConfig
    label : int
        The true class, if it is known.

    Returns
    -------
    AttentionRecord

    Raises
    ------
    ShapeError
        If the image's size differs from the model's.
    """
    if image.shape != model.image_size:
        raise ShapeError(f"image: expected {model.image_size} pixels, as the model was made for; got {image.shape}.")
    prediction = predict_with_attention(image[None].astype(np.float32), params, model)
    permuted = model.image_tokenizer.permute(image)
    return AttentionRecord(
        permuted,
        model.image_tokenizer.boxes,
        prediction.weights[0],
        prediction.probabilities[0],
        label,
        model.d_model // model.n_heads,
        params["embedding.positions"][1:],
        pixels_permuted=not np.array_equal(permuted, image),
    )


class FaithfulnessTest:
    """A test of figures of one image: runs the model with tokens removed in the order of a figure's ranking.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
    params, model : dict, ViTConfig
    """

    def __init__(self, image: Array, params: Params, model: ViTConfig) -> None:
        self._image, self._params, self._model = image, params, model

    def apply(self, figure: CaptionedFigure) -> CaptionedFigure:
        """Return the figure with the score and curves of its ranking; a figure without a ranking is unchanged."""
        ranking, record = figure.ranking, figure.record
        if ranking is None:
            return figure
        ink = foreground_fraction(record.ink, record.boxes)
        orders = _ORDERS if record.num_tokens <= EXACT_UP_TO else _FEWER_ORDERS
        rng = np.random.default_rng(0)
        score, curves = faithfulness(self._game, ranking.astype(np.float64), ink, orders=orders, rng=rng)
        return replace(figure, record=replace(record, ranking=ranking, faithfulness=score, curves=curves))

    @cached_property
    def _game(self) -> ValueFunction:
        """The probability of the predicted class by the tokens that remain; tabulated if all sets can be."""
        image = self._image.astype(np.float32)
        target = int(predict_with_attention(image[None], self._params, self._model).probabilities.argmax())
        game = TokenGame(ViT(self._model, self._params), image, target)
        tokens = self._model.image_tokenizer.num_tokens
        return TabulatedGame(game(coalitions(tokens))) if tokens <= EXACT_UP_TO else game

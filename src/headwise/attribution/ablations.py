"""Ways for a token to be missing, and the games of the players that they define.

Each kind of input has its own: a word can be hidden, masked or averaged, a patch hidden, grey, imputed or blurred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from headwise.attention.textbook import softmax
from headwise.attribution.differentiable import Differentiable, differentiable, is_differentiable
from headwise.attribution.players import Players
from headwise.errors import require_extra
from headwise.models import ABLATIONS as DRAWING_ABLATIONS
from headwise.models import LoadedModel, Model, ViT
from headwise.models.base import in_batches
from headwise.models.encoder import ImageEmbedding
from headwise.models.inpainting import inpaint
from headwise.models.preprocess.texts import TextPreprocessor
from headwise.shapes import Array, BoolArray
from headwise.validation import check_choice

_CELLS = 32  # the most rows and columns of cells in which an image is imputed
_SETS_AT_ONCE = 256
_MASKS = ("[MASK]", "<mask>")


class Ablation(NamedTuple):
    """A description, and a function of an input that returns inputs (S, ...) for sets of kept tokens (S, T)."""

    description: str
    replace: Callable[[Model, Differentiable], Callable[[BoolArray], Array]] | None = None


def _by_baseline(model: Model, function: Differentiable) -> Callable[[BoolArray], Array]:
    return _by_array(function, function.baseline)


def _by_array(function: Differentiable, replacement: Array) -> Callable[[BoolArray], Array]:
    """Replace the part of x that belongs to missing tokens."""
    return lambda keep: np.where(_where(function, keep), function.x, replacement)


def _where(function: Differentiable, keep: BoolArray) -> BoolArray:
    """Kept tokens (S, T) -> the kept elements of x, (S, ...)."""
    if function.name == "inputs_embeds":
        return keep[..., None]
    embedding = function.network.embedding
    if isinstance(embedding, ImageEmbedding):
        (rows, columns), (height, width) = embedding.patch_grid(*function.x.shape[1:]), embedding.patch
        patches = keep[:, len(function.tokens) - rows * columns :].reshape(-1, 1, rows, columns)
        visible = np.ones((len(keep), 1, *function.x.shape[1:]), bool)
        visible[..., : rows * height, : columns * width] = patches.repeat(height, axis=2).repeat(width, axis=3)
        return visible
    return keep.repeat(2, axis=1)[:, None, : function.x.shape[-1]]  # two frames for each token


def _by_mask_token(model: Model, function: Differentiable) -> Callable[[BoolArray], Array]:
    assert isinstance(model, LoadedModel)  # the only models of texts
    assert isinstance(model.preprocessor, TextPreprocessor)
    words, tokenizer = model.params["embedding.word"], model.preprocessor.tokenizer
    token = next((i for name in _MASKS if (i := tokenizer.token_to_id(name)) is not None), None)
    return _by_array(function, words.mean(axis=0) if token is None else words[token])


def _by_blurred(model: Model, function: Differentiable) -> Callable[[BoolArray], Array]:
    with require_extra("blurring", "scipy", "models"):
        from scipy.ndimage import gaussian_filter
    embedding = function.network.embedding
    assert isinstance(embedding, ImageEmbedding)
    return _by_array(function, gaussian_filter(function.x, sigma=(0, *embedding.patch)))


def _by_imputed(model: Model, function: Differentiable) -> Callable[[BoolArray], Array]:
    """Solve for missing pixels in cells of a coarse grid, which keeps the linear system small."""
    height, width = function.x.shape[1:]
    size = max(1, -(-max(height, width) // _CELLS))
    down, across = -(-height // size), -(-width // size)
    padded = np.pad(function.x, ((0, 0), (0, down * size - height), (0, across * size - width)), mode="edge")
    cells = padded.reshape(-1, down, size, across, size).mean(axis=(2, 4))

    def impute(keep: BoolArray) -> Array:
        visible = _where(function, keep)
        corners = np.pad(visible[:, 0], ((0, 0), (0, down * size - height), (0, across * size - width)), mode="edge")
        known_cells = np.asarray(corners.reshape(-1, down, size, across, size).all(axis=(2, 4)))
        filled = np.stack([inpaint(channel, known_cells, 0.0) for channel in cells], axis=1)
        pixels = filled.repeat(size, axis=2).repeat(size, axis=3)[..., :height, :width]
        return np.where(visible, function.x, pixels.astype(function.x.dtype))

    return impute


def _by_interpolated(model: Model, function: Differentiable) -> Callable[[BoolArray], Array]:
    """Connect the kept steps before and after by a straight line; without any, the mean."""
    content, steps = function.x - function.baseline, np.arange(len(function.x))

    def interpolate(keep: BoolArray) -> Array:
        rows = []
        for row in keep:
            steps_kept = np.flatnonzero(row)
            if not len(steps_kept):
                rows.append(function.baseline)
                continue
            at = np.interp(steps, steps_kept, np.arange(len(steps_kept)))
            low = np.floor(at).astype(int)
            high = np.minimum(low + 1, len(steps_kept) - 1)
            share = (at - low)[:, None].astype(content.dtype)
            visible = content[steps_kept]
            rows.append(function.baseline + (1 - share) * visible[low] + share * visible[high])
        return np.stack(rows)

    return interpolate


_HIDDEN = Ablation("hidden from every other token")
ABLATIONS: Mapping[str, Mapping[str, Ablation]] = {
    "image": {
        "removed": _HIDDEN,
        "mean": Ablation("pixels of the mean colour", _by_baseline),
        "imputed": Ablation("pixels computed from the neighbours", _by_imputed),
        "blurred": Ablation("pixels of a blurred copy of the image", _by_blurred),
    },
    "text": {
        "removed": _HIDDEN,
        "mask": Ablation("the embedding of the mask token; of the mean word if there is none", _by_mask_token),
        "mean embedding": Ablation(
            "the mean of all words' embeddings",
            lambda model, function: _by_array(function, function.params["embedding.word"].mean(axis=0)),
        ),
    },
    "series": {
        "mean": Ablation("the mean of each variable", _by_baseline),
        "interpolated": Ablation("the line between the steps before and after", _by_interpolated),
    },
    "other": {
        "removed": _HIDDEN,
        "mean": Ablation("numbers at their mean, no category, or no embedding", _by_baseline),
    },
}


def ablation_names(model: Model, input: Any) -> tuple[str, ...]:
    """How the tokens of an input can be missing; the first is the default."""
    if isinstance(model, ViT):
        return tuple(DRAWING_ABLATIONS)
    return tuple(ABLATIONS[model.tokens(input).kind]) if is_differentiable(model) else ("removed",)


@dataclass(frozen=True, eq=False)
class PlayerGame:
    """The value of a class as a function of the players that are kept.

    Attributes
    ----------
    scores : callable
        Scores (S, C) of sets of kept tokens (S, T).
    players : Players
    target : int
    value : {"probability", "log-odds"}
        Of the class. A model with one output has this output as its value.
    """

    scores: Callable[[BoolArray], Array]
    players: Players
    target: int
    value: Literal["probability", "log-odds"] = "probability"

    def __call__(self, keep: BoolArray) -> Array:
        """Values (S,) of sets of players (S, P)."""
        scores = in_batches(lambda sets: self.scores(self.players.visible(sets)), keep, _SETS_AT_ONCE)
        scores = scores.astype(np.float64)
        if scores.shape[1] == 1:
            return np.asarray(scores[:, 0])
        if self.value == "probability":
            return np.asarray(softmax(scores)[:, self.target])
        others = np.delete(scores, self.target, axis=1)
        top = others.max(axis=1)
        return np.asarray(scores[:, self.target] - top - np.log(np.exp(others - top[:, None]).sum(axis=1)))

    @cached_property
    def log_odds(self) -> PlayerGame:
        """The same game in log-odds, in which a model that is certain still distinguishes the players."""
        return replace(self, value="log-odds")


def player_game(
    model: Model, input: Any, target: int, players: Players, ablation: str = "", function: Differentiable | None = None
) -> PlayerGame:
    """The game of the players of an input.

    Parameters
    ----------
    model : Model
        With scores.
    input : object
    target : int
    players : Players
    ablation : str
        One of `ablation_names`; the first by default.
    function : Differentiable, optional
        That of this input, if it is at hand.

    Raises
    ------
    DataError
        If there is no such ablation.
    """
    names = ablation_names(model, input)
    ablation = ablation or names[0]
    check_choice("ablation", ablation, names)
    if isinstance(model, ViT):
        drawing = replace(model, ablation=ablation)
        return PlayerGame(lambda keep: drawing.predict(input, keep), players, target)
    if not is_differentiable(model):
        return PlayerGame(lambda keep: model.predict(input, keep), players, target)
    function = differentiable(model, input) if function is None else function
    replacement = ABLATIONS[function.tokens.kind][ablation].replace
    if replacement is None:
        x = function.x
        return PlayerGame(lambda keep: function.scores(np.repeat(x[None], len(keep), axis=0), keep), players, target)
    replaced = replacement(model, function)
    return PlayerGame(lambda keep: function.scores(replaced(keep)), players, target)

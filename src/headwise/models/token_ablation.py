"""Predictions with tokens removed or replaced, and the cooperative game of the tokens that this defines.

Letters: S sets of tokens, N tokens without the class token, T with it, K kept tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from headwise.attention.textbook import softmax
from headwise.errors import DataError
from headwise.models.base import Model
from headwise.models.inpainting import inpaint
from headwise.models.vit import ViTConfig, classify_tokens, embed_tokens
from headwise.nn.params import Params
from headwise.parallel.threads import parallel_map, shard_size, single_threaded_blas, split
from headwise.shapes import Array, BoolArray, IntArray, bind
from headwise.validation import check_choice

# keep (S, N) -> embedded tokens (S, 1 + K, D), for sets that give sequences of one length
EmbedSubsets = Callable[[BoolArray], Array]


class Ablation(NamedTuple):
    """How a token can be missing: a function of image, parameters and config, and whether sequences become shorter."""

    embed: Callable[[Array, Params, ViTConfig], EmbedSubsets]
    shortens: bool = False


@dataclass(frozen=True, eq=False)
class TokenGame:
    """The probability of a class as a function of the tokens that the model sees.

    Parameters
    ----------
    model : Model
        How it treats missing tokens is up to the model; see `headwise.models.adapters.ViT`.
    input : object
        What the model takes, such as an image.
    target : int
        The class.

    Raises
    ------
    DataError
        If there is no such class.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.models.adapters import ViT
    >>> from headwise.models.vit import vit_params
    >>> config = ViTConfig(tokenizer="2x2", image_size=(4, 4), d_model=8, n_layers=1, n_heads=2, d_ff=8)
    >>> model = ViT(config, vit_params(config, np.random.default_rng(0)))
    >>> game = TokenGame(model, np.ones((4, 4), np.float32), target=3)
    >>> game(np.array([[True, True, True, True], [False, False, True, False]])).shape
    (2,)
    """

    model: Model
    input: Any
    target: int

    def __post_init__(self) -> None:
        n_classes = len(self.model.predict(self.input))
        if not 0 <= self.target < n_classes:
            raise DataError(f"target: expected a class from 0 to {n_classes - 1}; got {self.target}.")

    def __call__(self, keep: BoolArray) -> Array:
        """Probabilities (S,) of the class for sets (S, N) of kept tokens, not counting prefix tokens."""
        bind(f"S {int((~self._prefix).sum())}", keep=keep)
        with_prefix = np.ones((len(keep), len(self._prefix)), bool)
        with_prefix[:, ~self._prefix] = keep
        return np.asarray(softmax(self.model.predict(self.input, with_prefix))[:, self.target])

    @cached_property
    def _prefix(self) -> BoolArray:
        return self.model.tokens(self.input).prefix


def ablated_logits(image: Array, keep: BoolArray, params: Params, config: ViTConfig, ablation: str) -> Array:
    """Class logits (S, C) of an image (Y, X) for sets (S, N) of kept tokens; `ablation` is a key of `ABLATIONS`."""
    bind(f"S {config.image_tokenizer.num_tokens}", keep=keep)
    check_choice("ablation", ablation, ABLATIONS)
    replacement = ABLATIONS[ablation]
    embed = replacement.embed(image, params, config)
    lengths = keep.sum(axis=1) if replacement.shortens else np.full(len(keep), keep.shape[1])
    return scores_of_subsets(keep, lengths, embed, lambda x: classify_tokens(x, params, config)[0])


def scores_of_subsets(
    keep: BoolArray, lengths: IntArray, embed: EmbedSubsets, classify: Callable[[Array], Array]
) -> Array:
    """Scores (S, C) of sets of tokens, in batches of sequences of equal `lengths` (S,), on several threads."""
    batches: list[IntArray] = []
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        batches += [same[part] for part in split(len(same), shard_size(1 + int(length)))]
    with single_threaded_blas():
        scores = parallel_map(lambda batch: classify(embed(keep[batch])), batches)
    return np.asarray(np.concatenate(scores)[np.argsort(np.concatenate(batches))])


def _remove(image: Array, params: Params, config: ViTConfig) -> EmbedSubsets:
    """Leave missing tokens out of the sequence; the others keep their positions."""
    embedded = embed_tokens(config.image_tokenizer.tokenize(image[None]), params, config)[0][0]
    return lambda keep: embedded[np.nonzero(_with_class(keep))[1].reshape(len(keep), -1)]


def _replace_by(pixel: float, image: Array, params: Params, config: ViTConfig) -> EmbedSubsets:
    """Set the pixels of missing tokens to one value.

    Where patches overlap, only the missing token's own copy of the pixels changes.
    """
    tokens = config.image_tokenizer.tokenize(image[None])
    embedded = embed_tokens(tokens, params, config)[0][0]
    replacement = embed_tokens(np.full_like(tokens, pixel), params, config)[0][0]
    return lambda keep: np.where(_with_class(keep)[..., None], embedded, replacement)


def _impute(image: Array, params: Params, config: ViTConfig) -> EmbedSubsets:
    """Compute the pixels of missing tokens from their neighbours by `inpaint`, or use the mean if no token is kept.

    Pixels that a missing token shares with a kept one are known.
    """
    permuted, boxes = config.image_tokenizer.permute(image), config.image_tokenizer.boxes

    def embed(keep: BoolArray) -> Array:
        known = np.zeros((len(keep), *image.shape), bool)
        for n, (y, x, h, w) in enumerate(boxes):
            known[:, y : y + h, x : x + w] |= keep[:, n, None, None]
        filled = inpaint(permuted, known, config.mean)
        tokens = [filled[:, y : y + h, x : x + w].reshape(len(keep), h * w) for y, x, h, w in boxes]
        return embed_tokens(np.stack(tokens, axis=1), params, config)[0]

    return embed


ABLATIONS = {
    "removed": Ablation(_remove, shortens=True),
    "black": Ablation(lambda image, params, config: _replace_by(0, image, params, config)),
    "mean": Ablation(lambda image, params, config: _replace_by(config.mean, image, params, config)),
    "imputed": Ablation(_impute),
}


def _with_class(keep: BoolArray) -> BoolArray:
    """(S, N) -> (S, 1 + N): the class token is always kept."""
    return np.insert(keep, 0, True, axis=1)

"""Looking closely at a vision transformer: gradients of attention weights, and the game of tokens left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models.inpainting import inpaint
from headwise.models.vit import ViTCache, ViTConfig, vit_forward
from headwise.nn.attention import attention_weights_gradient
from headwise.nn.layer_norm import layer_norm_backward, layer_norm_forward
from headwise.nn.linear import linear_backward, linear_forward
from headwise.nn.losses import softmax
from headwise.nn.params import Params, subtree
from headwise.nn.patch_embedding import embedding_forward
from headwise.nn.transformer_block import block_backward, block_forward, mlp_backward
from headwise.parallel.threads import parallel_for, single_threaded_blas
from headwise.shapes import Array, BoolArray, IntArray, bind

__all__ = ["ABLATIONS", "AttentionWithGradients", "TokenGame", "attention_and_gradients", "attention_gradients"]

_TOKENS = 1600  # of a shard at most, so that what a block makes of them stays in the second-level cache

ABLATIONS = ("removed", "black", "mean", "imputed")  # what a missing token can be


class AttentionWithGradients(NamedTuple):
    """What the model made of some images, and what its attention weights did for one class.

    Attributes
    ----------
    probabilities : ndarray of shape (B, classes)
    weights : ndarray of shape (B, L, H, 1 + N, 1 + N)
    gradients : ndarray of shape (B, L, H, 1 + N, 1 + N)
        Of the target's logit, before the softmax over classes, with respect to each weight, as if it could move by
        itself.
    target : ndarray of int of shape (B,)
        Whose logit it is.
    """

    probabilities: Array
    weights: Array
    gradients: Array
    target: IntArray


def attention_and_gradients(
    images: Array, params: Params, config: ViTConfig, target: IntArray | None = None
) -> AttentionWithGradients:
    """Probabilities, attention weights and their gradients, for a batch of images.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
    params, config : dict, ViT
    target : ndarray of int of shape (B,), optional
        The class whose logit is asked about; by default the one that the model reads.

    Returns
    -------
    Closer

    Raises
    ------
    ShapeError
        If the images have another size than the model's, or the targets are not one an image.
    DataError
        If there is no such class.
    """
    logits, cache = vit_forward(images, params, config, return_weights=True)
    chosen = logits.argmax(axis=1) if target is None else np.asarray(target)
    bind(f"{len(images)}", target=chosen)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < config.n_classes:
        raise DataError(
            f"target: expected classes from 0 to {config.n_classes - 1}; got {chosen.min()} … {chosen.max()}."
        )
    dlogits = np.zeros_like(logits)
    dlogits[np.arange(len(images)), chosen] = 1
    weights = [block.attention.weights for block in cache.blocks if block.attention.weights is not None]
    return AttentionWithGradients(
        softmax(logits), np.stack(weights, axis=1), attention_gradients(dlogits, cache), chosen
    )


def attention_gradients(dlogits: Array, cache: ViTCache) -> Array:
    """Gradients (B, L, H, 1 + N, 1 + N) with respect to every attention weight, for dlogits (B, classes).

    The forward pass must have been asked for its weights, or its last block has the class token's row alone.
    """
    dnormal, _ = linear_backward(dlogits, cache.head)
    dclass, _ = layer_norm_backward(dnormal, cache.norm)
    b, width = dclass.shape
    dx = np.zeros((b, len(cache.blocks[-1].norm_2.normalized) // b, width), dlogits.dtype)
    dx[:, 0] = dclass  # only the class token was read
    found = []
    for block in reversed(cache.blocks):
        dnormal, _ = mlp_backward(dx, block.mlp)
        dz, _ = layer_norm_backward(dnormal, block.norm_2)
        found.append(attention_weights_gradient(dz + dx, block.attention))  # y = z + mlp(norm₂(z))
        dx, _ = block_backward(dx, block)
    return np.stack(found[::-1], axis=1)


@dataclass(frozen=True)
class TokenGame:
    """The probability of a class when only some of an image's tokens are there.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
    params, model : dict, ViT
    target : int
        The class.
    missing : {"removed", "black", "mean", "imputed"}
        A missing token is left out of the sequence, the others keeping their positions; or its pixels become
        background; or they become the mean pixel that the model knows, which is zero after its normalisation; or they
        are computed from their neighbours by `inpaint` in the tokenized image, and become the mean pixel where
        no token is left.

    Notes
    -----
    Where patches overlap, a missing token that is black or mean is so in its own cut only: a token that is there keeps
    the pixels that they share. To impute, those pixels are known, and the missing token's cut shows them as they are.

    Raises
    ------
    DataError
        If there is no such class, or no such way to be missing.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.models.vit import vit_params
    >>> model = ViTConfig(tokenizer="2x2", image_size=(4, 4), d_model=8, n_layers=1, n_heads=2, d_ff=8)
    >>> params = vit_params(model, np.random.default_rng(0))
    >>> game = TokenGame(np.ones((4, 4), np.float32), params, model, target=3)
    >>> game(np.array([[True, True, True, True], [False, False, True, False]])).shape
    (2,)
    """

    image: Array
    params: Params
    config: ViTConfig
    target: int
    missing: str = "removed"

    def __post_init__(self) -> None:
        if self.missing not in ABLATIONS:
            raise DataError(f"missing: expected one of {', '.join(ABLATIONS)}; got {self.missing!r}.")
        if not 0 <= self.target < self.config.n_classes:
            raise DataError(f"target: expected a class from 0 to {self.config.n_classes - 1}; got {self.target}.")

    def __call__(self, kept: BoolArray) -> Array:
        """(S, N) kept tokens -> (S,) probabilities of the class."""
        bind(f"S {self.config.image_tokenizer.num_tokens}", kept=kept)
        sizes = kept.sum(axis=1) if self.missing == "removed" else np.full(len(kept), kept.shape[1])
        # sequences of one length go together
        parts = [part for size in np.unique(sizes) for part in _shards(np.flatnonzero(sizes == size), 1 + size)]
        prepared = self._preparing()
        answers = np.empty(len(kept), np.result_type(self.image, self.params["head.weight"]))

        def play(i: int) -> None:
            answers[parts[i]] = self._read(prepared(kept[parts[i]]))

        with single_threaded_blas():
            parallel_for(play, len(parts))
        return answers

    def _preparing(self) -> Callable[[BoolArray], Array]:
        """What makes (S, N) kept tokens into (S, 1 + K, D), what the first block is given."""
        cut = self.config.image_tokenizer.tokenize(self.image[None])
        own = self._embedded(cut)[0]
        if self.missing == "removed":
            return lambda kept: own[np.nonzero(_with_class(kept))[1].reshape(len(kept), -1)]
        if self.missing == "imputed":
            return lambda kept: self._embedded(self._imputed(kept))
        blank = self._embedded(np.full_like(cut, self.config.mean if self.missing == "mean" else 0))[0]
        return lambda kept: np.where(_with_class(kept)[..., None], own, blank)

    def _imputed(self, kept: BoolArray) -> Array:
        """(S, N) kept tokens -> (S, N, P): the tokens of the picture that can be made of them."""
        arranged, boxes = self.config.image_tokenizer.permute(self.image), self.config.image_tokenizer.boxes
        known = np.zeros((len(kept), *self.image.shape), bool)
        for n, (y, x, h, w) in enumerate(boxes):
            known[:, y : y + h, x : x + w] |= kept[:, n, None, None]
        filled = inpaint(arranged, known, self.config.mean)
        return np.stack([filled[:, y : y + h, x : x + w].reshape(len(kept), h * w) for y, x, h, w in boxes], axis=1)

    def _embedded(self, tokens: Array) -> Array:
        """(S, N, P) tokens -> (S, 1 + N, D): the class token and the embedded tokens, each with its position."""
        normal = (tokens - tokens.dtype.type(self.config.mean)) / tokens.dtype.type(self.config.std)
        return embedding_forward(normal, subtree(self.params, "embedding"))[0]

    def _read(self, x: Array) -> Array:
        """(S, 1 + K, D) -> (S,): what the blocks make of it."""
        for i in range(self.config.n_layers):
            asking = 1 if i == self.config.n_layers - 1 else None  # of the last block only the class token is read
            x, _ = block_forward(x, subtree(self.params, f"blocks.{i}"), heads=self.config.n_heads, num_queries=asking)
        normal, _ = layer_norm_forward(x[:, 0], subtree(self.params, "norm"))
        logits, _ = linear_forward(normal, subtree(self.params, "head"))
        return np.asarray(softmax(logits)[:, self.target])


def _with_class(kept: BoolArray) -> BoolArray:
    """(S, 1 + N): the class token is always there."""
    return np.insert(kept, 0, True, axis=1)


def _shards(chosen: IntArray, length: int) -> list[IntArray]:
    """The sets in pieces, as many sequences of this length together as a cache holds."""
    size = max(1, _TOKENS // length)
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]

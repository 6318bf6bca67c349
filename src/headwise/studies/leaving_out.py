"""What a vision transformer answers to an image with some of its tokens left out of the sequence."""

from __future__ import annotations

import numpy as np

from headwise.attention.threads import single_threaded_blas
from headwise.models.vit import ViT
from headwise.nn.block import block_forward
from headwise.nn.embedding import embedding_forward
from headwise.nn.linear import linear_forward
from headwise.nn.loss import softmax
from headwise.nn.norm import layer_norm_forward
from headwise.nn.params import Params, scope
from headwise.shapes import Array, BoolArray, IntArray
from headwise.train.loop import together

__all__ = ["LeavingOut"]

_TOKENS = 2000  # together: what a block makes of them stays in the second-level cache


class LeavingOut:
    """The probability of one class, as a game whose players are an image's tokens.

    A token that is missing is not painted over but left out of the sequence, so the model sees fewer tokens, each of
    them with its own position; the class token always stays.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
    params, model : dict, ViT
    target : int
        The class.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.data.digits import bundled_digits
    >>> from headwise.models.vit import look
    >>> from headwise.train.checkpoint import shipped_vit
    >>> image, saved = bundled_digits().test.images[0], shipped_vit()
    >>> probabilities = look(image[None], saved.params, saved.model).probabilities[0]
    >>> game = LeavingOut(image, saved.params, saved.model, int(probabilities.argmax()))
    >>> bool(np.allclose(game(np.ones((1, 16), bool)), probabilities.max(), atol=1e-5))
    True
    """

    def __init__(self, image: Array, params: Params, model: ViT, target: int) -> None:
        pixels = image[None].astype(np.float32)
        tokens = (model.tokeniser.cut(pixels) - pixels.dtype.type(model.mean)) / pixels.dtype.type(model.deviation)
        self._embedded = embedding_forward(tokens, scope(params, "embedding"))[0][0]  # (1 + N, D)
        self._params, self._model, self._target = params, model, target

    def __call__(self, kept: BoolArray) -> Array:
        """(S, N) sets of kept tokens -> (S,) probabilities; sets of one size are computed together."""
        sizes = kept.sum(axis=1)
        answers = np.empty(len(kept), np.float32)
        parts: list[IntArray] = []
        for size in np.unique(sizes):
            same = np.flatnonzero(sizes == size)
            parts += np.array_split(same, -(-len(same) * (1 + int(size)) // _TOKENS))

        def play(part: IntArray) -> None:
            answers[part] = self._play(kept[part])

        with single_threaded_blas():
            together(play, parts)
        return answers

    def _play(self, kept: BoolArray) -> Array:
        """(S, N) sets of one size -> (S,)"""
        with_class = np.concatenate([np.ones((len(kept), 1), bool), kept], axis=1)
        which = np.nonzero(with_class)[1].reshape(len(kept), -1)  # (S, 1 + size): the tokens of each set
        x = self._embedded[which]
        for i in range(self._model.depth):
            asking = 1 if i == self._model.depth - 1 else None  # of the last block only the class token is read
            x, _ = block_forward(x, scope(self._params, f"blocks.{i}"), heads=self._model.heads, asking=asking)
        normal, _ = layer_norm_forward(x[:, 0], scope(self._params, "norm"))
        return softmax(linear_forward(normal, scope(self._params, "head"))[0])[:, self._target]

"""The vision transformer: image -> tokens -> pre-norm blocks -> class token -> class.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929 (2020), section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models.sizes import check_sizes
from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward, layer_norm_params
from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.losses import softmax
from headwise.nn.params import Params, subtree, with_prefix
from headwise.nn.patch_embedding import embedding_backward, embedding_forward, embedding_params
from headwise.nn.transformer_block import BlockCache, block_backward, block_forward, block_params
from headwise.shapes import Array
from headwise.tokenizers import ImageTokenizer, get_tokenizer

__all__ = ["Prediction", "ViTCache", "ViTConfig", "predict_with_attention", "vit_backward", "vit_forward", "vit_params"]


@dataclass(frozen=True)
class ViTConfig:
    """What a vision transformer is made of: everything about it but its weights.

    Attributes
    ----------
    tokens : str
        How the image is cut, such as ``"7x7"``.
    image : (int, int)
        Height and width in pixels.
    width, depth, heads, hidden : int
        D, the number of blocks, H, and the MLP's hidden width.
    classes : int
        How many there are to choose from.
    mean, deviation : float
        Pixels in 0 … 1 are shifted and divided by these; MNIST's own by default.
    """

    tokens: str = "7x7"
    image: tuple[int, int] = (28, 28)
    width: int = 64
    depth: int = 4
    heads: int = 4
    hidden: int = 128
    classes: int = 10
    mean: float = 0.1307
    deviation: float = 0.3081

    def __post_init__(self) -> None:
        _ = self.tokeniser  # refuses a size that does not divide the image
        check_sizes(self.width, self.heads, depth=self.depth, hidden=self.hidden, classes=self.classes)

    @property
    def tokeniser(self) -> ImageTokenizer:
        """What cuts the image."""
        return get_tokenizer(self.tokens, self.image)


class ViTCache(NamedTuple):
    """Caches in the order of the forward pass."""

    embedding: LinearCache
    blocks: tuple[BlockCache, ...]
    norm: LayerNormCache
    head: LinearCache


class Prediction(NamedTuple):
    """What the model made of some images.

    Attributes
    ----------
    probabilities : ndarray of shape (B, classes)
    weights : ndarray of shape (B, L, H, 1 + N, 1 + N)
        Attention weights of every layer and head; token 0 is the class token.
    """

    probabilities: Array
    weights: Array


def vit_params(model: ViTConfig, rng: np.random.Generator) -> Params:
    """Fresh weights in float32.

    Examples
    --------
    >>> import numpy as np
    >>> sum(array.size for array in vit_params(ViTConfig(), np.random.default_rng(0)).values())
    139018
    """
    cut = model.tokeniser
    params = with_prefix("embedding", embedding_params(cut.count, cut.inputs, model.width, rng))
    for i in range(model.depth):
        params |= with_prefix(f"blocks.{i}", block_params(model.width, model.hidden, rng))
    params |= with_prefix("norm", layer_norm_params(model.width))
    return params | with_prefix("head", linear_params(model.width, model.classes, rng))


def vit_forward(
    images: Array, params: Params, model: ViTConfig, *, return_weights: bool = False
) -> tuple[Array, ViTCache]:
    """Class logits of a batch of images.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
        Pixels from 0 (background) to 1 (ink), in the type of the parameters.
    params : dict
        As made by `vit_params`.
    model : ViT
    return_weights : bool
        Keep every layer's attention weights in the cache.

    Returns
    -------
    logits : ndarray of shape (B, classes)
    cache : ViTCache

    Raises
    ------
    ShapeError
        If the images have another size than the model's.
    DataError
        If the images have another type than the parameters.
    """
    if images.dtype != (dtype := params["embedding.positions"].dtype):
        raise DataError(f"images: expected {dtype}, as the parameters are; got {images.dtype}. Use astype.")
    tokens = (model.tokeniser.cut(images) - images.dtype.type(model.mean)) / images.dtype.type(model.deviation)
    x, embedding = embedding_forward(tokens, subtree(params, "embedding"))
    blocks = []
    for i in range(model.depth):
        # of the last block only the class token is read, so only it is computed, unless all weights are wanted
        asking = 1 if i == model.depth - 1 and not return_weights else None
        own = subtree(params, f"blocks.{i}")
        x, cache = block_forward(x, own, heads=model.heads, asking=asking, return_weights=return_weights)
        blocks.append(cache)
    normal, norm = layer_norm_forward(x[:, 0], subtree(params, "norm"))
    logits, head = linear_forward(normal, subtree(params, "head"))
    return logits, ViTCache(embedding, tuple(blocks), norm, head)


def vit_backward(dlogits: Array, cache: ViTCache) -> Params:
    """Gradients with respect to every parameter."""
    dnormal, head_grads = linear_backward(dlogits, cache.head)
    dclass, norm_grads = layer_norm_backward(dnormal, cache.norm)
    b, width = dclass.shape
    dx = np.zeros((b, len(cache.blocks[-1].norm_2.normal) // b, width), dlogits.dtype)
    dx[:, 0] = dclass  # only the class token was read
    grads = with_prefix("head", head_grads) | with_prefix("norm", norm_grads)
    for i in reversed(range(len(cache.blocks))):
        dx, block_grads = block_backward(dx, cache.blocks[i])
        grads |= with_prefix(f"blocks.{i}", block_grads)
    _, embedding_grads = embedding_backward(dx, cache.embedding)
    return grads | with_prefix("embedding", embedding_grads)


def predict_with_attention(images: Array, params: Params, model: ViTConfig) -> Prediction:
    """Class probabilities and attention weights of a batch of images (B, Y, X)."""
    logits, cache = vit_forward(images, params, model, return_weights=True)
    weights = np.stack([block.attention.weights for block in cache.blocks if block.attention.weights is not None], 1)
    return Prediction(softmax(logits), weights)

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
    tokenizer : str
        Name of an image tokenizer, such as ``"7x7"``; see `headwise.tokenizers.get_tokenizer`.
    image_size : (int, int)
        Height and width in pixels.
    d_model, n_layers, n_heads, d_ff : int
        D, L, H, and the hidden width of the MLP.
    n_classes : int
    mean, std : float
        Pixels in 0 … 1 are standardized with these; by default the statistics of MNIST.
    """

    tokenizer: str = "7x7"
    image_size: tuple[int, int] = (28, 28)
    d_model: int = 64
    n_layers: int = 4
    n_heads: int = 4
    d_ff: int = 128
    n_classes: int = 10
    mean: float = 0.1307
    std: float = 0.3081

    def __post_init__(self) -> None:
        _ = self.image_tokenizer  # raises an error if the patches do not fit the image
        check_sizes(self.d_model, self.n_heads, n_layers=self.n_layers, d_ff=self.d_ff, n_classes=self.n_classes)

    @property
    def image_tokenizer(self) -> ImageTokenizer:
        """The tokenizer for images of this size."""
        return get_tokenizer(self.tokenizer, self.image_size)


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


def vit_params(config: ViTConfig, rng: np.random.Generator) -> Params:
    """Fresh weights in float32.

    Examples
    --------
    >>> import numpy as np
    >>> sum(array.size for array in vit_params(ViTConfig(), np.random.default_rng(0)).values())
    139018
    """
    cut = config.image_tokenizer
    params = with_prefix("embedding", embedding_params(cut.num_tokens, cut.token_dim, config.d_model, rng))
    for i in range(config.n_layers):
        params |= with_prefix(f"blocks.{i}", block_params(config.d_model, config.d_ff, rng))
    params |= with_prefix("norm", layer_norm_params(config.d_model))
    return params | with_prefix("head", linear_params(config.d_model, config.n_classes, rng))


def vit_forward(
    images: Array, params: Params, config: ViTConfig, *, return_weights: bool = False
) -> tuple[Array, ViTCache]:
    """Class logits of a batch of images.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
        Pixels from 0 (background) to 1 (ink), in the type of the parameters.
    params : dict
        As made by `vit_params`.
    config : ViT
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
    tokens = (config.image_tokenizer.tokenize(images) - images.dtype.type(config.mean)) / images.dtype.type(config.std)
    x, embedding = embedding_forward(tokens, subtree(params, "embedding"))
    blocks = []
    for i in range(config.n_layers):
        # of the last block only the class token is read, so only it is computed, unless all weights are wanted
        asking = 1 if i == config.n_layers - 1 and not return_weights else None
        own = subtree(params, f"blocks.{i}")
        x, cache = block_forward(x, own, heads=config.n_heads, num_queries=asking, return_weights=return_weights)
        blocks.append(cache)
    normal, norm = layer_norm_forward(x[:, 0], subtree(params, "norm"))
    logits, head = linear_forward(normal, subtree(params, "head"))
    return logits, ViTCache(embedding, tuple(blocks), norm, head)


def vit_backward(dlogits: Array, cache: ViTCache) -> Params:
    """Gradients with respect to every parameter."""
    dnormal, head_grads = linear_backward(dlogits, cache.head)
    dclass, norm_grads = layer_norm_backward(dnormal, cache.norm)
    b, width = dclass.shape
    dx = np.zeros((b, len(cache.blocks[-1].norm_2.normalized) // b, width), dlogits.dtype)
    dx[:, 0] = dclass  # only the class token was read
    grads = with_prefix("head", head_grads) | with_prefix("norm", norm_grads)
    for i in reversed(range(len(cache.blocks))):
        dx, block_grads = block_backward(dx, cache.blocks[i])
        grads |= with_prefix(f"blocks.{i}", block_grads)
    _, embedding_grads = embedding_backward(dx, cache.embedding)
    return grads | with_prefix("embedding", embedding_grads)


def predict_with_attention(images: Array, params: Params, config: ViTConfig) -> Prediction:
    """Class probabilities and attention weights of a batch of images (B, Y, X)."""
    logits, cache = vit_forward(images, params, config, return_weights=True)
    weights = np.stack([block.attention.weights for block in cache.blocks if block.attention.weights is not None], 1)
    return Prediction(softmax(logits), weights)

"""The vision transformer: image -> tokens -> pre-norm blocks -> class token -> class.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929 (2020), section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise import nn
from headwise.attention.textbook import softmax
from headwise.errors import DataError
from headwise.shapes import Array
from headwise.tokenizers import ImageTokenizer, get_tokenizer
from headwise.validation import check_sizes


@dataclass(frozen=True)
class ViTConfig:
    """Configuration of a vision transformer.

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

    embedding: nn.LinearCache
    encoder: nn.EncoderCache


class Prediction(NamedTuple):
    """Class probabilities, attention weights and features of some images."""

    probabilities: Array  # (B, n_classes)
    weights: Array  # (B, L, H, 1 + N, 1 + N): attention weights of every layer and head; token 0 is the class token
    features: Array  # (B, D): the class token before the last linear layer


def vit_params(config: ViTConfig, rng: np.random.Generator) -> nn.Params:
    """Random parameters in float32.

    Examples
    --------
    >>> sum(array.size for array in vit_params(ViTConfig(), np.random.default_rng(0)).values())
    139018
    """
    tokenizer = config.image_tokenizer
    embedding = nn.embedding_params(tokenizer.num_tokens, tokenizer.token_dim, config.d_model, rng)
    return nn.with_prefix("embedding", embedding) | nn.encoder_params(
        config.d_model, config.n_layers, config.d_ff, config.n_classes, rng
    )


def vit_forward(
    images: Array, params: nn.Params, config: ViTConfig, *, return_weights: bool = False
) -> tuple[Array, ViTCache]:
    """Class logits (B, n_classes) of images (B, Y, X): pixels from 0 (background) to 1 (ink), in the parameters' type.

    The cache has the attention weights of every layer if they are requested.
    """
    if images.dtype != (dtype := params["embedding.positions"].dtype):
        raise DataError(f"images: expected {dtype}, as the parameters are; got {images.dtype}. Use astype.")
    x, embedding = embed_tokens(config.image_tokenizer.tokenize(images), params, config)
    logits, encoder = classify_tokens(x, params, config, return_weights=return_weights)
    return logits, ViTCache(embedding, encoder)


def vit_backward(dlogits: Array, cache: ViTCache) -> nn.Params:
    """Gradients with respect to every parameter."""
    dx, grads = nn.encoder_backward(dlogits, cache.encoder)
    _, embedding_grads = nn.embedding_backward(dx, cache.embedding)
    return grads | nn.with_prefix("embedding", embedding_grads)


def embed_tokens(tokens: Array, params: nn.Params, config: ViTConfig) -> tuple[Array, nn.LinearCache]:
    """Embed tokens of pixels (B, N, P): standardize, project, add class token and positions -> (B, 1 + N, D)."""
    standardized = (tokens - tokens.dtype.type(config.mean)) / tokens.dtype.type(config.std)
    return nn.embedding_forward(standardized, nn.subtree(params, "embedding"))


def classify_tokens(
    x: Array, params: nn.Params, config: ViTConfig, *, return_weights: bool = False
) -> tuple[Array, nn.EncoderCache]:
    """Class logits (B, n_classes) of embedded tokens (B, 1 + K, D), the class token first."""
    return nn.encoder_forward(x, params, n_layers=config.n_layers, heads=config.n_heads, return_weights=return_weights)


def predict_with_attention(images: Array, params: nn.Params, config: ViTConfig) -> Prediction:
    """Class probabilities, attention weights and features of a batch of images (B, Y, X)."""
    logits, cache = vit_forward(images, params, config, return_weights=True)
    return Prediction(softmax(logits), cache.encoder.attention_weights, cache.encoder.head.rows)

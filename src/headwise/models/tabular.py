"""The table transformer: columns -> tokens -> pre-norm blocks -> class token -> class or value.

Source: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", arXiv 2106.11959 (2021), section 3.3: a
number is a multiple of its column's vector, a category has a vector, and every column adds one more. Here
the first block is normalised like the others, and the MLP is GELU's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.nn import EncoderCache, Params, encoder_backward, encoder_forward, encoder_params, subtree, with_prefix
from headwise.shapes import Array, IntArray, bind
from headwise.validation import check_counts, check_sizes


@dataclass(frozen=True)
class TableTransformerConfig:
    """Configuration of a table transformer.

    Attributes
    ----------
    n_numeric : int
        J, the number of numeric columns.
    cardinalities : tuple of int
        Number of categories of each of the K categorical columns.
    n_outputs : int
        Number of classes, or of values to predict.
    d_model, n_layers, n_heads, d_ff : int
        D, L, H, and the hidden width of the MLP.
    """

    n_numeric: int
    cardinalities: tuple[int, ...] = ()
    n_outputs: int = 1
    d_model: int = 32
    n_layers: int = 2
    n_heads: int = 4
    d_ff: int = 64

    def __post_init__(self) -> None:
        check_counts(0, n_numeric=self.n_numeric)
        if self.n_columns < 1:
            raise DataError("table: expected at least one column; got none.")
        check_counts(**{f"cardinalities[{k}]": levels for k, levels in enumerate(self.cardinalities)})
        check_sizes(self.d_model, self.n_heads, n_outputs=self.n_outputs, n_layers=self.n_layers, d_ff=self.d_ff)

    @property
    def n_columns(self) -> int:
        """J + K, the number of tokens without the class token."""
        return self.n_numeric + len(self.cardinalities)


class ColumnsCache(NamedTuple):
    """The numbers (B, J), the slopes (J, D), and the row of ``vectors`` that each category has (B, K)."""

    numbers: Array
    slope: Array
    rows: IntArray
    n_vectors: int


class TableCache(NamedTuple):
    """Caches in the order of the forward pass."""

    columns: ColumnsCache
    encoder: EncoderCache


def table_params(config: TableTransformerConfig, rng: np.random.Generator) -> Params:
    """Random parameters in float32. Weight decay does not apply to those of the feature tokenizer.

    Examples
    --------
    >>> params = table_params(TableTransformerConfig(30, n_outputs=2), np.random.default_rng(0))
    >>> sum(array.size for array in params.values())
    19170
    """
    bound = config.d_model**-0.5

    def uniform(*shape: int) -> Array:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    params = {
        "columns.slope": uniform(config.n_numeric, config.d_model),
        "columns.vectors": uniform(sum(config.cardinalities), config.d_model),
        "columns.offset": uniform(config.n_columns, config.d_model),
        "columns.class_token": uniform(config.d_model),
    }
    return params | encoder_params(config.d_model, config.n_layers, config.d_ff, config.n_outputs, rng)


def feature_tokenizer_forward(
    numbers: Array, codes: IntArray, params: Params, categories: tuple[int, ...]
) -> tuple[Array, ColumnsCache]:
    """The class token, x_j a_j + b_j for every number, v_k[c] + b_k for every category.

    `numbers` (B, J).
    `codes` (B, K): each from 0 to one less than its column's categories.
    `params`: ``slope`` (J, D), ``vectors`` (all categories, D), ``offset`` (J + K, D) and ``class_token`` (D,).
    `categories`: how many each column has.
    Returns the tokens (B, 1 + J + K, D) and the cache.
    """
    slope, vectors = params["slope"], params["vectors"]
    rows = codes + np.cumsum([0, *categories[:-1]])[: codes.shape[1]]
    j = numbers.shape[1]
    y = np.empty((len(numbers), 1 + j + codes.shape[1], slope.shape[1]), slope.dtype)
    y[:, 0] = params["class_token"]
    y[:, 1 : 1 + j] = numbers[:, :, None] * slope
    y[:, 1 + j :] = vectors[rows]
    y[:, 1:] += params["offset"]
    return y, ColumnsCache(numbers, slope, rows, len(vectors))


def feature_tokenizer_backward(dy: Array, cache: ColumnsCache) -> tuple[Array, Params]:
    """Gradients with respect to the numbers (B, J), and to the parameters."""
    j = cache.numbers.shape[1]
    dvectors = np.zeros((cache.n_vectors, dy.shape[-1]), dy.dtype)
    np.add.at(dvectors, cache.rows, dy[:, 1 + j :])  # items share vectors
    return (
        np.einsum("bjd,jd->bj", dy[:, 1 : 1 + j], cache.slope),
        {
            "slope": np.einsum("bj,bjd->jd", cache.numbers, dy[:, 1 : 1 + j]),  # x_j a_j
            "vectors": dvectors,
            "offset": dy[:, 1:].sum(axis=0),
            "class_token": dy[:, 0].sum(axis=0),
        },
    )


def table_forward(
    numbers: Array, codes: IntArray, params: Params, config: TableTransformerConfig, *, return_weights: bool = False
) -> tuple[Array, TableCache]:
    """Class logits, or predicted numbers, (B, outputs) of rows: standardised numbers (B, J) and categories (B, K).

    The cache has the attention weights of every layer if they are requested.
    """
    bind(f"B {config.n_numeric}", numbers=numbers).bind(f"B {len(config.cardinalities)}", codes=codes)
    if codes.size and (codes.min() < 0 or (codes >= np.array(config.cardinalities)).any()):
        raise DataError(f"codes: expected categories from 0 to below {config.cardinalities}; got one that is not.")
    x, columns = feature_tokenizer_forward(numbers, codes, subtree(params, "columns"), config.cardinalities)
    outputs, encoder = encoder_forward(
        x, params, n_layers=config.n_layers, heads=config.n_heads, return_weights=return_weights
    )
    return outputs, TableCache(columns, encoder)


def table_backward(doutputs: Array, cache: TableCache) -> Params:
    """Gradients with respect to every parameter."""
    dx, grads = encoder_backward(doutputs, cache.encoder)
    _, columns_grads = feature_tokenizer_backward(dx, cache.columns)
    return grads | with_prefix("columns", columns_grads)

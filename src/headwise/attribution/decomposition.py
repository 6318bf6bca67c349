"""A logit as an exact sum over embeddings, heads, MLPs and biases, with every normalisation frozen at this input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.attribution.relevance import freeze
from headwise.attribution.run import ModelRun
from headwise.models.base import Model
from headwise.models.encoder.block import EncoderBlockCache, encoder_block_backward
from headwise.models.encoder.network import NetworkCache
from headwise.models.encoder.text_embedding import TextEmbeddingCache
from headwise.nn.params import Params, subtree
from headwise.representation import brief_repr
from headwise.shapes import Array

_INSIDE = ("attention.query", "attention.key", "attention.value", "mlp.hidden", "mlp.gate")
_IDENTITY = TextEmbeddingCache({}, {}, 1.0, None, None)


@dataclass(frozen=True, eq=False)
class LogitDecomposition:
    """The terms of one logit.

    Attributes
    ----------
    target : int
    logit : float
    embedding : ndarray of shape (T,)
        What each token's embedding adds through the residual path alone.
    heads : ndarray of shape (L, H)
        What each head adds, over all tokens that reach the logit by the residual path.
    mlps : ndarray of shape (L,)
    biases : float
        Of output projections, norms and the head.
    """

    target: int
    logit: float
    embedding: Array
    heads: Array
    mlps: Array
    biases: float

    __repr__ = brief_repr

    @property
    def remainder(self) -> float:
        """The logit less all terms: rounding, and what a head with its own attention adds."""
        return self.logit - float(self.embedding.sum() + self.heads.sum() + self.mlps.sum()) - self.biases


def decompose_logit(model: Model, input: Any, target: int | None = None) -> LogitDecomposition:
    r"""Decompose a logit into the direct effects of embeddings, heads and MLPs.

    .. math:: y = \sum_n g_n \cdot x_n + \sum_{l,h,n} g^{(l)}_n \cdot p^{(l,h)}_n v^{(l,h)} W_O^{(l,h)}
              + \sum_{l,n} g^{(l)}_n \cdot \mathrm{MLP}^{(l)}_n + \text{biases}

    g is the gradient of the logit through the residual path, with each norm's divisor, and each activation's ratio in
    the head, kept at its value for this input: in a pre-norm model the head's weights over the final standard
    deviation. One forward and one partial backward pass.

    Source: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021), direct logit attribution.

    Parameters
    ----------
    model : LoadedModel, ViT, TableTransformer or SeriesTransformer
    input : object
    target : int, optional
        By default the class, or next token, with the largest score.

    Raises
    ------
    DataError
        If the model's gradients are not available, or there is no such target.

    Examples
    --------
    >>> import numpy as np
    >>> from headwise.models.adapters import ViT
    >>> from headwise.models.vit import ViTConfig, vit_params
    >>> config = ViTConfig("14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    >>> model = ViT(config, vit_params(config, np.random.default_rng(0)))
    >>> terms = decompose_logit(model, np.ones((28, 28), np.float32))
    >>> terms.heads.shape, abs(terms.remainder) < 1e-5
    ((2, 2), True)
    """
    run = ModelRun(model, input, target)
    function, forward = run.function, run.forward
    cache: NetworkCache = freeze(forward.cache)
    top = cache._replace(trunk=cache.trunk._replace(blocks=()), embedding=_IDENTITY)
    above = function.backward(run.explained, forward, top)
    biases, dx = _bias_terms(above.params, function.params), above.input
    heads, mlps = [], []
    for i in reversed(range(len(cache.trunk.blocks))):
        params = subtree(function.params, f"blocks.{cache.trunk.options.group(i)}")
        block = cache.trunk.blocks[i]
        dx, grads, do = encoder_block_backward(dx, _without_branches(block))
        heads.append((do * block.attention.o)[0].sum(axis=(1, 2)))
        mlps.append(float((grads["mlp.output.weight"] * params["mlp.output.weight"]).sum()))
        biases += _bias_terms(grads, params)
    embedding = (dx[0] * cache.trunk.hidden_states[0][0]).sum(axis=-1)
    logit = float(forward.scores[0, run.explained])
    return LogitDecomposition(run.explained, logit, embedding, np.stack(heads[::-1]), np.array(mlps[::-1]), biases)


def _bias_terms(grads: Params, params: Params) -> float:
    """What biases add, but those inside a branch, which are part of its output."""
    names = [name for name in grads if name.endswith("bias") and not name.startswith(_INSIDE)]
    return sum(float((grads[name] * params[name]).sum()) for name in names)


def _without_branches(block: EncoderBlockCache) -> EncoderBlockCache:
    """The block's cache with no gradient into the sublayers, so that only the residual path is followed."""

    def closed(projection: Any) -> Any:
        return projection._replace(weight=np.zeros_like(projection.weight))

    projections = {name: closed(projection) for name, projection in block.attention.projections.items()}
    mlp = block.mlp._replace(hidden=closed(block.mlp.hidden))
    if mlp.gate is not None:
        mlp = mlp._replace(gate=(closed(mlp.gate[0]), *mlp.gate[1:]))
    return block._replace(attention=block.attention._replace(projections=projections), mlp=mlp)

"""The attention sublayers of one input, taken apart into the contribution of every token to every other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headwise.attribution.differentiable import Differentiable
from headwise.metrics.contributions import alti, attention_contributions, contribution_norms
from headwise.models.encoder.block import EncoderBlockCache
from headwise.models.encoder.network import NetworkCache
from headwise.models.encoder.norms import AffineCache, NormCache
from headwise.nn import Params, RmsNormCache, subtree
from headwise.shapes import Array

_ELEMENTS_AT_ONCE = 16_000_000  # of the contributions (N, M, D) in memory


@dataclass(frozen=True, eq=False)
class AttentionSublayer:
    """One attention sublayer on one input: heads, output projection, LayerScale, residual path and norms."""

    cache: EncoderBlockCache
    params: Params  # of the block
    x: Array  # (N, D): the residual stream before it

    @property
    def weights(self) -> Array:
        """Attention weights (H, N, M)."""
        weights = self.cache.attention.weights
        assert weights is not None  # the run kept them
        return np.asarray(weights[0])

    @property
    def values(self) -> Array:
        """Values of each head after its part of the output projection, (H, M, D)."""
        v = self.cache.attention.attention.inputs.v[0]
        v = np.repeat(v, len(self.weights) // len(v), axis=0)
        projection = self.cache.attention.output.weight.reshape(-1, *v.shape[::2])  # (D, H, e)
        return np.asarray(np.einsum("hme,dhe->hmd", v, projection, optimize=True))

    @property
    def constant(self) -> Array:
        """What the sublayer adds to each token whatever the tokens are, (N, D): biases."""
        zeros = np.zeros_like(self.x)
        branch = self._scale(zeros[:, None] + self.params.get("attention.output.bias", 0), slice(None))[:, 0]
        branch = branch + self._scale_bias()
        if not self.cache.options.post_norm:
            return np.asarray(branch)
        after = frozen_norm(branch[:, None], self.cache.attention_branch.norm, slice(None))[:, 0]
        return np.asarray(after + self.params.get("norm_1.bias", 0))

    def norm_weighted(self) -> Array:
        """Length of what attention carries from each key to each query, (N, M), without the residual path."""
        return self._by_rows(lambda rows: contribution_norms(self._attended(rows)))

    def globenc(self) -> Array:
        """Lengths with residual path and norms, (N, M)."""

        def lengths(rows: slice) -> Array:
            contributions = self.contributions(rows)
            if self.cache.options.post_norm:
                contributions = frozen_norm(contributions, self.cache.mlp_branch.norm, rows)
            return contribution_norms(contributions)

        return self._by_rows(lengths)

    def alti(self) -> Array:
        """ALTI's shares (N, M)."""
        constant = self.constant

        def shares(rows: slice) -> Array:
            contributions = self.contributions(rows)
            return alti(contributions, contributions.sum(axis=1) + constant[rows])

        return self._by_rows(shares)

    def _attended(self, rows: slice) -> Array:
        """Contributions (R, M, D) through attention alone."""
        return self._scale(attention_contributions(self.weights[:, rows], self.values), rows)

    def contributions(self, rows: slice) -> Array:
        """Contributions (R, M, D) with the residual path, after the norm of a post-norm block."""
        contributions = self._attended(rows)
        index = np.arange(len(self.x))[rows]
        contributions[np.arange(len(index)), index] += self.x[rows]
        if self.cache.options.post_norm:
            contributions = frozen_norm(contributions, self.cache.attention_branch.norm, rows)
        return contributions

    def _scale(self, vectors: Array, rows: slice) -> Array:
        """The norm of the branch and LayerScale, as linear maps of vectors (R, M, D)."""
        branch = self.cache.attention_branch
        if branch.branch_norm is not None:
            vectors = frozen_norm(vectors, branch.branch_norm, rows)
        return vectors if branch.scale is None else vectors * branch.scale[0]

    def _scale_bias(self) -> Array:
        """The bias of the branch's norm, after LayerScale."""
        bias: Array = self.params.get("attention_norm.bias", np.zeros(self.x.shape[1], self.x.dtype))
        scale = self.cache.attention_branch.scale
        return bias if scale is None else bias * scale[0]

    def _by_rows(self, compute: Callable[[slice], Array]) -> Array:
        n, width = self.x.shape
        step = max(1, _ELEMENTS_AT_ONCE // (n * width))
        return np.concatenate([compute(slice(start, start + step)) for start in range(0, n, step)])


def attention_sublayers(function: Differentiable, cache: NetworkCache) -> list[AttentionSublayer]:
    """The attention sublayers of a run of one input, the first layer first."""
    trunk, sublayers = cache.trunk, []
    for i, block in enumerate(trunk.blocks):
        params = subtree(function.params, f"blocks.{trunk.options.group(i)}")
        sublayers.append(AttentionSublayer(block, params, trunk.hidden_states[i][0]))
    return sublayers


def frozen_norm(vectors: Array, cache: NormCache | None, rows: slice) -> Array:
    """Vectors (R, M, D) of queries `rows`, divided as the norm divided its input there and multiplied by its gain."""
    assert cache is not None  # the caller knows that there is a norm
    saved = cache.saved
    if isinstance(saved, AffineCache):
        return np.asarray(vectors * saved.gain)
    if isinstance(saved, RmsNormCache):
        return np.asarray(vectors * saved.inverse_rms.reshape(-1, 1, 1)[rows] * saved.factor)
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    return np.asarray(centred * saved.inv_std.reshape(-1, 1, 1)[rows] * saved.gain)

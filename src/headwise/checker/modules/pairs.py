"""Features of pairs of tokens, (B, N, M, c), of which a layer makes a bias of the logits of each head.

With the matrix (H, c) of the layer set to the first H features, any bias can be passed as such features. Where they
are normalised first, features whose mean is zero and whose length is known stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from headwise.checker.arguments.roles import role_of
from headwise.checker.modules.layer import Layer, Parameter
from headwise.checker.modules.matrices import collect_parts
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_NAME = re.compile(r"pair|edge|(^|_)z(_|$)|(^|_)e(_|$)|adj|dist|rel")
_SMALL = 0.01  # the size of a bias among normalised features, which the matrix makes up for
_LONG = 1e4  # so that the number that a norm adds to a variance does not matter


@dataclass(frozen=True, slots=True)
class Pairs:
    """The argument that takes features of pairs, and the matrix that makes a bias of them."""

    argument: str
    matrix: Parameter
    heads: int
    normalized: bool = False

    @property
    def stored(self) -> dict[str, Array]:
        """What the matrix has to hold: the first features, one for each head."""
        rows = np.eye(self.heads, self.matrix.value.size // self.heads) / (_SMALL if self.normalized else 1.0)
        return {self.matrix.name: (rows if self._heads_first else rows.T).reshape(self.matrix.shape)}

    def features(self, bias: Array) -> Array:
        """Features (B, N, M, c) for a bias (B, H, N, M)."""
        first = bias.transpose(0, 2, 3, 1)
        features = np.zeros((*first.shape[:3], self.matrix.value.size // self.heads), bias.dtype)
        features[..., : self.heads] = first
        if not self.normalized:
            return features
        features *= _SMALL
        total, squares = features.sum(axis=-1), (features**2).sum(axis=-1)
        half = np.sqrt((features.shape[-1] - squares) / 2 - (total / 2) ** 2)
        features[..., -2], features[..., -1] = half - total / 2, -half - total / 2
        return _LONG * features

    @property
    def _heads_first(self) -> bool:
        return self.matrix.axes != "io" and self.matrix.shape[0] == self.heads


def possible_pairs(layer: Layer, heads: int) -> Iterator[Pairs]:
    """The arguments after the first that may be features of pairs: by their names, or because they are required."""
    arguments = layer.arguments.values()
    names, required = [p.name for p in arguments], [p.name for p in arguments if p.default is p.empty]
    candidates = [name for name in names[1:] if _NAME.search(name.lower())]
    unknown = [name for name in required if role_of(name) in (None, "X", "context", "bias")]
    candidates += [name for name in unknown if name not in candidates and name != names[0]]
    for parameter in collect_parts(layer.parameters).rest:
        sides = [side for side in parameter.shape if side > 1]
        if len(sides) == 2 and heads in sides and parameter.axes and max(sides) >= heads > 1:
            yield from (Pairs(name, parameter, heads) for name in candidates)


def without_pairs(layer: Layer, pairs: Pairs) -> tuple[Parameter, ...]:
    """The parameters of a layer without the matrix of the pairs and its bias."""
    owner = pairs.matrix.name.rpartition(".")[0]
    return tuple(p for p in layer.parameters if p.name.rpartition(".")[0] != owner)

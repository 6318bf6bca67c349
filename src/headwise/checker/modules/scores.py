"""Layers that attend from given queries to given keys, which are the values too, with a score that they learn.

It is qᵀ W k (Luong et al., 2015) or a · tanh(U q + V k) (Bahdanau et al., 2015), with U and V perhaps in one matrix.
What such a layer learns becomes arguments of its call, as those of a function are.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headwise.checker.calling.responses import bare
from headwise.checker.modules.calls import tokens_of
from headwise.checker.modules.layer import Layer, Parameter
from headwise.checker.modules.matrices import collect_parts
from headwise.checker.target import Target, TargetSizes
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import DataError
from headwise.shapes import Array

_BIAS = re.compile(r"(\w*_)?(bias|b)|b_\w+|bias_\w+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Score:
    """Where a layer holds what its score is made of."""

    parts: Mapping[str, Parameter]  # by the reference's names: Ss; or Sq, Sk and Sa
    queries: int  # the width of the queries
    keys: int  # the width of the keys
    inner: int = 1  # how many numbers the vector Sa has
    joined: int | None = None  # the axis along which one parameter holds both Sq and Sk

    def stored(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What the layer has to hold, by the names of its parameters."""
        if self.joined is None:
            return {self.parts[role].name: array for role, array in arrays.items()}
        both = np.concatenate([arrays["Sq"], arrays["Sk"]], axis=self.joined)
        return {self.parts["Sq"].name: both, self.parts["Sa"].name: arrays["Sa"]}


def kinds_of_scores(layer: Layer) -> str:
    """What is checked besides projections, in a sentence for a layer that is given queries and keys."""
    if "context" not in _tokens(layer).values():
        return ""
    return (
        " Of layers that attend from given queries to given keys, those are checked that learn a score, qᵀ W k (Luong)"
        " or a · tanh(U q + V k) (Bahdanau), and nothing else, and that return the mixture of the keys."
    )


def refuse_sums(layer: Layer) -> None:
    """Raise DataError for a layer whose score is a sum of numbers of the two tokens, as those of graphs (GAT)."""
    vectors = [p for p in layer.parameters if p.value.size == max(p.shape, default=0) > 1 and not _is_bias(p)]
    if vectors and re.search(r"leaky_?relu", layer.documentation, re.IGNORECASE):
        raise DataError(
            f"{layer.name}: its scores are LeakyReLUs of sums, one number of each of the two tokens, as in graph"
            " attention networks. Headwise checks scores of queries and keys, q · k or qᵀ W k, also in graphs."
        )


def _is_bias(parameter: Parameter) -> bool:
    return _BIAS.fullmatch(parameter.name.rpartition(".")[2]) is not None


def _tokens(layer: Layer) -> Mapping[str, str]:
    names = [p.name for p in layer.arguments.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return tokens_of(names, [name for name in names if layer.arguments[name].default is inspect.Parameter.empty])


def score_targets(layer: Layer) -> list[Target]:
    """The layer as attention of given queries and keys, in each way of reading its parameters; none for others."""
    tokens = _tokens(layer)
    if "context" not in tokens.values():
        return []
    biases = {p.name: np.zeros(p.shape) for p in layer.parameters if _is_bias(p)}
    scores = list(_scores([p for p in layer.parameters if p.name not in biases], "tanh" in layer.documentation))
    if collect_parts(layer.parameters).complete:  # unless the values are a vector by which they are multiplied
        scores = [score for score in scores if "Sa" in score.parts]
    if scores and biases:
        layer.write(biases)
    return [_target(layer, tokens, score, tuple(biases)) for score in scores]


def _scores(parameters: list[Parameter], additive: bool) -> Iterator[_Score]:
    """The ways of reading the parameters of a layer; none if they are others."""
    matrices = [p for p in parameters if p.value.ndim == 2 and min(p.shape) > 1]
    vectors = [p for p in parameters if p.value.size == max(p.shape, default=0) > 1]
    if len(matrices) + len(vectors) < len(parameters):
        return
    if not additive and len(matrices) == 1 and not vectors:
        (matrix,) = matrices
        for queries, keys in dict.fromkeys([matrix.shape, matrix.shape[::-1]]):
            yield _Score({"Ss": matrix}, queries, keys)
    elif additive and len(vectors) == 1 and len(matrices) in (1, 2):
        inner = vectors[0].value.size
        if any(inner not in p.shape for p in matrices):
            return
        widths = [p.shape[p.shape[0] == inner] for p in matrices]
        if len(matrices) == 1:
            half, joined = widths[0] // 2, int(matrices[0].shape[0] == inner)
            yield _Score({"Sq": matrices[0], "Sk": matrices[0], "Sa": vectors[0]}, half, half, inner, joined)
        for first in range(len({*widths}) if len(matrices) == 2 else 0):
            parts = {"Sq": matrices[first], "Sk": matrices[1 - first], "Sa": vectors[0]}
            yield _Score(parts, widths[first], widths[1 - first], inner)


def _target(layer: Layer, tokens: Mapping[str, str], score: _Score, biases: tuple[str, ...]) -> Target:
    contexts = [name for name, source in tokens.items() if source == "context"]
    as_keys = dict.fromkeys(contexts[1:], "")  # values under a name of their own are the keys
    return Target(
        layer.name,
        "cross_attention",
        _forward(layer, score, contexts),
        layer.write,
        frozenset(),
        TargetSizes(score.queries, 1, 1, score.inner, score.keys, score.keys, score.keys),
        layer.convert,
        roles={**tokens, **as_keys, **{role: role for role in score.parts}},
        neutral=biases,
        source=layer.source,
        function=layer.function,
    )


def _forward(layer: Layer, score: _Score, contexts: list[str]) -> Callable[..., Any]:
    """The call of a layer with what its score is made of as further arguments, and with its keys as values."""
    signature, kind = inspect.signature(layer.forward), inspect.Parameter.KEYWORD_ONLY
    own = [p for name, p in signature.parameters.items() if name not in contexts[1:] and p.kind is not p.VAR_KEYWORD]
    parts = [inspect.Parameter(role, kind) for role in score.parts]
    values = [inspect.Parameter(name, kind, default=None) for name in contexts[1:]]  # which are not passed
    outer = signature.replace(parameters=[*own, *parts, *values])

    @functools.wraps(layer.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        arguments = dict(outer.bind(*args, **kwargs).arguments)
        layer.write(score.stored({role: bare(arguments.pop(role)) for role in score.parts}))
        keys = {name: arguments[contexts[0]] for name in contexts[1:]}
        return layer.forward(**arguments, **keys)

    vars(forward)["__signature__"] = outer
    return forward

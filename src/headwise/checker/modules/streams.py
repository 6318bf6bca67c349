"""Layers with projections of their own for a second source of tokens, seen as layers with one source.

In joint attention (Esser et al., 2024) two streams, each with projections of its own, attend to both. The first half of
the tokens goes to one stream, the rest to the other. An adapter of a cross-attention (Ye et al., 2023) adds the output
for a second context: both contexts are then the same. The second source is turned by an orthogonal matrix and its
projections undo that, so that a projection of the wrong source shows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.modules.layer import Layer, Parameter
from headwise.checker.modules.matrices import Matrix, collect_parts
from headwise.checker.modules.names import OF_SOURCE
from headwise.checker.modules.names import role_of as part_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array


@dataclass(frozen=True, slots=True)
class _Twin:
    """A parameter of the second source, the one of the first that it corresponds to, and what both belong to."""

    first: Parameter
    second: Parameter
    part: str


def views_with_one_source(layer: Layer) -> Iterator[Layer]:
    """The layer as one with one source of tokens, in either order, or with one context; nothing without a second."""
    twins = list(_twins(layer))
    parts = "".join(twin.part for twin in twins if twin.first.value.ndim > 1)
    names = [p.name for p in layer.arguments.values() if role_of(p.name) not in _OPTIONS]
    if layer.framework != "torch" or not {"k", "v"} <= set(parts) or any(t.first.axes != "oi" for t in _weights(twins)):
        return
    if "q" in parts and len(names) >= 2:
        view = _View(layer, twins, "q")
        yield from (view.of_streams(names[0], names[1], second_first) for second_first in (False, True))
    if "q" not in parts and len(names) >= 3 and any(twin.part == "v" for twin in twins):
        yield _View(layer, twins, "k").of_contexts(names[1], names[2])
    if "q" not in parts and len(names) == 2:
        yield _View(layer, twins, "k").of_tokens_and_context(names[1])


_OPTIONS = ("mask", "padding", "bias", "causal", "scale")


def _weights(twins: list[_Twin]) -> list[_Twin]:
    return [twin for twin in twins if twin.first.value.ndim > 1]


def _twins(layer: Layer) -> Iterator[_Twin]:
    """The parameters that are left whose names, but for a word, are those of a projection of the same shape."""
    parts = collect_parts(layer.parameters)
    for parameter in parts.rest:
        plain = OF_SOURCE.sub("", parameter.name).lstrip("._")
        role = part_of(plain) if plain != parameter.name else None
        for matrices in (parts.weights, parts.biases):
            matrix: Matrix | None = matrices.get("o" if role and role.part == "o?" else role.part) if role else None
            if matrix is not None and [p.shape for p in matrix.stored] == [parameter.shape]:
                yield _Twin(matrix.stored[0], parameter, matrix.part)


@dataclass(frozen=True, slots=True)
class _View:
    layer: Layer
    twins: list[_Twin]
    turned: str  # the part whose matrix has as many columns as the second source has features

    @property
    def _turn(self) -> Array:
        """An orthogonal matrix (D, D)."""
        columns = next(t.first.shape[1] for t in _weights(self.twins) if self.turned in t.part)
        return np.asarray(np.linalg.qr(np.random.default_rng(23).normal(size=(columns, columns)))[0])

    def _view(
        self, forward: Callable[..., Any], hidden: str, note: str, write: Callable[[Mapping[str, Array]], None]
    ) -> Layer:
        """The layer without the parameters and the argument of its second source."""
        signature = inspect.signature(self.layer.forward)
        visible = [p for name, p in signature.parameters.items() if name != hidden]
        vars(forward)["__signature__"] = signature.replace(parameters=visible)
        seconds = {twin.second.name for twin in self.twins}
        parameters = tuple(p for p in self.layer.parameters if p.name not in seconds)
        return replace(self.layer, parameters=parameters, write=write, forward=forward, note=note)

    def of_streams(self, first: str, second: str, second_first: bool) -> Layer:
        """The layer of all tokens, of which the last ones, or the first, are those of the second stream."""
        turn, layer = self._turn, self.layer

        def write(arrays: Mapping[str, Array]) -> None:
            layer.write({**arrays, **dict(self._turned(arrays, turn))})

        def forward(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(forward).bind(*args, **kwargs)
            tokens = bound.arguments.pop(first)
            matrix = layer.convert(turn).to(tokens.dtype)
            count = (tokens.shape[1] - 1) // 2  # so that the streams are of different lengths
            names = (second, first) if second_first else (first, second)
            streams = dict(zip(names, (tokens[:, :count], tokens[:, count:]), strict=True))
            streams[second] = streams[second] @ matrix
            outputs = layer.forward(**streams, **bound.arguments)
            if not isinstance(outputs, tuple | list):
                return outputs
            of_length = {output.shape[1]: output for output in outputs[:2]}
            of_length[streams[second].shape[1]] = of_length[streams[second].shape[1]] @ matrix
            return _joined(of_length[count], of_length[tokens.shape[1] - count])

        return self._view(forward, second, f"joint attention of two streams ({first}, {second})", write)

    def of_contexts(self, first: str, second: str) -> Layer:
        """The layer of one context, half of whose values come from the second."""
        turn, layer = self._turn, self.layer
        values = {t.first.name for t in self.twins if t.part == "v"}

        def write(arrays: Mapping[str, Array]) -> None:
            halved = {name: array / 2 if name in values else array for name, array in arrays.items()}
            layer.write({**halved, **dict(self._turned(halved, turn))})

        def forward(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(forward).bind(*args, **kwargs)
            context = bound.arguments[first]
            return layer.forward(**bound.arguments, **{second: context @ layer.convert(turn).to(context.dtype)})

        return self._view(forward, second, f"a sum over two contexts ({first}, {second})", write)

    def of_tokens_and_context(self, second: str) -> Layer:
        """The layer whose keys and values are made from its tokens and a context alike."""
        turn, layer = self._turn, self.layer

        def write(arrays: Mapping[str, Array]) -> None:
            layer.write({**arrays, **dict(self._turned(arrays, turn))})

        def forward(*args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(forward).bind(*args, **kwargs)
            if bound.arguments.get(second) is not None:
                context = bound.arguments[second]
                bound.arguments[second] = context @ layer.convert(turn).to(context.dtype)
            return layer.forward(**bound.arguments)

        return self._view(forward, "", f"projections of its own for {second}", write)

    def _turned(self, arrays: Mapping[str, Array], turn: Array) -> Iterator[tuple[str, Array]]:
        """What the parameters of the second source hold: the same, for tokens that are turned."""
        for twin in self.twins:
            if twin.first.name in arrays:
                array = arrays[twin.first.name]
                before = turn.astype(array.dtype)
                if twin.part == "o":
                    yield twin.second.name, before @ array
                else:
                    yield twin.second.name, array @ before if array.ndim > 1 else array


def _joined(first: Any, second: Any) -> Any:
    import torch

    return torch.cat([first, second], dim=1)

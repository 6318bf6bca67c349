"""Gates on the output of attention: a squashed linear function of the tokens by which it is multiplied.

The matrix of a gate is one of its own, or some rows of the projection to queries (Qiu et al., 2025, Gated Attention).
It is given random numbers, which the reference has too, so that the gate itself is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

from headwise.checker.modules.extras import linear_functions
from headwise.checker.modules.heads import named_head_count
from headwise.checker.modules.layer import Gate, Layer, Parameter
from headwise.checker.modules.matrices import Matrix, Parts, collect_parts
from headwise.checker.reference.state import Trace, configurable
from headwise.checker.search.mistakes import Explanation
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

_OPEN = 40.0  # of which sigmoid and tanh are one
_OF_NUMBERS = re.compile(r"(^|[._])\w*(gate|gating|alpha)(_?(attn|attention|factor|scale))?$", re.IGNORECASE)
Squash: TypeAlias = Callable[[Array], Array]
_SQUASHES: tuple[Squash, ...] = (
    lambda a: 1 / (1 + np.exp(-a)),
    lambda a: a / (1 + np.exp(-a)),
    np.tanh,
)


def gates(gate: Gate | None) -> list[Explanation]:
    """The output before its projection, or after it, times a gate: of each kind in use, or of one half if not known.

    One half is a sigmoid whose weights are zero.
    """
    if gate is None:
        return [Explanation.of(("gated", {place: _halve})) for place in ("+merge", "+output")]
    places = (("+merge", _multiply), ("+output", _multiply), ("+mix", _multiply_heads))
    return [Explanation.of(("gated", {at: by(gate, squash)})) for squash in _SQUASHES for at, by in places]


def _halve(t: Trace) -> None:
    t.o = t.o / 2


@configurable
def _multiply(t: Trace, gate: Gate, squash: Squash) -> None:
    """Multiply (B, N, n·m) by n numbers for each token."""
    factors = _factors(gate, squash, t.X)
    t.o = (t.o.reshape(*factors.shape, -1) * factors[..., None]).reshape(t.o.shape)


@configurable
def _multiply_heads(t: Trace, gate: Gate, squash: Squash) -> None:
    """Multiply (B, H, N, e) by a number for each token and head."""
    t.o = t.o * _factors(gate, squash, t.X).swapaxes(1, 2)[..., None]


def _factors(gate: Gate, squash: Squash, tokens: Array) -> Array:
    """The numbers (B, N, n) of a gate."""
    return squash(tokens[..., : gate.matrix.shape[1]] @ gate.matrix.T + gate.bias)


def views_with_gate(layer: Layer) -> Iterator[Layer]:
    """The layer with a gate that is filled, in each way in which one of its parameters may hold it."""
    parts = collect_parts(layer.parameters)
    queries = next((m for part, m in parts.weights.items() if "q" in part), None)
    if queries is None or "o" not in parts.weights or queries.stored[0].value.ndim != 2:
        return
    matrices = [p for p in linear_functions(layer) if set(p.shape) & set(queries.shape)]
    if len(matrices) == 1:
        yield from _views_with_matrix(layer, matrices[0])
    elif not matrices and len(queries.stored) == 1:
        yield from _views_with_rows(layer, parts, queries)
    numbers = [p for p in parts.rest if _OF_NUMBERS.search(p.name) and max(p.shape, default=1) == p.value.size]
    if len(numbers) == 1 and not matrices:
        layer.write({numbers[0].name: np.full(numbers[0].shape, _OPEN)})
        parameters = tuple(p for p in layer.parameters if p is not numbers[0])
        size = numbers[0].value.size
        yield replace(
            layer, parameters=parameters, gate=Gate(numbers[0].name, np.zeros((size, 0)), np.full(size, _OPEN))
        )


def _views_with_matrix(layer: Layer, matrix: Parameter) -> Iterator[Layer]:
    rng, bias = np.random.default_rng(19), f"{matrix.name.rpartition('.')[0]}.bias"
    random = {p.name: _random(rng, p.shape, matrix) for p in layer.parameters if p.name in (matrix.name, bias)}
    parameters = tuple(p for p in layer.parameters if p.name not in random)
    for axes in [matrix.axes] if matrix.axes else ("io", "oi"):
        rows = random[matrix.name] if axes == "oi" else random[matrix.name].T
        layer.write(random)
        yield replace(layer, parameters=parameters, gate=Gate(matrix.name, rows, random.get(bias, np.zeros(len(rows)))))


def _random(rng: np.random.Generator, shape: tuple[int, ...], matrix: Parameter) -> Array:
    """Numbers for which a gate is neither open nor closed, and which float32 can hold."""
    numbers: Array = rng.normal(size=shape) * max(matrix.shape) ** -0.5
    return numbers.astype(np.float32).astype(np.float64)


def _views_with_rows(layer: Layer, parts: Parts, queries: Matrix) -> Iterator[Layer]:
    """The layer without the rows of a projection that are a gate: those of each head, or of all together."""
    stored, width = queries.stored[0], len(queries.part)
    heads_side = 1 if stored.axes == "io" else 0
    rows, expected = stored.shape[heads_side], parts.weights["o"].stored[0].value.size // stored.shape[1 - heads_side]
    if rows != (width + 1) * expected or not stored.axes:
        return
    biases = [b.stored[0] for part, b in parts.biases.items() if part == queries.part]
    heads = named_head_count(layer, expected) or 1
    # queries alone are rather split into heads before the gate is cut off
    groups_in_order = dict.fromkeys([1, heads] if width > 1 else [heads, 1])
    for groups, place in product(groups_in_order, (width, 0, 1)[: width + 1]):
        is_gate = np.zeros((groups, width + 1, expected // groups), bool)
        is_gate[:, place] = True
        yield _Rows(layer, (stored, *biases), heads_side, is_gate.ravel()).view()


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a matrix, and the entries of its bias, that belong to a gate."""

    layer: Layer
    stored: tuple[Parameter, ...]  # the matrix and perhaps a bias
    heads_side: int  # the axis of the matrix that the rows are
    is_gate: BoolArray

    def view(self) -> Layer:
        """The layer without them, after they are filled."""
        rng = np.random.default_rng(19)
        matrix, *biases = ((p, np.moveaxis(p.value, self._axis(p), 0)) for p in self.stored)
        filled = {
            p.name: _random(rng, (self.is_gate.sum(), *a.shape[1:]), self.stored[0]) for p, a in (matrix, *biases)
        }
        others = {
            p.name: replace(p, value=np.compress(~self.is_gate, p.value, self._axis(p))) for p, _ in (matrix, *biases)
        }
        bias = filled[biases[0][0].name] if biases else np.zeros(self.is_gate.sum())
        gate = Gate(matrix[0].name, filled[matrix[0].name], bias)

        def write(arrays: Mapping[str, Array]) -> None:
            written = [p for p in self.stored if p.name in arrays]
            self.layer.write({**arrays, **{p.name: self._whole(p, arrays, filled) for p in written}})

        parameters = tuple(others.get(p.name, p) for p in self.layer.parameters)
        return replace(self.layer, parameters=parameters, write=write, gate=gate)

    def _axis(self, parameter: Parameter) -> int:
        return self.heads_side if parameter.value.ndim == 2 else 0

    def _whole(self, parameter: Parameter, arrays: Mapping[str, Array], filled: Mapping[str, Array]) -> Array:
        """What is stored: the rows that the checker sees, and those of the gate."""
        array = np.moveaxis(arrays[parameter.name], self._axis(parameter), 0)
        whole = np.empty((len(self.is_gate), *array.shape[1:]), array.dtype)
        whole[~self.is_gate], whole[self.is_gate] = array, filled[parameter.name]
        return np.moveaxis(whole, 0, self._axis(parameter))

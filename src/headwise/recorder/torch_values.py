"""What a tensor on the way from q·k to p·v is: a product, the scores made from it, or the weights made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from torch import Tensor

from headwise.recorder.axes import Axes

UNUSED = "its result is multiplied with no values"


@dataclass(frozen=True)
class Product:
    """A matrix product a b, and what was done to it since."""

    # (P, N, d), (P, d, M): the factors
    a: Tensor
    b: Tensor
    axes: Axes  # where each element of the tensor lies in the product (P, N, M)
    linear: bool = False  # whether one factor is a parameter: a linear layer, and not scores of queries and keys
    scale: float = 1.0  # what the product was multiplied by
    cap: float | None = None  # factor after a tanh, if there was one
    other: bool = False  # whether anything else was done: a mask, a bias, a factor that is not one number
    factors: tuple[tuple[Tensor, Axes], ...] = ()  # factors that depend on the item and the head alone
    # axis of the tensor, first and number of columns that are the product's, where others (sinks) were joined
    columns: tuple[int, int, int] | None = None
    functions: frozenset[str] = frozenset()  # functions other than sums and factors that were applied, such as ``exp``
    shape: tuple[int, ...] = ()  # of the last elementwise operation's result

    def shaped(self, change: Callable[[Axes], Axes | None]) -> Product | None:
        """The same elements in another shape."""
        axes = None if self.columns else change(self.axes)
        return None if axes is None else replace(self, axes=axes)


@dataclass
class Softmax:
    """One softmax of the run."""

    module: str  # where it ran
    reason: str  # why it is not attention; empty once it was recorded
    # whether it looks like attention all the same: over the last of four axes, and not of a linear layer's output
    suspect: bool = False
    shape: tuple[int, ...] | None = None  # of its result
    result: Tensor | None = None  # until it was recorded, of a suspect
    part: Axes | None = None  # which of its elements were multiplied with values

    def set_reason(self, reason: str) -> None:
        """Set why it was not recorded as attention, or nothing if it was."""
        self.reason = reason
        self.result = self.result if reason else None

    def note_move(self, operation: str) -> None:
        """Set which operation moved the elements of its result, after which they are not followed.

        Rows of two axes are weights of experts or classes.
        """
        if self.reason == UNUSED and self.shape is not None and len(self.shape) > 2:
            self.reason = f"{operation} moves its elements, as in attention computed in chunks"


@dataclass(frozen=True)
class Weights:
    """The result of a softmax, and what was done to it since."""

    softmax: Softmax
    logits: Tensor  # the softmax's argument
    axis: int  # over which it normalises
    product: Product | None  # what the argument was made from, where that is known
    axes: Axes  # where each element lies in the softmax's result
    changes: tuple[str, ...] = field(default=())  # operations that changed the weights after the softmax
    # logit of a sink for each row: of the argument's shape, with one element along the axis
    sinks: Tensor | None = None
    explained: bool = False  # whether `logits` are those of the changed weights

    def shaped(self, change: Callable[[Axes], Axes | None]) -> Weights | None:
        """The same elements in another shape."""
        axes = change(self.axes)
        return None if axes is None else replace(self, axes=axes)


Value: TypeAlias = Product | Weights


@dataclass(frozen=True)
class ValueProduct:
    """Weights times values, as the run multiplied them."""

    axes: Axes  # of the weights' operand, (P, N, M)
    values: Tensor  # (P, M, e)
    output: Tensor  # (P, N, e)
    operands: tuple[Tensor, ...]  # the two factors as the operation received them; empty if it was no matrix product
    # the shape of the operation's result that is (P, N, e), or (P, e, N) if the factors are the other way round
    shape: tuple[int, ...]
    # by which the operation multiplied the product, a number or one for each row (P, N, 1)
    factor: float | Tensor = 1.0
    swaps: bool = False  # whether the factors are the other way round

    def swapped(self) -> ValueProduct:
        """The same with its factors the other way round."""
        axes, values, output = self.axes.transpose(1, 2), self.values.transpose(1, 2), self.output.transpose(1, 2)
        return replace(self, axes=axes, values=values, output=output, swaps=True)

    def arrange(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to `output`, from that with respect to the operation's result."""
        shaped = gradient.reshape(self.shape) * self.factor
        return shaped.transpose(1, 2) if self.swaps else shaped


def _slice(axes: Axes, shape: Sequence[int], args: Sequence[Any]) -> Axes | None:
    axis = (args[1] if len(args) > 1 else 0) % len(axes.axes)
    start, step = args[2] if len(args) > 2 else None, args[4] if len(args) > 4 else 1
    return axes.slice(axis, slice(start, None).indices(axes.shape[axis])[0], shape[axis], step)


def _squeeze(axes: Axes, shape: Sequence[int], args: Sequence[Any]) -> Axes:
    dims = args[1] if len(args) > 1 else None
    return axes.squeeze([dims] if isinstance(dims, int) else dims)


# operations that arrange the elements of their first argument in another shape: axes, the result's shape, arguments
SHAPING: dict[str, Callable[[Axes, Sequence[int], Sequence[Any]], Axes | None]] = {
    **dict.fromkeys(
        ("view", "_unsafe_view", "_reshape_alias", "view_copy"), lambda axes, shape, args: axes.view(shape)
    ),
    **dict.fromkeys(
        ("alias", "detach", "clone", "_to_copy", "lift_fresh", "dequantize"), lambda axes, shape, args: axes
    ),
    "expand": lambda axes, shape, args: axes.expand(shape),
    "permute": lambda axes, shape, args: axes.permute([axis % len(shape) for axis in args[1]]),
    "transpose": lambda axes, shape, args: axes.transpose(args[1], args[2]),
    "t": lambda axes, shape, args: axes.permute(range(len(shape))[::-1]),
    "unsqueeze": lambda axes, shape, args: axes.unsqueeze(args[1]),
    "squeeze": _squeeze,
    "slice": _slice,
    "select": lambda axes, shape, args: axes.select(args[1] % len(axes.axes), args[2]),
}


def elementwise(value: Value, name: str, position: int, args: Sequence[Any], shape: Sequence[int]) -> Value | None:
    """The value of an elementwise operation's result in `shape`, of which the argument at `position` has this value."""
    if value.axes.shape != tuple(shape) and not (isinstance(value, Product) and value.columns):
        grown = value.shaped(lambda axes: axes.expand(shape))
        if grown is None or (isinstance(value, Product) and 1 in (value.a.shape[1], value.b.shape[2])):
            return None  # a column that is spread over a matrix, as in additive attention, has no queries and keys
        value = grown
    if isinstance(value, Weights):
        neutral = name == "nan_to_num" or (name in ("mul", "div") and _number(args[1]) == 1.0)
        return value if neutral else replace(value, changes=(*value.changes, name.removeprefix("native_")))
    changed = _scores(value, name, position, args)
    if changed is None:
        return None
    functions = {*_FUNCTIONS} & {name}
    return replace(changed, shape=tuple(shape), functions=changed.functions | functions)


_FUNCTIONS = ("exp", "exp2", "sigmoid", "relu", "softplus", "elu", "square", "pow", "clamp", "clamp_min")


def _scores(value: Product, name: str, position: int, args: Sequence[Any]) -> Product | None:
    """Scores after an elementwise operation."""
    if name in ("mul", "div"):
        return _scaled(value, name, position, args)
    if name == "neg":
        return replace(value, other=True) if value.other or value.cap else replace(value, scale=-value.scale)
    if name == "tanh":
        return None if value.other or value.cap is not None else replace(value, cap=1.0)
    if name in ("eq", "ne", "lt", "gt", "le", "ge", "logical_not"):
        return None
    return replace(value, other=True)


def _scaled(value: Product, name: str, position: int, args: Sequence[Any]) -> Product | None:
    """Scores times a number, or times a factor per head."""
    factor = args[1 - position]
    if name == "div" and position == 1:
        return None
    number = _number(factor)
    if number is not None and not value.other:
        times = number if name == "mul" else 1 / number if number else float("nan")
        if value.cap is not None:
            return replace(value, cap=value.cap * times)
        return replace(value, scale=value.scale * times)
    plain = isinstance(factor, Tensor) and not value.other and value.cap is None and not value.columns
    if plain and factor.shape[-2:].numel() == 1:
        return replace(value, factors=(*value.factors, (factor if name == "mul" else 1 / factor, value.axes)))
    return replace(value, other=True)


def _number(value: Any) -> float | None:
    """An argument that is one number, however it is written."""
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, int | float) else None

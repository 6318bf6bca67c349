"""Follow attention written out by hand in torch: product of queries and keys, softmax, product with the values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tag, Tensor

from headwise.recorder.axes import Axes
from headwise.recorder.torch_tensors import Sources, TensorTable, tensors_in
from headwise.recorder.torch_values import SHAPING, UNUSED, Product, Softmax, Value, ValueProduct, Weights, elementwise
from headwise.recorder.torch_weighted import Unnormalised, Weighted, changed_weights, weights_of_operand

_ELEMENTWISE = ("masked_fill", "native_dropout", "quantize_per_tensor")  # those that torch does not mark as such
_EXPONENTIALS = frozenset({"exp", "exp2"})
_PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2), "mv": (0, 1)}


class Follower:
    """Watches every operation of a run.

    `parameters`: addresses of the storages of the model's parameters.
    `module`: returns the name of the module that is running.
    `attend`: called with the weights and their product with the values; returns why it is no attention, or nothing.
    """

    def __init__(
        self, parameters: set[int], module: Callable[[], str], attend: Callable[[Weights, ValueProduct], str]
    ) -> None:
        self.table: TensorTable[Value | Unnormalised | Weighted] = TensorTable()  # what is known of each tensor
        self.softmaxes: list[Softmax] = []
        self.inside = ""  # the function that is running, where its name says more than those of its operations
        self._parameters, self._module, self._attend = parameters, module, attend
        self._copies: list[Tensor] = []  # of parameters, in another type, as autocast makes them

    def follow(self, operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """Note what one operation made of its arguments."""
        namespace, _, name = operation._schema.name.partition("::")
        self._derive(namespace, name, args, kwargs, result)
        if namespace not in ("aten", "quantized"):
            return
        out = result[0] if isinstance(result, list | tuple) and len(result) and name == "native_dropout" else result
        if name in ("split", "split_with_sizes", "unbind", "chunk"):
            self._divided(name, args, result)
        elif not isinstance(out, Tensor):
            return
        elif name in _PRODUCTS:
            self._product(name, args, kwargs, out)
        elif name in ("_softmax", "_safe_softmax"):
            self._softmax(args[0], args[1], out)
        elif name == "sum" and isinstance(weighted := self._value_of(args[0]), Weighted):
            self._summed(weighted, args, out)
        elif name == "_log_softmax":
            self._elementwise(name, False, args[:1], out)
        elif name == "cat":
            self._joined(args[0], args[1] if len(args) > 1 else kwargs.get("dim", 0), out)
        elif name in SHAPING:
            self._shaped(name, args, out)
        elif name in ("squeeze_", "unsqueeze_"):  # the argument has its new shape already
            value = self.table.last_value(out)
            shape = tuple(out.shape)
            reshaped = value.shaped(lambda axes: axes.view(shape)) if isinstance(value, Product | Weights) else None
            self.table.store(out, reshaped)
        elif name == "convolution":
            mixed = self._value_of(args[0])
            if isinstance(mixed, Weights) and out.shape == args[0].shape:
                self.table.store(out, replace(mixed, changes=(*mixed.changes, "a convolution")))
        elif name == "copy_":
            value = self._value_of(args[1]) if args[0].shape == args[1].shape else None
            self.table.store(out, value, overwritten=True)
        elif Tag.pointwise in operation.tags or name.rstrip("_") in _ELEMENTWISE:
            self._elementwise(name, operation._schema.is_mutable, args, out)
        elif operation._schema.is_mutable:
            self.table.store(out, None, overwritten=True)
        elif args and isinstance(value := self._value_of(args[0]), Weights) and out.numel() >= args[0].numel():
            value.softmax.note_move(name)

    # Sources

    def _derive(self, namespace: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """Which tensors each result comes from."""
        if name in SHAPING and name not in ("clone", "_to_copy"):
            return  # the result shares the storage of the argument
        operands = [*tensors_in(args), *tensors_in(kwargs.values())]
        if name in ("clone", "_to_copy") and self._is_parameter(args[0]):
            self._copies.append(result)  # so that its address is no other tensor's during the run
            self._parameters.add(result.untyped_storage()._cdata)
        sources = self._sources(namespace, name, operands)
        for out in tensors_in([result]):
            if not any(out is tensor for tensor in operands) or sources:
                self.table.derive(out, sources)

    def _sources(self, namespace: str, name: str, operands: Sequence[Tensor]) -> Sources | None:
        data = [tensor for tensor in operands if tensor.is_floating_point() and not self._is_parameter(tensor)]
        if not data:
            return None
        opaque_linear = namespace == "quantized" or "linear" in name
        if opaque_linear or (len(data) < len(operands) and (name in _PRODUCTS or "conv" in name)):
            number = self.table.number(data[-1] if name in ("addmm", "baddbmm") else data[0])
            return Sources(frozenset({number}), self.table.sources(data[0]).near, linear=True)
        return merged([self.table.sources(tensor) for tensor in data])

    def _is_parameter(self, tensor: Tensor) -> bool:
        try:
            return tensor.untyped_storage()._cdata in self._parameters
        except (NotImplementedError, RuntimeError):  # sparse tensors and wrappers have no storage
            return False

    # Values

    def _value_of(self, tensor: Any) -> Any:
        return self.table.value(tensor) if isinstance(tensor, Tensor) else None

    def _product(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Tensor) -> None:
        first, second = _PRODUCTS[name]
        a, b = _batched(args[first], left=True), _batched(args[second], left=False)
        for operand, left in ((args[first], True), (args[second], False)):
            other = b if left else a
            value = self._value_of(operand)
            weights = value if isinstance(value, Weights) else self._unlabelled(value, operand, left, other)
            if weights is not None:
                self._multiplied(weights, operand, left, other, name, args, kwargs, out)
                return
        if self._exponentials(b, args[first], out):
            return
        alpha, beta = float(kwargs.get("alpha", 1)), float(kwargs.get("beta", 1))
        linear = out.ndim == 2 and (self._is_parameter(a) or self._is_parameter(b))
        added = first == 1 and beta != 0
        shape = (a.shape[0], a.shape[1], b.shape[2])
        axes = Axes.contiguous(shape).view(tuple(out.shape))
        if axes is not None:
            self.table.store(out, Product(a, b, axes, linear, alpha, other=added), overwritten=True)

    def _multiplied(
        self,
        weights: Weights,
        operand: Tensor,
        left: bool,
        other: Tensor,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        out: Tensor,
    ) -> None:
        """Weights times values; or times a parameter, which mixes heads or classes."""
        softmax = weights.softmax
        if weights.changes:
            weights = changed_weights(weights, operand)
        self.table.store(out, None, overwritten=True)
        if self._is_parameter(other) and (weights.product is None or out.ndim == 2):
            if out.numel() == operand.numel():
                self.table.store(out, replace(weights, changes=(*weights.changes, "a linear layer")))
            softmax.reason = softmax.reason and "its result is multiplied with a parameter, not with values"
            return
        axes = weights.axes if operand.ndim > 1 else weights.axes.unsqueeze(0 if left else 1)
        axes = axes if len(axes.axes) == 3 else axes.unsqueeze(0)
        shape = (other.shape[0], -1, other.shape[2]) if left else (*other.shape[:2], -1)
        output, factor = out.reshape(shape), 1.0
        if _PRODUCTS[name][0] == 1:
            added, factor = args[0], float(kwargs.get("alpha", 1))
            output = (out - kwargs["beta"] * added if "beta" in kwargs else out - added).reshape(shape) / factor
        product = ValueProduct(axes, other, output, (operand, other), shape, factor)
        if softmax.reason:
            softmax.set_reason(self._attend(weights, product if left else product.swapped()))
            softmax.part = weights.axes
        elif softmax.part not in (None, weights.axes) and operand.numel() < math.prod(softmax.shape or ()):
            softmax.reason, softmax.suspect = "its result is multiplied with values in several parts", True

    def _unlabelled(self, value: Value | None, operand: Tensor, left: bool, other: Tensor) -> Weights | None:
        """The weights in a factor that no softmax made, or that was made of its result in a way not followed."""
        if operand.ndim != 3 or not operand.is_floating_point() or self._is_parameter(other):
            return None
        if isinstance(value, Product) and not value.linear and value.functions:
            softmax, scores = Softmax(self._module(), "", shape=value.shape), value
        elif value is None and (pending := self._pending(operand)) is not None:
            softmax, scores = pending, None
        else:
            return None
        if left:
            weights = weights_of_operand(softmax, operand, scores, softmax.shape)
        else:
            transposed = None if scores is None else scores.shaped(lambda axes: axes.transpose(1, 2))
            weights = weights_of_operand(softmax, operand.transpose(1, 2), transposed)
            weights = None if weights is None else weights.shaped(lambda axes: axes.transpose(1, 2))
        if weights is None or (weights.sinks is not None and not (scores and _EXPONENTIALS & scores.functions)):
            return None
        if weights.softmax not in self.softmaxes:
            weights.softmax.reason = UNUSED
            self.softmaxes.append(weights.softmax)
        return weights

    def _pending(self, operand: Tensor) -> Softmax | None:
        """The softmax of the running module whose result, of this shape, was not multiplied with values so far."""
        last = self.softmaxes[-1] if self.softmaxes else None
        if last is None or not last.reason or not last.suspect or last.module != self._module():
            return None
        return last if last.shape is not None and last.shape[-2:] == tuple(operand.shape[1:]) else None

    def _exponentials(self, b: Tensor, operand: Tensor, out: Tensor) -> bool:
        """Note a product of exponentials of scores with values, which may be divided by their sum later."""
        value = self._value_of(operand)
        if not isinstance(value, Product) or value.linear or not value.functions or self._is_parameter(b):
            return False
        softmax = Softmax(
            self._module(), "its scores are multiplied with values without the normalisation of a softmax"
        )
        self.softmaxes.append(softmax)
        axes = Axes.contiguous(tuple(out.shape[-3:]))
        if operand.ndim != 3 or not _EXPONENTIALS & value.functions or not bool((operand >= 0).all()):
            return False
        softmax.reason = (
            "the exponentials of its scores are multiplied with values and not divided by their sum afterwards, as in "
            "a softmax computed in parts"
        )
        softmax.suspect = True
        product = ValueProduct(Axes.contiguous(tuple(operand.shape)), b, out, (operand, b), tuple(out.shape))
        self.table.store(out, Unnormalised(softmax, operand, value, value.shape, product, axes), overwritten=True)
        return True

    def _divided_by_sum(self, value: Unnormalised, name: str, args: Sequence[Any], out: Tensor) -> None:
        """A product of exponentials and values after a division."""
        divisor = args[1] if name.rstrip("_") == "div" else 1 / args[1]
        if isinstance(divisor, Tensor) and divisor.ndim and divisor.shape[-1] == 1:
            attention = value.divided(divisor, out)
            if attention is not None:
                value.softmax.set_reason(self._attend(*attention))

    def _summed(self, weighted: Weighted, args: Sequence[Any], out: Tensor) -> None:
        """The sum over the keys of values times weights."""
        over = args[1] if len(args) > 1 else []
        axes = [over] if isinstance(over, int) else list(over or [])
        if len(axes) == 1:
            self._attended(weighted, axes[0] % args[0].ndim, out)

    def _attended(self, weighted: Weighted, axis: int, out: Tensor) -> None:
        """Record weighted values that were summed over one axis."""
        softmax = weighted.weights.softmax
        if softmax.reason and (product := weighted.summed(axis, out)) is not None:
            softmax.set_reason(self._attend(weighted.weights, product))

    def _softmax(self, logits: Tensor, axis: int, out: Tensor) -> None:
        product = self._value_of(logits)
        if isinstance(product, Weights):
            product.softmax.suspect, product.softmax.reason = False, "its result is the argument of another softmax"
        axis %= max(1, logits.ndim)
        scores = product if isinstance(product, Product) else None
        softmax = Softmax(self._module(), UNUSED)
        softmax.shape = tuple(logits.shape)
        softmax.suspect = logits.ndim > 3 and axis == logits.ndim - 1
        softmax.result = out if softmax.suspect else None
        self.softmaxes.append(softmax)
        if scores is not None and scores.linear:
            strides = {stride for _, stride in scores.axes.axes[axis]} if logits.ndim else {0}
            if strides and max(strides) < scores.b.shape[2]:
                softmax.reason, softmax.suspect = "its argument is the output of a linear layer, as for classes", False
                return
            scores = None
        if logits.ndim:
            axes = Axes.contiguous(tuple(logits.shape))
            self.table.store(out, Weights(softmax, logits, axis, scores, axes), overwritten=True)

    def _joined(self, parts: Sequence[Tensor], axis: int, out: Tensor) -> None:
        """Scores with the columns of a sink."""
        products = [(place, self._value_of(part)) for place, part in enumerate(parts)]
        scores = [(place, v) for place, v in products if isinstance(v, Product) and not v.linear and not v.columns]
        if len(scores) == 1:
            place, value = scores[0]
            axis %= out.ndim
            before = sum(part.shape[axis] for part in parts[:place])
            self.table.store(out, replace(value, columns=(axis, before, parts[place].shape[axis])))

    def _divided(self, name: str, args: Sequence[Any], parts: Sequence[Tensor]) -> None:
        value = self._value_of(args[0])
        if value is None:
            return
        place, start = 1 if name == "unbind" else 2, 0
        axis = (args[place] if len(args) > place else 0) % args[0].ndim
        for index, part in enumerate(parts):
            first, length = (index, 1) if name == "unbind" else (start, part.shape[axis])
            start += length
            sliced = value.shaped(partial(Axes.slice, axis=axis, start=first, length=length))
            if sliced is not None and name == "unbind":
                sliced = sliced.shaped(partial(Axes.squeeze, dims=[axis]))
            self.table.store(part, sliced)

    def _shaped(self, name: str, args: Sequence[Any], out: Tensor) -> None:
        value = self._value_of(args[0])
        if value is None:
            return
        if isinstance(value, Weighted) or (isinstance(value, Product) and value.columns):
            self.table.store(out, value if out.shape == args[0].shape else None)
        elif isinstance(value, Unnormalised):
            axes = SHAPING[name](value.axes, tuple(out.shape), args)
            self.table.store(out, None if axes is None else replace(value, axes=axes))
        else:
            self.table.store(out, value.shaped(lambda axes: SHAPING[name](axes, tuple(out.shape), args)))

    def _elementwise(self, name: str, in_place: bool, args: Sequence[Any], out: Tensor) -> None:
        for position, argument in enumerate(args):
            value = self._value_of(argument)
            if isinstance(value, Weighted):
                continue
            if isinstance(value, Unnormalised):
                if position == 0 and name.rstrip("_") in ("div", "mul"):
                    self._divided_by_sum(value, name, args, out)
                continue
            if value is not None:
                for other in args[position + 1 :]:
                    second = self._value_of(other)
                    if isinstance(value, Weights) and isinstance(second, Weights):
                        second.softmax.suspect, second.softmax.reason = False, "it changes the weights of another one"
                if isinstance(value, Weights) and (weighted := _weighted(value, name, position, args, out)) is not None:
                    self.table.store(out, weighted, overwritten=in_place)
                    if weighted.has_one_key:
                        self._attended(weighted.with_key_axis(), out.ndim, out)
                    return
                changed = elementwise(value, self.inside or name.rstrip("_"), position, args, tuple(out.shape))
                self.table.store(out, changed, overwritten=in_place)
                return
        if in_place:
            self.table.store(out, None, overwritten=True)


def _weighted(weights: Weights, name: str, position: int, args: Sequence[Any], out: Tensor) -> Weighted | None:
    """Weights times values of more axes or features, by broadcasting."""
    values = args[1 - position] if name.rstrip("_") == "mul" and len(args) > 1 else None
    shape = tuple(out.shape)
    if not isinstance(values, Tensor) or weights.axes.shape == shape or not values.is_floating_point():
        return None
    grown = weights.shaped(lambda axes: axes.expand(shape))
    return None if grown is None else Weighted(grown, values)


def merged(sources: Sequence[Sources]) -> Sources:
    """All sources together; if some went through a linear layer, these alone: others are positions, or masks."""
    linear = [source for source in sources if source.linear] or sources
    near = frozenset[int]().union(*(source.near for source in linear))
    far = frozenset[int]().union(*(source.far for source in linear))
    return Sources(near, far, linear[0].linear)


def _batched(tensor: Tensor, left: bool) -> Tensor:
    """A factor of a product with three axes."""
    if tensor.ndim == 1:
        return tensor[None, None] if left else tensor[None, :, None]
    return tensor if tensor.ndim == 3 else tensor[None]

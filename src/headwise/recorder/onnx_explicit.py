"""Attention written out in an ONNX graph: product of queries and keys, Softmax, product with the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.recorder.logits import Rule, rule_of_logits
from headwise.recorder.onnx_graph import Graph, attributes, dequantized
from headwise.shapes import Array

__all__ = ["Operand", "SoftmaxPlan", "find_softmax"]

_PRODUCTS = ("MatMul", "Einsum", "MatMulInteger", "QLinearMatMul", "FusedMatMul")
_BEFORE = ("Add", "Sub", "Mul", "Div", "Where", "Cast", "Identity", "Reshape", "Tanh", "DequantizeLinear",
           "QuantizeLinear", "Clip", "Max", "Min", "Unsqueeze", "Squeeze")  # fmt: skip
_AFTER = ("Dropout", "Cast", "Identity", "Where", "Mul", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class Operand:
    """A factor of a product: a tensor, or integers with their scale and zero point."""

    name: str
    scale: str = ""
    zero: str = ""

    def read(self, values: Mapping[str, Any]) -> Array:
        """Its numbers."""
        array = values[self.name]
        if not self.scale:
            return np.asarray(array, np.float64 if array.dtype == np.float64 else np.float32)
        return np.asarray(dequantized(array, values[self.scale], values.get(self.zero)))


@dataclass
class SoftmaxPlan:
    """What to read from a run to know one attention.

    Attributes
    ----------
    name : str
        Of the module, from the names of the nodes.
    axis : int
        Over which the Softmax normalises.
    logits : str
        Its argument.
    values, output : Operand
        Factor and result of the product with the values.
    letters : (str, str, str)
        Axes of weights, values and output of that product.
    product : tuple of (Operand, Operand), optional
        Queries and keys.
    product_letters : (str, str, str)
        Axes of both and of their product.
    factors : list of (str, bool)
        Tensors that the product is multiplied with, or divided by.
    caps : list of (str, bool), optional
        The same after a Tanh, if there is one.
    plain : bool
        Whether nothing else was done to the product.
    quantized : bool
        Whether integers are on the way.
    """

    name: str
    axis: int
    logits: str
    values: Operand
    output: Operand
    letters: tuple[str, str, str]
    product: tuple[Operand, Operand] | None = None
    product_letters: tuple[str, str, str] = ("", "", "")
    factors: list[tuple[str, bool]] = field(default_factory=list)
    caps: list[tuple[str, bool]] | None = None
    plain: bool = True
    quantized: bool = False

    @property
    def sources(self) -> tuple[str, str] | None:
        """Tensors that queries and keys come from."""
        return None if self.product is None else (self.product[0].name, self.product[1].name)

    @property
    def needs(self) -> set[str]:
        """Tensors to read."""
        operands = [self.values, self.output, *(self.product or ())]
        names = {name for o in operands for name in (o.name, o.scale, o.zero) if name}
        return names | {name for name, _ in (*self.factors, *(self.caps or ()))} | {self.logits}

    def arrays(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the layer."""
        weights, of_values, of_output = self.letters
        m = weights[self.axis]
        rows = [x for x in weights if x not in of_values]
        items = [x for x in weights if x in of_values and x != m]
        width = [x for x in of_values if x not in weights]
        o = _arranged(self.output.read(values), of_output, items, rows, width)
        v = _arranged(self.values.read(values), of_values, items, [m], width)
        logits = np.asarray(values[self.logits], o.dtype)
        s = _arranged(logits, weights, items, rows, [m])
        v = np.broadcast_to(v, (*o.shape[:2], *v.shape[2:]))
        scale, cap, factors = 1.0, None, None
        if self.product is not None:
            factors = self._queries_and_keys(values, items, rows, m, s.shape)
        if factors is None:
            empty = np.zeros((*s.shape[:2], 0, 0), s.dtype)
            q, k = (np.resize(empty, (*s.shape[:2], n, 0)) for n in s.shape[2:])
            rule, note = rule_of_logits(s, np.zeros_like(s), _eps(s)), "queries and keys were not found"
        else:
            q, k = factors
            scale, cap = _times(values, self.factors), None if self.caps is None else _times(values, self.caps)
            scores = q @ k.mT * scale if cap is None else cap * np.tanh(q @ k.mT * scale)
            rule = Rule() if self.plain else rule_of_logits(s, scores, _eps(s))
            scale = scale if cap is None else scale * cap
            note = ""
        return {
            "q": q,
            "k": k,
            "v": v,
            "output": o,
            "scale": scale,
            "softcap": cap,
            "note": note,
            "mask": rule.mask,
            "bias": rule.bias,
            "precision": "int8" if self.quantized else "float32",
        }

    def _queries_and_keys(
        self, values: Mapping[str, Any], items: list[str], rows: list[str], m: str, shape: tuple[int, ...]
    ) -> tuple[Array, Array] | None:
        """Queries (B, H, N, d) and keys (B, H, M, d), if the product's axes are those of the softmax."""
        first, second, product = self.product_letters
        place = dict(zip(product, self.letters[0], strict=True)) if len(product) == len(self.letters[0]) else {}
        numbers = (*self.factors, *(self.caps or ()))
        if not place or self.product is None or any(np.asarray(values[name]).size > 1 for name, _ in numbers):
            return None
        back = {own: letter for letter, own in place.items()}
        a, b = (operand.read(values) for operand in self.product)
        inner = [x for x in first if x in second and x not in product]
        names = [back[x] for x in items], [back[x] for x in rows], [back[m]]
        if all(x in second for x in names[1]) and all(x in first for x in names[2]):
            (first, a), (second, b) = (second, b), (first, a)  # keys times queries
        q = _arranged(a, first, names[0], names[1], inner)
        k = _arranged(b, second, names[0], names[2], inner)
        q, k = (np.broadcast_to(x, (*shape[:2], *x.shape[2:])) for x in (q, k))
        return (q, k) if q.shape[2] == shape[2] and k.shape[2] == shape[3] else None


def _times(values: Mapping[str, Any], factors: list[tuple[str, bool]]) -> float:
    """The product of some factors and divisors."""
    product = 1.0
    for name, divide in factors:
        number = float(np.asarray(values[name]).ravel()[0])
        product = product / number if divide else product * number
    return product


def find_softmax(graph: Graph, softmax: Any) -> SoftmaxPlan | None:
    """How to read the attention around a Softmax; None if its result is multiplied with no values."""
    name = softmax.output[0]
    operand, product = _follow(graph, name, 6)
    if product is None:
        return None
    left = operand == product.input[0]
    inputs = _operands(graph, product)
    if inputs is None or all(graph.is_fixed(o.name) for o in inputs) or graph.is_fixed(inputs[1 if left else 0].name):
        return None
    rank = attributes(softmax).get("axis", -1)
    letters = _letters(product, left)
    if letters is None:
        return None
    axis = rank % len(letters[0]) if rank < 0 else rank
    plan = SoftmaxPlan(
        _module(product), axis, softmax.input[0], inputs[1 if left else 0], _result(graph, product), letters
    )
    plan.quantized = _is_quantized(graph, name, operand, product)
    _trace_product(graph, plan)
    return plan


def _follow(graph: Graph, name: str, steps: int) -> tuple[str, Any]:
    """The product that takes weights, and under which name."""
    for node in graph.takers[name]:
        if node.op_type in _PRODUCTS:
            return name, node
    for node in graph.takers[name]:
        if steps and node.op_type in _AFTER:
            further = _follow(graph, node.output[0], steps - 1)
            if further[1] is not None:
                return further
    return name, None


def _is_quantized(graph: Graph, name: str, operand: str, product: Any) -> bool:
    """Whether weights are rounded to integers before the product."""
    while operand != name:
        maker = graph.makers[operand]
        if "Quantize" in maker.op_type:
            return True
        operand = next(i for i in maker.input if not graph.is_fixed(i))
    return product.op_type in ("MatMulInteger", "QLinearMatMul")


def _trace_product(graph: Graph, plan: SoftmaxPlan) -> None:
    """Go back from the logits to the product of queries and keys."""
    name = plan.logits
    for _ in range(24):
        node = graph.makers.get(name)
        if node is None:
            return
        if node.op_type in _PRODUCTS:
            operands, letters = _operands(graph, node), _letters(node, True)
            if operands is None or letters is None or any(graph.is_fixed(o.name) for o in operands):
                return
            plan.product, plan.product_letters = operands, (letters[0], letters[1], letters[2])
            alpha = attributes(node).get("alpha", 1.0)
            plan.plain &= alpha == 1.0
            return
        moving = [place for place, i in enumerate(node.input) if i and _leads_to_product(graph, i, 24)]
        if node.op_type not in _BEFORE or not moving:
            return
        place = moving[0]
        if (node.op_type in ("Mul", "Div") and place == 0) or node.op_type == "Mul":
            other = node.input[1 - place]
            integers = graph.makers.get(name) is not None and "Integer" in _maker_type(graph, node.input[place])
            if not integers:
                plan.factors.append((other, node.op_type == "Div"))
        elif node.op_type == "Tanh" and plan.plain and plan.caps is None:
            plan.caps, plan.factors = plan.factors, []
        elif node.op_type not in ("Cast", "Identity"):
            plan.plain = False
        name = node.input[place]


def _maker_type(graph: Graph, name: str) -> str:
    maker = graph.makers.get(name)
    while maker is not None and maker.op_type == "Cast":
        maker = graph.makers.get(maker.input[0])
    return maker.op_type if maker is not None else ""


def _leads_to_product(graph: Graph, name: str, steps: int) -> bool:
    """Whether a tensor is made from a product of two tensors that depend on the input."""
    node = graph.makers.get(name)
    if node is None or graph.is_fixed(name) or not steps:
        return False
    if node.op_type in _PRODUCTS:
        return not any(graph.is_fixed(i) for i in node.input[:2])
    return node.op_type in _BEFORE and any(_leads_to_product(graph, i, steps - 1) for i in node.input)


def _operands(graph: Graph, node: Any) -> tuple[Operand, Operand] | None:
    """The factors of a product."""
    i = list(node.input)
    if node.op_type == "QLinearMatMul":
        return Operand(i[0], i[1], i[2]), Operand(i[3], i[4], i[5])
    if node.op_type == "MatMulInteger":
        makers = [graph.makers.get(name) for name in i[:2]]
        if any(maker is None or maker.op_type != "DynamicQuantizeLinear" for maker in makers):
            return None
        a, b = (Operand(*maker.output[:3]) for maker in makers if maker is not None)
        return a, b
    return (Operand(i[0]), Operand(i[1])) if len(i) == 2 else None


def _result(graph: Graph, node: Any) -> Operand:
    """The floating-point result of a product."""
    name = node.output[0]
    if node.op_type == "QLinearMatMul":
        return Operand(name, node.input[6], node.input[7])
    while node.op_type == "MatMulInteger" or (node.op_type == "Cast" and len(graph.takers[name]) == 1):
        following = [taker for taker in graph.takers[name] if taker.op_type in ("Cast", "Mul")]
        if not following:
            break
        node = following[0]
        name = node.output[0]
    return Operand(name)


def _letters(node: Any, left: bool) -> tuple[str, str, str] | None:
    """Axes of weights, values and output of a product; of both factors and the result where weights are on the left."""
    if node.op_type == "Einsum":
        equation = attributes(node)["equation"].replace(" ", "")
        if "." in equation or "->" not in equation or equation.count(",") != 1:
            return None
        (a, b), out = equation.split("->")[0].split(","), equation.split("->")[1]
    else:
        options = attributes(node)
        a = "bhmn" if options.get("transA") else "bhnm"
        b = "bhem" if options.get("transB") else "bhme"
        out = "bhne"
    return (a, b, out) if left else (b, a, out)


def _module(node: Any) -> str:
    """Name of the module that a node belongs to, as exporters write it."""
    name = node.name or node.output[0]
    parts = [part for part in name.strip("/").split("/") if part]
    return ".".join(parts[:-1]) if len(parts) > 1 else name


def _arranged(array: Array, letters: str, items: list[str], rows: list[str], last: list[str]) -> Array:
    """An array with the axes `letters` as (B, H, rows, last); an axis that is missing has size 1."""
    if len(letters) > array.ndim:
        letters = letters[len(letters) - array.ndim :]
    array = array.reshape((-1, *array.shape[array.ndim - len(letters) + 1 :])) if array.ndim > len(letters) else array
    order = [x for group in (items, rows, last) for x in group if x in letters]
    moved = array.transpose([letters.index(x) for x in order])
    sizes = dict(zip(order, moved.shape, strict=True))
    groups = [items[:-1], items[-1:], rows, last]
    return moved.reshape([int(np.prod([sizes.get(x, 1) for x in group])) for group in groups])


def _eps(array: npt.NDArray[Any]) -> float:
    return float(np.finfo(array.dtype).eps)

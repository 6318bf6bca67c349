"""What to read from a run of an ONNX graph to know an attention that is written out, and its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.recorder.layer import Rounding
from headwise.recorder.logits import Rule, rule_of_logits
from headwise.recorder.onnx_graph import dequantized
from headwise.shapes import Array


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
    """What to read from a run to know one attention."""

    name: str  # of the module, from the names of the nodes
    axis: int  # over which the Softmax normalises
    logits: str  # its argument
    # factor and result of the product with the values
    values: Operand
    output: Operand
    letters: tuple[str, str, str]  # axes of weights, values and output of that product
    product: tuple[Operand, Operand] | None = None  # queries and keys
    product_letters: tuple[str, str, str] = ("", "", "")  # axes of both and of their product
    # tensors that the product is multiplied with, or divided by
    factors: list[tuple[str, bool]] = field(default_factory=list)
    caps: list[tuple[str, bool]] | None = None  # the same after a Tanh, if there is one
    plain: bool = True  # whether nothing else was done to the product
    quantized: bool = False  # whether integers are on the way
    rounding: Operand | None = None  # the integers to which the weights are rounded before the product

    @property
    def sources(self) -> tuple[str, str] | None:
        """Tensors that queries and keys come from."""
        return None if self.product is None else (self.product[0].name, self.product[1].name)

    @property
    def needs(self) -> set[str]:
        """Tensors to read."""
        rounded = () if self.rounding is None else (self.rounding,)
        operands = [self.values, self.output, *rounded, *(self.product or ())]
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
            **rule._asdict(),
            "precision": "int8" if self.quantized else "float32",
            "rounding": self._rounded(values, items, rows, m),
        }

    def _rounded(self, values: Mapping[str, Any], items: list[str], rows: list[str], m: str) -> Rounding | None:
        """The integers that were multiplied with the values; None if their step differs by row."""
        if self.rounding is None or np.size(values[self.rounding.scale]) != 1:
            return None
        integers, zero = values[self.rounding.name], values.get(self.rounding.zero)
        if zero is not None and np.any(zero):
            integers = integers.astype(np.int16) - np.asarray(zero, np.int16)
        step = float(np.ravel(values[self.rounding.scale])[0])
        return Rounding(_arranged(integers, self.letters[0], items, rows, [m]), step)

    def _queries_and_keys(
        self, values: Mapping[str, Any], items: list[str], rows: list[str], m: str, shape: tuple[int, ...]
    ) -> tuple[Array, Array] | None:
        """Queries (B, H, N, d) and keys (B, H, M, d), if the product's axes are those of the softmax."""
        first, second, product = self.product_letters
        place = dict(zip(product, self.letters[0], strict=True)) if len(product) == len(self.letters[0]) else {}
        numbers = (*self.factors, *(self.caps or ()))
        if not place or self.product is None or any(np.asarray(values[name]).size > 1 for name, _ in numbers):
            return None
        back = {factor: letter for letter, factor in place.items()}
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


def _arranged(array: npt.NDArray[Any], letters: str, items: list[str], rows: list[str], last: list[str]) -> Any:
    """An array with the axes `letters` as (B, H, rows, last); an axis that is missing has size 1."""
    if len(letters) > array.ndim:
        letters = letters[len(letters) - array.ndim :]
    array = array.reshape((-1, *array.shape[array.ndim - len(letters) + 1 :])) if array.ndim > len(letters) else array
    order = [x for group in (items, rows, last) for x in group if x in letters]
    permuted = array.transpose([letters.index(x) for x in order])
    sizes = dict(zip(order, permuted.shape, strict=True))
    groups = [items[:-1], items[-1:], rows, last]
    return permuted.reshape([int(np.prod([sizes.get(x, 1) for x in group])) for group in groups])


def _eps(array: npt.NDArray[Any]) -> float:
    return float(np.finfo(array.dtype).eps)

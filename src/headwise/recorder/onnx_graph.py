"""Finding one's way in the graph of an ONNX model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from headwise.errors import CaptureError

_LINEAR = ("MatMul", "Gemm", "Conv", "MatMulInteger", "QLinearMatMul", "ConvInteger", "MatMulNBits", "FusedMatMul")


class Graph:
    """Nodes of a graph by what they make and take."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self.nodes = list(graph.node)
        self.constants: dict[str, Any] = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.makers: dict[str, Any] = {name: node for node in self.nodes for name in node.output if name}
        self.takers: dict[str, list[Any]] = defaultdict(list)
        self._fixed = set(self.constants)
        for node in self.nodes:
            for name in node.input:
                self.takers[name].append(node)
            if all(name in self._fixed or not name for name in node.input) and node.op_type != "RandomNormal":
                self._fixed.update(node.output)
            if node.op_type == "Constant":
                value = attributes(node).get("value")
                if value is not None:
                    self.constants[node.output[0]] = numpy_helper.to_array(value)

    def is_fixed(self, name: str) -> bool:
        """Whether a tensor depends on no input of the model."""
        return name in self._fixed

    def sources(self, name: str) -> set[str]:
        """Tensors that a tensor was computed from, across at most two linear layers."""
        inputs, leaves = self._before_linear([name])
        near = inputs or leaves
        inputs, leaves = self._before_linear(near)
        return near | (inputs or leaves)

    def is_projected(self, name: str) -> bool:
        """Whether a linear layer is on the way to a tensor."""
        return bool(self._before_linear([name])[0])

    def _before_linear(self, names: Iterable[str]) -> tuple[set[str], set[str]]:
        """Inputs of the last linear layers on the way to some tensors, and inputs of the model without one."""
        inputs: set[str] = set()
        leaves: set[str] = set()
        visited, pending = set(), list(names)
        while pending:
            name = pending.pop()
            if name in visited or not name or self.is_fixed(name):
                continue
            visited.add(name)
            node = self.makers.get(name)
            if node is None:
                leaves.add(name)
            elif node.op_type in ("Shape", "Size"):
                continue
            elif node.op_type in _LINEAR and any(self.is_fixed(other) for other in node.input if other):
                inputs.add(next(other for other in node.input if not self.is_fixed(other)))
            else:
                pending.extend(node.input)
        return inputs, leaves


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes by name."""
    from onnx import helper

    by_name = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    for name, value in by_name.items():
        if value is None:  # in a damaged file
            raise CaptureError(f"{node.op_type}: its attribute {name} has no value.")
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in by_name.items()}


def module_of(node: Any) -> str:
    """Name of the module that a node belongs to, as torch's exporters write it; else the node's own name."""
    scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "")
    path = scopes.strip("[]").replace("'", "").split(", ")  # of modules, outermost first, and of the operation
    if len(path) > 1 and path[-2]:
        return path[-2]
    name = node.name or node.output[0]
    parts = [part for part in name.strip("/").split("/") if part]
    return ".".join(parts[:-1]) if len(parts) > 1 else name


def domain_of(node: Any) -> str:
    """The domain of a node's operator; empty for those of ONNX itself."""
    return "" if node.domain == "ai.onnx" else str(node.domain)


def dequantized(values: Any, scale: Any, zero: Any) -> Any:
    """Floating-point numbers behind integers."""
    shift = 0 if zero is None else np.asarray(zero, np.int32)
    return ((np.asarray(values, np.int32) - shift) * np.asarray(scale)).astype(np.float32)

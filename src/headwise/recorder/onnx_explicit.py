"""Attention written out in an ONNX graph: product of queries and keys, Softmax, product with the values."""

from __future__ import annotations

from typing import Any

from headwise.recorder.onnx_graph import Graph, attributes, module_of
from headwise.recorder.onnx_plan import Operand, SoftmaxPlan

_PRODUCTS = ("MatMul", "Einsum", "MatMulInteger", "QLinearMatMul", "FusedMatMul")
_BEFORE = ("Add", "Sub", "Mul", "Div", "Where", "Cast", "Identity", "Reshape", "Tanh", "DequantizeLinear",
           "QuantizeLinear", "Clip", "Max", "Min", "Unsqueeze", "Squeeze")  # fmt: skip
_AFTER = ("Dropout", "Cast", "Identity", "Where", "Mul", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


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
        module_of(product), axis, softmax.input[0], inputs[1 if left else 0], _result(graph, product), letters
    )
    plan.rounding = _rounding(graph, name, operand)
    plan.quantized = plan.rounding is not None
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


def _rounding(graph: Graph, name: str, operand: str) -> Operand | None:
    """The integers to which weights are rounded before the product, if they are."""
    while operand != name:
        maker = graph.makers[operand]
        if maker.op_type == "QuantizeLinear":
            return Operand(maker.output[0], *maker.input[1:3])
        if maker.op_type == "DynamicQuantizeLinear":
            return Operand(*maker.output)
        operand = next(i for i in maker.input if not graph.is_fixed(i))
    return None


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
        if node.op_type == "Mul" or (node.op_type == "Div" and place == 0):
            if "Integer" not in _maker_type(graph, node.input[place]):
                plan.factors.append((node.input[1 - place], node.op_type == "Div"))
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

"""If and Loop nodes of an ONNX graph, replaced by the branch that a run takes and by the iterations that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from headwise.errors import CaptureError

_ATTENTION = ("Softmax", "Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention")
_LONGEST = 1000  # iterations of a loop

# computes one tensor of a model
Evaluate = Callable[[Any, str], Any]


def inline_control_flow(model: Any, evaluate: Evaluate) -> Any:
    """The model without those If and Loop nodes whose bodies contain attention; CaptureError if that is impossible.

    `evaluate`, called with a model and the name of a tensor, runs it on the capture's inputs and returns the tensor.
    """
    if not any(has_attention_inside(node) for node in model.graph.node):
        return model
    inlined = type(model)()
    inlined.CopyFrom(model)
    while (place := _first(inlined.graph)) is not None:
        node = inlined.graph.node[place]
        expand = {"If": _branch, "Loop": _iterations}.get(node.op_type)
        if expand is None:
            raise CaptureError(f"{node.name or node.op_type}: attention inside {node.op_type} cannot be followed.")
        before, after = list(inlined.graph.node[:place]), list(inlined.graph.node[place + 1 :])
        nodes = expand(inlined, node, place, evaluate)
        del inlined.graph.node[:]
        inlined.graph.node.extend([*before, *nodes, *after])
    return inlined


def _first(graph: Any) -> int | None:
    """Place of the first node with attention in its bodies."""
    return next((place for place, node in enumerate(graph.node) if has_attention_inside(node)), None)


def has_attention_inside(node: Any) -> bool:
    """Whether a node has bodies with attention."""
    return any(
        inner.op_type in _ATTENTION or has_attention_inside(inner) for body in _bodies(node) for inner in body.node
    )


def _bodies(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g


def _branch(model: Any, node: Any, place: int, evaluate: Evaluate) -> list[Any]:
    """The nodes of the branch that the condition selects."""
    condition = bool(np.all(evaluate(_until(model, place), node.input[0])))
    body = next(a.g for a in node.attribute if a.name == ("then_branch" if condition else "else_branch"))
    nodes, names = _copy(model, body, f"{node.name or node.output[0]}/", {})
    return [*nodes, *_identities([names.get(o.name, o.name) for o in body.output], node.output)]


def _iterations(model: Any, node: Any, place: int, evaluate: Evaluate) -> list[Any]:
    """The nodes of every iteration, one after the other; outputs that a loop collects are concatenated."""
    from onnx import helper, numpy_helper

    body = next(a.g for a in node.attribute if a.name == "body")
    prefix, carried = node.name or node.output[0], list(node.input[2:])
    limit = int(np.ravel(evaluate(_until(model, place), node.input[0]))[0]) if node.input[0] else _LONGEST + 1
    condition: str = node.input[1]
    collected: list[list[str]] = [[] for _ in body.output[1 + len(carried) :]]
    nodes: list[Any] = []
    for iteration in range(limit):
        if condition and not bool(np.all(evaluate(_until(model, place, nodes), condition))):
            break
        if iteration >= _LONGEST:
            raise CaptureError(f"{prefix}: a loop of more than {_LONGEST} iterations cannot be followed.")
        scope = f"{prefix}/{iteration}/"
        count = numpy_helper.from_array(np.array(iteration, np.int64), scope + "iteration")
        model.graph.initializer.append(count)
        arguments = [count.name, condition or scope + "iteration", *carried]
        mapping = dict(zip((i.name for i in body.input), arguments, strict=True))
        inner, names = _copy(model, body, scope, mapping)
        nodes += inner
        outputs = [names.get(o.name, o.name) for o in body.output]
        condition, carried, scanned = outputs[0], outputs[1 : 1 + len(carried)], outputs[1 + len(carried) :]
        for parts, name in zip(collected, scanned, strict=True):
            axes = numpy_helper.from_array(np.zeros(1, np.int64), name + "/axes")
            model.graph.initializer.append(axes)
            nodes.append(helper.make_node("Unsqueeze", [name, axes.name], [name + "/part"]))
            parts.append(name + "/part")
    nodes += _identities(carried, node.output[: len(carried)])
    for parts, name in zip(collected, node.output[len(carried) :], strict=False):
        if name and parts:
            nodes.append(helper.make_node("Concat", parts, [name], axis=0))
    return nodes


def _until(model: Any, place: int, nodes: Sequence[Any] = ()) -> Any:
    """The model up to a node, and more nodes after it."""
    part = type(model)()
    part.CopyFrom(model)
    before = list(part.graph.node[:place])
    del part.graph.node[:]
    part.graph.node.extend([*before, *nodes])
    return part


def _copy(model: Any, body: Any, prefix: str, mapping: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
    """The nodes of a body under new names, and those names; its initializers become the model's."""
    names = dict(mapping)
    for initializer in body.initializer:
        names[initializer.name] = prefix + initializer.name
        model.graph.initializer.append(initializer)
        model.graph.initializer[-1].name = names[initializer.name]
    for node in body.node:
        names |= {name: prefix + name for name in node.output if name}
    copies = []
    for node in body.node:
        copy = type(node)()
        copy.CopyFrom(node)
        if node.name:  # its path names the module; only the last part makes it unique
            copy.name = f"{node.name}#{prefix.strip('/').replace('/', '.')}"
        _rename(copy, names)
        copies.append(copy)
    return copies, names


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """Replace names in a node, and in its bodies where they do not define them themselves."""
    for tensors in (node.input, node.output):
        tensors[:] = [names.get(name, name) for name in tensors]
    for body in _bodies(node):
        local = {i.name for i in (*body.input, *body.initializer)} | {name for n in body.node for name in n.output}
        outer = {name: new for name, new in names.items() if name not in local}
        for inner in body.node:
            _rename(inner, outer)
        for output in body.output:
            output.name = outer.get(output.name, output.name)


def _identities(names: Sequence[str], outputs: Sequence[str]) -> list[Any]:
    """Nodes that give tensors the names of a replaced node's outputs."""
    from onnx import helper

    return [helper.make_node("Identity", [name], [out]) for name, out in zip(names, outputs, strict=False) if out]

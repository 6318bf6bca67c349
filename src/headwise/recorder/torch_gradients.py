"""Gradients with respect to the attention weights of a torch model, by autograd, whatever kernel computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import Node

from headwise.errors import DataError
from headwise.recorder.torch_run import CallTrace, trace_torch
from headwise.recorder.torch_tensors import tensors_in
from headwise.shapes import Array

_NODES = ("Bmm", "Mm", "Addmm", "Baddbmm", "Mv", "ScaledDotProduct")  # whose first output is an attention's


def attention_gradients(
    model: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], score: Callable[[Any], Tensor]
) -> tuple[Array, ...]:
    """Gradients of a score with respect to the weights of each attention call, (B, H, N, M) each.

    Kernels return no weights, so the gradient is computed from that of each call's output: dp = do vᵀ. Each weight
    moves by itself. A hook on the call's node in the graph of autograd observes do; the model is not changed.

    `args`, `kwargs`: what it is called with.
    `score`: takes the model's output to the number that is differentiated.
    Raises DataError if torch computes no gradients for this model.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        leaves = stack.enter_context(_requiring_gradients(model, [*tensors_in(args), *tensors_in(kwargs.values())]))
        capture, traces = trace_torch(model, args, kwargs)
        if len(traces) != len(capture.layers):
            raise DataError(
                "gradients: the model's run has several steps; they are computed for a single forward pass."
            )
        if unseen := [
            layer.name
            for layer, trace in zip(capture.layers, traces, strict=True)
            if trace.output.grad_fn is None and not trace.operands
        ]:
            raise DataError(
                f"gradients: attention in {unseen[0]} is a sum of products, whose gradient is not observed."
            )
        target = score(capture.output)
        if target.grad_fn is None or not leaves:
            raise DataError("gradients: torch computes none for this model (its parameters or operations have none).")
        gradients: dict[int, Tensor] = {}
        hooks = [_observe(node, index, gradients) for index, node in _nodes(target.grad_fn, traces)]
        try:
            torch.autograd.grad(target, leaves, allow_unused=True)
        except RuntimeError as error:
            raise DataError(f"gradients: torch cannot compute them ({str(error).splitlines()[0]}).") from None
        finally:
            for hook in hooks:
                hook.remove()
    return tuple(
        _of_weights(layer.v, layer.shape, trace.arrange(gradients[i]) if i in gradients else None)
        for i, (layer, trace) in enumerate(zip(capture.layers, traces, strict=True))
    )


@contextmanager
def _requiring_gradients(model: torch.nn.Module, inputs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Let autograd follow the run from its parameters and floating inputs; their flags are restored."""
    leaves = [p for p in (*model.parameters(), *inputs) if p.is_floating_point() and p.is_leaf]
    flags = [leaf.requires_grad for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.requires_grad_(True)
        yield leaves
    finally:
        for leaf, flag in zip(leaves, flags, strict=True):
            leaf.requires_grad_(flag)


def _observe(node: Node, index: int, gradients: dict[int, Tensor]) -> Any:
    def note(outputs: Sequence[Tensor | None]) -> None:
        if outputs[0] is not None:
            gradients[index] = outputs[0].detach()

    return node.register_prehook(note)


def _nodes(root: Node, traces: Sequence[CallTrace]) -> Iterator[tuple[int, Node]]:
    """The node of each call: that of its output, or the one that saved the call's operands."""
    open_calls: dict[int, CallTrace] = {}
    for index, trace in enumerate(traces):
        if trace.output.grad_fn is not None:
            yield index, trace.output.grad_fn
        else:
            open_calls[index] = trace
    visited, pending = set(), [root]
    while pending and open_calls:
        node = pending.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        pending += [following for following, _ in node.next_functions]
        if node.name().startswith(_NODES):
            saved = _saved(node)
            for index, trace in list(open_calls.items()):
                if saved and saved <= {operand.data_ptr() for operand in trace.operands}:
                    yield index, open_calls.pop(index) and node
                    break


def _saved(node: Any) -> set[int]:
    """Addresses of the factors that a node keeps for its backward pass."""
    names = ("self", "mat1", "mat2", "vec", "batch1", "batch2", "query", "key", "value")
    tensors = (getattr(node, f"_saved_{name}", None) for name in names)
    return {tensor.data_ptr() for tensor in tensors if isinstance(tensor, Tensor)}


def _of_weights(v: Array, shape: tuple[int, int, int, int], do: Array | None) -> Array:
    """Dp = do vᵀ; zero where the score does not depend on the call."""
    if do is None:
        return np.zeros(shape, v.dtype)
    return np.asarray(do @ np.repeat(v, shape[1] // v.shape[1], axis=1).mT)

"""Run a torch model once, as it is, and record every attention call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from headwise.errors import CaptureError, DataError
from headwise.recorder.collect import Collector, Selection
from headwise.recorder.layer import AttentionLayer
from headwise.recorder.logits import join_groups
from headwise.recorder.result import Capture
from headwise.recorder.torch_explicit import assemble
from headwise.recorder.torch_follow import Follower, merged
from headwise.recorder.torch_fused import (
    FusedCall,
    default_scale,
    flex_call,
    four_axes,
    kernel_call,
    rule_of_call,
    sdpa_call,
)
from headwise.recorder.torch_modules import ModuleStack, owner_of
from headwise.recorder.torch_tensors import as_array, has_memory, tensors_in
from headwise.recorder.torch_values import Softmax, ValueProduct, Weights
from headwise.shapes import Array

_OPAQUE = ("attention", "attn", "fmha", "transformer_encoder")


def capture_torch(
    model: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], layers: Selection
) -> Capture:
    """Run a torch model, or a method of one, and record its attention; see `headwise.capture`."""
    return trace_torch(model, args, kwargs, layers)[0]


def trace_torch(
    model: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], layers: Selection = None
) -> tuple[Capture, list[CallTrace]]:
    """The capture of a run, and for each recorded call where its output is in the graph of autograd."""
    root = owner_of(model)
    if root is not None and any(parameter.is_meta for parameter in root.parameters()):
        raise DataError("model: its parameters have no values (device meta); load them first.")
    collector = Collector(layers)
    with ExitStack() as stack:
        modules = stack.enter_context(ModuleStack(root))
        recorder = _Recorder(collector, modules, root)
        if hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "flex_attention called without torch.compile", UserWarning)
        operations = stack.enter_context(_Operations(recorder))
        stack.enter_context(_Functions(recorder, operations))
        torch.clear_autocast_cache()  # casts of parameters are seen to be casts
        output = model(*args, **kwargs)
    recorded = collector.finish()
    softmaxes = recorder.follower.softmaxes
    for softmax in softmaxes:
        if softmax.result is not None and _is_copy(softmax, recorded):
            softmax.suspect, softmax.reason = False, "its result is the weights of a call that is recorded"
    ignored = tuple(dict.fromkeys(f"softmax in {s.module}: {s.reason}" for s in softmaxes if s.reason))
    lost = {s.module: s.reason for s in softmaxes if s.reason and s.suspect and collector.may_want(s.module)}
    unknown = [name for name in dict.fromkeys(recorder.opaque) if collector.may_want(name.split()[-1])]
    unknown += [f"the softmax in {module} ({reason})" for module, reason in lost.items()]
    if unknown and collector.names:
        raise CaptureError(
            f"model: attention cannot be followed: {', '.join(unknown)}. Limit the capture to other modules with "
            "layers=, or choose another implementation of the model's attention."
        )
    if not collector.names:
        raise CaptureError(f"model: {_without_attention(root or model, ignored, recorder.opaque)}")
    return Capture(output, recorded, ignored), recorder.traces


def _is_copy(softmax: Softmax, layers: Sequence[AttentionLayer]) -> bool:
    """Whether weights that multiply no values are those of a recorded call of the module, as computed to be shown."""
    assert softmax.result is not None
    same = [layer for layer in layers if layer.name == softmax.module and layer.shape == softmax.result.shape]
    tolerance = 10 * torch.finfo(softmax.result.dtype).eps
    return any(np.allclose(layer.weights(), as_array(softmax.result), rtol=0, atol=tolerance) for layer in same)


def _without_attention(model: Any, ignored: Sequence[str], opaque: Sequence[str]) -> str:
    name = getattr(model, "__name__", type(model).__name__)
    if opaque:
        return f"{name} calls attention that cannot be followed, inside {', '.join(opaque)}."
    if ignored:
        return f"{name} calls no attention that can be followed. {'; '.join(ignored)}."
    return (
        f"{name} calls no attention: neither scaled_dot_product_attention nor a softmax. Attention with another "
        "normalisation, or inside compiled extensions, cannot be recorded."
    )


@dataclass(frozen=True)
class CallTrace:
    """Where the output of one attention call is in the graph of autograd."""

    output: Tensor  # what the operation returned
    # what it was computed from, by which its node is found if the output is below autograd
    operands: tuple[Tensor, ...]
    arrange: Callable[[Tensor], Array]  # takes the gradient with respect to the output to an array (B, H, N, e)


class _Recorder:
    """Turns calls into layers."""

    def __init__(self, collector: Collector, modules: ModuleStack, root: torch.nn.Module | None) -> None:
        self._collector, self._modules = collector, modules
        parameters = {p.untyped_storage()._cdata for p in root.parameters()} if root is not None else set()
        self.follower = Follower(parameters, lambda: modules.name, self.explicit)
        self.opaque: list[str] = []
        self.traces: list[CallTrace] = []

    def fused(self, call: FusedCall, output: Tensor) -> None:
        """Record a fused call."""
        call = call.unpacked(self._modules.heads)
        tensors = (call.q, call.k, call.v)
        if any(tensor.is_nested for tensor in tensors):
            raise CaptureError(f"{self._modules.name}: nested tensors cannot be recorded; pad them to one length.")
        table = self.follower.table
        table.derive(output, merged([table.sources(tensor) for tensor in tensors]))
        kind, n, m = self._kind(call.q, call.k), call.q.shape[-2], call.k.shape[-2]
        if not self._collector.selects(self._modules.name, kind, n, m):
            return
        lead, heads = call.q.shape[:-2], self._modules.heads
        shape = (*call.q.shape[:-1], output.shape[-1])  # the output with the axes of the queries
        q, k, v, o = (four_axes(as_array(x), lead, heads) for x in (*tensors, output.reshape(shape)))
        self.traces.append(CallTrace(output, tensors, lambda g: four_axes(as_array(g.reshape(shape)), lead, heads)))
        scale = default_scale(call)
        rule = rule_of_call(call, q, k, scale, heads)
        note = f"dropout of {call.dropout:g} in the kernel" if call.dropout else ""
        self._add(q, k, v, o, scale, call.q.dtype, kind=kind, note=note, **rule._asdict())

    def explicit(self, weights: Weights, multiplied: ValueProduct) -> str:
        """Record an attention written out by hand; returns why it is none, or nothing."""
        product = weights.product
        kind = "self" if product is None else self._kind(product.a, product.b)
        if not self._collector.selects(self._modules.name, kind, *multiplied.axes.shape[1:]):
            return ""
        attention = assemble(weights, multiplied, self._modules.heads)
        if isinstance(attention, str):
            return attention
        e, rows = multiplied.output.shape[-1], attention.rows
        self.traces.append(
            CallTrace(
                multiplied.output, multiplied.operands, lambda g: as_array(multiplied.arrange(g)).reshape(-1, e)[rows]
            )
        )
        v, o, notes = attention.v, attention.output, [attention.note]
        if attention.scores is None:
            q, k = (np.zeros((*array.shape[:3], 0), v.dtype) for array in (o, v))
            scale, softcap = 1.0, None
            notes.insert(0, "its queries and keys were not found; logits are in .bias")
        else:
            q, k, scale, softcap, *_ = attention.scores
        narrowest = min(weights.logits.dtype, multiplied.values.dtype, key=lambda dtype: dtype.itemsize)
        note = "; ".join(filter(None, notes)).strip()
        self._add(q, k, v, o, scale, narrowest, kind=kind, softcap=softcap, note=note, **attention.rule._asdict())
        return ""

    def _add(
        self, q: Array, k: Array, v: Array, output: Array, scale: float, precision: torch.dtype, **rest: Any
    ) -> None:
        if rest["note"] and self._modules.training:
            rest["note"] += "; in training mode dropout changes the weights: call .eval() on the model first"
        rest["precision"] = str(precision).removeprefix("torch.")
        dtype = np.result_type(q, k, v, output)
        k, v = join_groups(k, v)
        q, k, v = (np.ascontiguousarray(array, dtype) for array in (q, k, v))
        layer = AttentionLayer(self._modules.name, q=q, k=k, v=v, output=output, scale=scale, **rest)
        self._collector.add(layer)

    def _kind(self, q: Tensor, k: Tensor) -> str:
        """Whether queries and keys come from the same tokens; by their number if the run does not show it."""
        queries, keys = self.follower.table.sources(q), self.follower.table.sources(k)
        if not queries.linear and not keys.linear:
            return "self" if q.shape[-2] in k.shape[-2:] else "cross"
        return "self" if queries.meets(keys) else "cross"


class _Operations(TorchDispatchMode):  # every operation, below autograd
    supports_higher_order_operators = True

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder, self.paused = recorder, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.paused and torch.is_inference_mode_enabled() and hasattr(func, "decompose"):
            with self:  # without autograd, products and attention arrive whole
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if self.paused or not hasattr(func, "_schema"):
            return result
        name = func._schema.name.partition("::")[2]
        if name.startswith("_scaled_dot_product") and not name.endswith("backward"):
            self.recorder.fused(kernel_call(func, args, kwargs), next(tensors_in([result])))
        elif any(word in name for word in _OPAQUE) and "backward" not in name:
            self.recorder.opaque.append(f"{func._schema.name} in {self.recorder._modules.name}")
        else:
            self.recorder.follower.follow(func, args, kwargs, result)
        return result


class _Functions(TorchFunctionMode):  # calls of whole functions, with their arguments as the model wrote them
    def __init__(self, recorder: _Recorder, operations: _Operations) -> None:
        super().__init__()
        self.recorder, self.operations = recorder, operations

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention" and all(map(has_memory, tensors_in([*args, *kwargs.values()]))):
            self.operations.paused = True
            try:
                result = func(*args, **kwargs)
                self.recorder.fused(sdpa_call(args, kwargs), result)
            finally:
                self.operations.paused = False
            return result
        if name in ("dropout", "dropout_"):
            self.recorder.follower.inside = "dropout"
            try:
                return func(*args, **kwargs)
            finally:
                self.recorder.follower.inside = ""
        if name == "flex_attention":
            self.operations.__exit__(None, None, None)
            try:
                result = func(*args, **kwargs)
                self.recorder.fused(flex_call(args), next(tensors_in([result])))
            finally:
                self.operations.__enter__()
            return result
        return func(*args, **kwargs)

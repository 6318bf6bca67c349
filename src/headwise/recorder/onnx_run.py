"""Run an ONNX model once with onnxruntime, its graph's outputs extended, and record every attention call."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from headwise.errors import CaptureError, DataError, require_extra
from headwise.files import check_file
from headwise.recorder.collect import Collector, Selection
from headwise.recorder.layer import AttentionLayer
from headwise.recorder.logits import join_groups
from headwise.recorder.onnx_control_flow import has_attention_inside, inline_control_flow
from headwise.recorder.onnx_explicit import find_softmax
from headwise.recorder.onnx_fused import FusedPlan, find_fused
from headwise.recorder.onnx_graph import Graph
from headwise.recorder.onnx_plan import SoftmaxPlan
from headwise.recorder.result import Capture

_LARGEST = 2**31 - 2**20  # bytes of a model that fit into one message


def capture_onnx(path: Path, args: Sequence[Any], kwargs: Mapping[str, Any], layers: Selection) -> Capture:
    """Run an .onnx file and record its attention; see `headwise.capture`."""
    model = _read(path)
    with require_extra("Capturing an .onnx file", None, "onnx"):
        import onnx
        import onnxruntime
    feed = _feed(model.graph, args, kwargs)
    model = inline_control_flow(model, lambda part, name: _evaluated(onnx, onnxruntime, part, name, feed))
    graph = _graph(path, model)
    plans = _plans(graph)
    outputs = [output.name for output in model.graph.output]
    if not plans:
        raise CaptureError(f"{path.name}: {_without_attention(graph)}")
    collector = Collector(layers)
    selected = [plan for place, plan in enumerate(plans) if collector.is_chosen(plan.name, place)]
    needed = sorted({name for plan in selected for name in plan.needs} - set(outputs) - set(graph.constants))
    needed = [name for name in needed if name in graph.makers]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in needed)
    session = _session(onnx, onnxruntime, model)
    try:
        tensors = dict(zip([*outputs, *needed], session.run([*outputs, *needed], feed), strict=True))
    except Exception as error:
        raise DataError(f"{path.name}: onnxruntime could not run it ({shorten(str(error), 300)}).") from None
    values = {**graph.constants, **feed, **tensors}
    for plan in plans:
        _add(collector, graph, plan, values)
    result = [tensors[name] for name in outputs]
    return Capture(result[0] if len(result) == 1 else result, collector.finish(), _ignored(graph, plans))


def describe_onnx(path: Path) -> dict[str, Any]:
    """What an .onnx file is: inputs, outputs, and its attention, by a name each."""
    model = _read(path)
    graph = _graph(path, model)
    attention = []
    for plan in _plans(graph):
        fused = plan.node.op_type if isinstance(plan, FusedPlan) else "Softmax"
        attention.append(f"{plan.name} ({_kind(graph, plan)}, {fused})")
    inner = [node for node in model.graph.node if has_attention_inside(node)]
    attention += [f"inside {node.op_type} {node.name}, as the run takes it" for node in inner]
    facts = {
        "opset": tuple(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import),
        "input": [_shape_of(i) for i in model.graph.input if i.name not in graph.constants],
        "output": [_shape_of(o) for o in model.graph.output],
        "parameters": sum(array.size for array in graph.constants.values()),
        "attention": attention,
    }
    return facts if attention else {**facts, "note": f"no attention: the model {_without_attention(graph)}"}


def _shape_of(value: Any) -> str:
    """Name and shape of an input or output."""
    sizes = [d.dim_param or str(d.dim_value or "?") for d in value.type.tensor_type.shape.dim]
    return f"{value.name} ({', '.join(sizes)})"


def _read(path: Path) -> Any:
    """The model in a file, its local functions inlined."""
    with require_extra("Reading an .onnx file", None, "onnx"):
        import onnx
        import onnx.inliner
    check_file(path)
    try:
        model = onnx.load(path)
        if not model.opset_import:  # as in an empty file
            raise ValueError("it names no set of operators")
        return onnx.inliner.inline_local_functions(model) if model.functions else model
    except Exception as error:
        raise DataError(f"{path}: cannot be read as an ONNX model ({error}).") from None


def _graph(path: Path, model: Any) -> Graph:
    """The model's graph with its constants, some of which a damaged file may lack."""
    try:
        return Graph(model.graph)
    except Exception as error:  # onnx raises all kinds of errors for tensors that it cannot read
        raise DataError(f"{path}: cannot be read as an ONNX model ({error}).") from None


def _plans(graph: Graph) -> list[SoftmaxPlan | FusedPlan]:
    """Every attention of the graph, in the order of the nodes."""
    plans: list[SoftmaxPlan | FusedPlan] = []
    for node in graph.nodes:
        plan = find_softmax(graph, node) if node.op_type == "Softmax" else find_fused(node)
        if plan is not None:
            plans.append(plan)
    return plans


def _add(collector: Collector, graph: Graph, plan: SoftmaxPlan | FusedPlan, values: Mapping[str, Any]) -> None:
    """Keep one attention of the run, if it is wanted."""
    if not collector.selects(plan.name, "", -1, 0):
        return
    fields = plan.arrays(values)
    kind = _kind(graph, plan, fields["q"].shape[2] == fields["k"].shape[2])
    dtype = np.result_type(fields["q"], fields["v"])
    k, v = join_groups(fields.pop("k"), fields.pop("v"))
    q, k, v = (np.ascontiguousarray(array, dtype) for array in (fields.pop("q"), k, v))
    collector.add(AttentionLayer(plan.name, kind, q=q, k=k, v=v, **fields))


def _kind(graph: Graph, plan: SoftmaxPlan | FusedPlan, as_many: bool = True) -> str:
    """Whether queries and keys come from the same tokens; by their number if the graph does not show it."""
    names = plan.sources
    if names is None or not any(graph.is_projected(name) for name in names):
        return "self" if as_many else "cross"
    return "self" if graph.sources(names[0]) & graph.sources(names[1]) else "cross"


def _session(onnx: Any, onnxruntime: Any, model: Any) -> Any:
    """A session for a model in memory, through a temporary file where it is too large for a message."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if model.ByteSize() < _LARGEST:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path, save_as_external_data=True)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _evaluated(onnx: Any, onnxruntime: Any, model: Any, name: str, feed: Mapping[str, Any]) -> Any:
    """One tensor of a part of a model."""
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer if i.name == name}
    if name in constants or name in feed:
        return constants.get(name, feed.get(name))
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    return _session(onnx, onnxruntime, model).run([name], dict(feed))[0]


def _feed(proto: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of the model by name, in the types that it declares."""
    from onnx import helper

    constants = {i.name for i in proto.initializer}
    inputs = {i.name: i for i in proto.input if i.name not in constants}
    arrays = dict(args[0]) if len(args) == 1 and isinstance(args[0], Mapping) else dict(zip(inputs, args, strict=False))
    arrays |= kwargs
    if set(arrays) != set(inputs) or len(args) > len(inputs):
        raise DataError(f"inputs: expected {', '.join(inputs)}; got {', '.join(map(str, arrays)) or 'none'}.")
    feed = {}
    for name, value in arrays.items():
        dtype = helper.tensor_dtype_to_np_dtype(inputs[name].type.tensor_type.elem_type)
        array = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
        feed[name] = np.ascontiguousarray(array.astype(dtype, copy=False))
    return feed


def _without_attention(graph: Graph) -> str:
    softmaxes = sum(node.op_type == "Softmax" for node in graph.nodes)
    if softmaxes:
        return f"calls no attention: of its {softmaxes} Softmax nodes none feeds a product with values."
    return "calls no attention: it has no Softmax and no fused attention operator."


def _ignored(graph: Graph, plans: Sequence[SoftmaxPlan | FusedPlan]) -> tuple[str, ...]:
    used = {plan.logits for plan in plans if isinstance(plan, SoftmaxPlan)}
    nodes = [node for node in graph.nodes if node.op_type == "Softmax" and node.input[0] not in used]
    return tuple(f"Softmax {node.name or node.output[0]}: its result is multiplied with no values" for node in nodes)

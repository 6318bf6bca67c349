"""The same attention by other libraries: a callable for each that is installed and offers the workload's options."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from headwise.benchmark.workloads import Inputs, Workload
from headwise.parallel.threads import num_threads

Call = Callable[[], object]


def peer_calls(workload: Workload, inputs: Inputs, names: tuple[str, ...]) -> dict[str, Call]:
    """A callable for each named peer that is installed and has what the workload needs."""
    calls = {name: PEERS[name](workload, inputs) for name in names if importlib.util.find_spec(name)}
    return {name: call for name, call in calls.items() if call is not None}


def _visible(workload: Workload, inputs: Inputs) -> Any:
    """Options that hide keys, as a boolean array that broadcasts to (B, H, N, M); None if no key is hidden."""
    options, n, m = inputs.options, workload.shape[2], workload.m
    if "mask" in options:
        return options["mask"][None, None]
    if "lengths" in options:
        return (np.arange(m) < options["lengths"][:, None])[:, None, None, :]
    if workload.option in ("causal", "window"):
        distance = np.arange(m) - (np.arange(n)[:, None] + m - n)
        left, right = options.get("window", (m, 0))
        return ((distance >= -left) & (distance <= right))[None, None]
    return None


def _torch(workload: Workload, inputs: Inputs) -> Call | None:
    import torch

    torch.set_num_threads(num_threads())
    q, k, v, do = (torch.from_numpy(array) for array in (inputs.q, inputs.k, inputs.v, inputs.do))
    options: dict[str, Any] = {"enable_gqa": True} if workload.groups != workload.shape[1] else {}
    if workload.option == "causal" and workload.shape[2] == workload.m:
        options["is_causal"] = True
    elif workload.option == "bias":
        options["attn_mask"] = torch.from_numpy(inputs.options["bias"])[None]
    elif workload.option:
        options["attn_mask"] = torch.from_numpy(_visible(workload, inputs))
    attend = torch.nn.functional.scaled_dot_product_attention
    if workload.backward:
        leaves = [tensor.requires_grad_(True) for tensor in (q, k, v)]
        if workload.option == "bias":
            leaves.append(options["attn_mask"].requires_grad_(True))
        return lambda: torch.autograd.grad(attend(q, k, v, **options), leaves, do)

    def forward() -> object:
        with torch.no_grad():
            return attend(q, k, v, **options)

    return forward


def _onnxruntime(workload: Workload, inputs: Inputs) -> Call | None:
    """MultiHeadAttention, or GroupQueryAttention for one query and a cache; queries and keys in its own layout."""
    grouped = workload.groups != workload.shape[1]
    if workload.backward or not importlib.util.find_spec("onnx") or workload.option in ("window", "lengths"):
        return None
    if workload.shape[2] == 1:
        return _group_query(workload, inputs)
    if grouped or (workload.option == "causal" and workload.shape[2] != workload.m):
        return None
    q, k, v = (_tokens_first(array) for array in (inputs.q, inputs.k, inputs.v))
    feeds = {"q": q, "k": k, "v": v}
    if workload.option == "bias":
        feeds["bias"] = inputs.options["bias"][None]
    elif workload.option == "mask":
        feeds["bias"] = np.where(_visible(workload, inputs), np.float32(0), np.float32(-1e30))
    names = ["q", "k", "v", *(["", "", "bias"] if "bias" in feeds else [])]
    causal = int(workload.option == "causal")
    session = _session("MultiHeadAttention", names, ["o"], feeds, num_heads=workload.shape[1], unidirectional=causal)
    return lambda: session.run(["o"], feeds)


def _group_query(workload: Workload, inputs: Inputs) -> Call:
    """The last key and value are new, the others are in a cache that the operator extends in place."""
    import onnxruntime

    (b, h, _, _), m = workload.shape, workload.m
    feeds = {
        "q": _tokens_first(inputs.q),
        "k": _tokens_first(inputs.k[:, :, -1:]),
        "v": _tokens_first(inputs.v[:, :, -1:]),
        "past_k": inputs.k.copy(),
        "past_v": inputs.v.copy(),
        "last": np.full(b, m - 1, np.int32),
        "total": np.array(m, np.int32),
    }
    session = _session(
        "GroupQueryAttention", list(feeds), ["o", "new_k", "new_v"], feeds, num_heads=h, kv_num_heads=workload.groups
    )
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("o")
    binding.bind_ortvalue_output("new_k", values["past_k"])
    binding.bind_ortvalue_output("new_v", values["past_v"])
    return lambda: session.run_with_iobinding(binding)


def _tokens_first(array: Any) -> Any:
    """(B, H, N, d) as (B, N, H d)."""
    b, h, n, d = array.shape
    return np.ascontiguousarray(array.transpose(0, 2, 1, 3)).reshape(b, n, h * d)


def _session(operator: str, inputs: list[str], outputs: list[str], feeds: dict[str, Any], **attributes: Any) -> Any:
    """A session of onnxruntime that runs one of its operators on as many threads as the others."""
    import onnx
    import onnxruntime
    from onnx import helper

    def describe(name: str) -> Any:
        kind = onnx.TensorProto.INT32 if feeds[name].dtype == np.int32 else onnx.TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, feeds[name].shape)

    node = helper.make_node(operator, inputs, outputs, domain="com.microsoft", **attributes)
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph([node], "attention", [describe(name) for name in feeds], results)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads()
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _jax(workload: Workload, inputs: Inputs) -> Call | None:
    """On the processor, also where JAX would choose another device."""
    import jax

    jax.config.update("jax_default_device", jax.local_devices(backend="cpu")[0])
    q, k, v, do = (jax.numpy.asarray(a.transpose(0, 2, 1, 3)) for a in (inputs.q, inputs.k, inputs.v, inputs.do))
    options: dict[str, Any] = {}
    if workload.option == "causal" and workload.shape[2] == workload.m:
        options["is_causal"] = True
    elif workload.option == "window":
        options["local_window_size"] = inputs.options["window"]
    elif workload.option == "lengths":
        options["key_value_seq_lengths"] = jax.numpy.asarray(inputs.options["lengths"], "int32")
    elif workload.option in ("mask", "causal"):
        options["mask"] = jax.numpy.asarray(_visible(workload, inputs))
    bias = jax.numpy.asarray(inputs.options["bias"][None]) if workload.option == "bias" else None

    def attend(q: Any, k: Any, v: Any, bias: Any) -> Any:
        return jax.nn.dot_product_attention(q, k, v, bias, **options)

    def gradients(q: Any, k: Any, v: Any, bias: Any) -> Any:
        return jax.vjp(attend, q, k, v, bias)[1](do)

    compute = jax.jit(gradients if workload.backward else attend)
    return lambda: jax.block_until_ready(compute(q, k, v, bias))


PEERS: dict[str, Callable[[Workload, Inputs], Call | None]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "jax": _jax,
}

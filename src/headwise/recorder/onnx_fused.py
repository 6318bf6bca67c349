"""Fused attention operators of ONNX and onnxruntime, recomputed from their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.errors import CaptureError
from headwise.recorder.key_mask import KeyMask, intersect
from headwise.recorder.logits import Rule, rule_of_bias
from headwise.recorder.onnx_graph import attributes, domain_of, module_of
from headwise.shapes import Array

_UNKNOWN = ("QAttention", "PackedAttention", "PackedMultiHeadAttention", "SparseAttention", "LongformerAttention",
            "DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "FlexAttention",
            "PagedAttention", "RelativePositionBias", "GatedRelativePositionBias")  # fmt: skip


@dataclass(frozen=True)
class FusedPlan:
    """One fused operator and how to read it."""

    name: str
    node: Any
    read: Callable[[Any, list[Any], dict[str, Any], Any], dict[str, Any]]

    @property
    def needs(self) -> set[str]:
        """Tensors to read from the run."""
        return {name for name in (*self.node.input, self.node.output[0]) if name}

    @property
    def sources(self) -> tuple[str, str] | None:
        """Tensors that queries and keys come from; None if it is one tensor."""
        packed = self.node.op_type == "Attention" and domain_of(self.node)
        return None if packed or not self.node.input[1] else (self.node.input[0], self.node.input[1])

    def arrays(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the layer."""
        inputs = [values.get(name) if name else None for name in self.node.input] + [None] * 16
        output = values[self.node.output[0]]
        half = output.dtype == np.float16
        fields = self.read(self.node, [_wide(i) for i in inputs], attributes(self.node), _wide(output))
        return {"precision": "float16" if half else "float32", **fields}


def find_fused(node: Any) -> FusedPlan | None:
    """The plan for a fused attention operator, CaptureError for one that is not known; None for other nodes."""
    read = _READERS.get((domain_of(node), node.op_type))
    if read is None:
        if node.op_type in _UNKNOWN and "Bias" not in node.op_type:
            raise CaptureError(f"model: the operator {node.op_type} ({node.name}) cannot be followed.")
        return None
    return FusedPlan(module_of(node), node, read)


def _wide(array: Any) -> Any:
    """Half precision as float32."""
    return array.astype(np.float32) if array is not None and array.dtype == np.float16 else array


def _attention(node: Any, i: list[Any], options: dict[str, Any], output: Array) -> dict[str, Any]:
    """ONNX's Attention: Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen."""
    q, k, v = (
        _split(i[place], options.get(h)) for place, h in ((0, "q_num_heads"), (1, "kv_num_heads"), (2, "kv_num_heads"))
    )
    k, v, past = _with_past(k, v, i[4], i[5])
    b, h, n, d = q.shape
    shape = (b, h, n, k.shape[2])
    rule = Rule() if i[3] is None else _rule_of(_widened(i[3], shape), shape)
    offset = past if i[6] is None else np.asarray(i[6]) - n
    if options.get("is_causal") or i[6] is not None:
        stop = _causal_stop(n, offset) if options.get("is_causal") else np.asarray(i[6])[:, None] + np.zeros(n, int)
        rule = _limited(rule, stop, shape)
    output = _split(output, options.get("q_num_heads"))
    return {"q": q, "k": k, "v": v, "output": output, **_scaling(options, d), **rule._asdict()}


def _multi_head(node: Any, i: list[Any], options: dict[str, Any], output: Array) -> dict[str, Any]:
    """MultiHeadAttention: query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value."""
    heads = options["num_heads"]
    if i[1] is None or i[0].ndim == 5:
        q, k, v = np.moveaxis(i[0], 3, 0)  # (B, N, H, 3, d)
        q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    elif i[1].ndim == 5:
        q = _split(i[0], heads)
        k, v = (x.swapaxes(1, 2) for x in np.moveaxis(i[1], 3, 0))
    else:
        q, k, v = (_split(x, heads) for x in i[:3])
    if i[3] is not None:
        cuts = np.cumsum([heads * q.shape[3], heads * k.shape[3]])
        q, k, v = (x + part.reshape(heads, 1, -1) for x, part in zip((q, k, v), np.split(i[3], cuts), strict=True))
    return _from_heads(q, k, v, i[4], i[5], (i[6], i[7]), options, _split(output, heads))


def _packed(node: Any, i: list[Any], options: dict[str, Any], output: Array) -> dict[str, Any]:
    """Attention of onnxruntime: input, weights, bias, mask_index, past, attention_bias."""
    heads = options["num_heads"]
    if options.get("do_rotary"):
        raise CaptureError(f"model: the operator Attention with rotary positions ({node.name}) cannot be followed.")
    projected = i[0] @ i[1] + (0 if i[2] is None else i[2])
    sizes = options.get("qkv_hidden_sizes") or [projected.shape[-1] // 3] * 3
    q, k, v = (_split(x, heads) for x in np.split(projected, np.cumsum(sizes)[:2], axis=-1))
    past = (None, None) if i[4] is None else (i[4][0], i[4][1])
    return _from_heads(q, k, v, i[3], i[5], past, options, _split(output, heads))


def _from_heads(
    q: Array, k: Array, v: Array, padding: Any, bias: Any, past: tuple[Any, Any], options: dict[str, Any], output: Array
) -> dict[str, Any]:
    """Fields of onnxruntime's operators, from queries, keys and values by head."""
    k, v, before = _with_past(k, v, *past)
    shape = (*q.shape[:3], k.shape[2])
    rule = Rule() if bias is None else _rule_of(bias, shape)
    if padding is not None:
        hidden = _rule_of(_padding(padding, shape), shape)
        rule = rule._replace(mask=intersect(rule.mask, hidden.mask))
    if options.get("unidirectional"):
        rule = _limited(rule, _causal_stop(shape[2], before), shape)
    scale = options.get("scale") or q.shape[-1] ** -0.5
    return {"q": q, "k": k, "v": v, "output": output, "scale": scale, **rule._asdict()}


def _grouped(node: Any, i: list[Any], options: dict[str, Any], output: Array) -> dict[str, Any]:
    """GroupQueryAttention: query, key, value, past_key, past_value, seqlens_k, total_sequence_length, cos, sin."""
    heads, groups = options["num_heads"], options["kv_num_heads"]
    query, key, value = i[:3]
    if key is None:
        d = query.shape[-1] // (heads + 2 * groups)
        query, key, value = np.split(query, [heads * d, (heads + groups) * d], axis=-1)
    q, k, v = _split(query, heads), _split(key, groups), _split(value, groups)
    b, _, n, d = q.shape
    lengths = np.broadcast_to(np.asarray(i[5]).ravel() + 1, b)
    past = lengths - n if n == 1 or (i[3] is not None and i[3].shape[2]) else np.zeros(b, int)
    if options.get("do_rotary"):
        places = past[:, None] + np.arange(n)
        q, k = (_rotated(x, i[7][places], i[8][places], bool(options.get("rotary_interleaved"))) for x in (q, k))
    k, v = (_appended(old, new, past) for old, new in ((i[3], k), (i[4], v)))
    shape = (b, heads, n, k.shape[2])
    stop = np.minimum(_causal_stop(n, past), lengths[:, None])
    window = options.get("local_window_size", -1)
    start = np.maximum(_causal_stop(n, past) - window, 0) if window > 0 else np.zeros_like(stop)
    mask = KeyMask(start[:, None], np.maximum(stop, start)[:, None], shape[3])
    sinks = np.zeros((1, heads), q.dtype) if options.get("smooth_softmax", 0) == 1 else None
    sinks = i[11].reshape(1, heads).astype(q.dtype) if i[11] is not None else sinks
    fields = {"q": q, "k": k, "v": v, "output": _split(output, heads), "mask": mask, "sinks": sinks}
    return fields | _scaling(options, d)


_READERS: dict[tuple[str, str], Callable[[Any, list[Any], dict[str, Any], Any], dict[str, Any]]] = {
    ("", "Attention"): _attention,
    ("com.microsoft", "MultiHeadAttention"): _multi_head,
    ("com.microsoft", "Attention"): _packed,
    ("com.microsoft", "GroupQueryAttention"): _grouped,
}


def _scaling(options: dict[str, Any], d: int) -> dict[str, float | None]:
    """Factor and softcap of the logits of heads of width d."""
    return {"scale": options.get("scale") or d**-0.5, "softcap": options.get("softcap") or None}


def _split(array: Array, heads: int | None) -> Array:
    """(B, N, H·d) -> (B, H, N, d); what has four axes already is left as it is."""
    if array.ndim == 4 or not heads:
        return array
    return array.reshape(*array.shape[:2], heads, -1).swapaxes(1, 2)


def _with_past(k: Array, v: Array, past_k: Any, past_v: Any) -> tuple[Array, Array, int]:
    """Keys and values behind those of a cache, and how many these are."""
    if past_k is None:
        return k, v, 0
    return np.concatenate([past_k, k], axis=2), np.concatenate([past_v, v], axis=2), int(past_k.shape[2])


def _appended(past: Any, new: Array, lengths: Any) -> Array:
    """New keys (B, G, N, d) behind the valid ones of a buffer (B, G, P, d)."""
    if past is None:
        return new
    size = max(past.shape[2], int(lengths.max()) + new.shape[2])
    buffer = np.zeros((*new.shape[:2], size, new.shape[3]), new.dtype)
    for item, length in enumerate(lengths):
        buffer[item, :, :length] = past[item, :, :length]
        buffer[item, :, length : length + new.shape[2]] = new[item]
    return buffer


def _rotated(x: Array, cos: Array, sin: Array, neighbours: bool) -> Array:
    """Rotary positions: cos and sin are (B, N, width/2)."""
    width = 2 * cos.shape[-1]
    part, rest = x[..., :width], x[..., width:]
    a, b = (part[..., ::2], part[..., 1::2]) if neighbours else np.split(part, 2, axis=-1)
    cos, sin = cos[:, None], sin[:, None]
    parts = (a * cos - b * sin, b * cos + a * sin)
    rotated = np.stack(parts, axis=-1).reshape(part.shape) if neighbours else np.concatenate(parts, axis=-1)
    return np.concatenate([rotated, rest], axis=-1)


def _causal_stop(n: int, offset: Any) -> Any:
    """One past the last key of each query, (B or 1, N)."""
    return np.atleast_1d(np.asarray(offset))[:, None] + np.arange(n) + 1


def _limited(rule: Rule, stop: Any, shape: tuple[int, ...]) -> Rule:
    """The rule without keys from `stop` (B or 1, N)."""
    last = np.clip(stop, 0, shape[3])[:, None]
    return rule._replace(mask=intersect(rule.mask, KeyMask(np.zeros_like(last), last, shape[3])))


def _rule_of(mask: Any, shape: tuple[int, ...]) -> Rule:
    """From a boolean mask, or one that is added."""
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    if mask.dtype != np.bool_:
        return rule_of_bias(mask, (shape[0], shape[1], shape[2], shape[3]))
    return Rule(KeyMask.from_array(np.broadcast_to(mask, (*mask.shape[:2], *shape[2:]))))


def _widened(mask: Any, shape: tuple[int, ...]) -> Any:
    """A mask that is shorter than the keys, with the rest hidden."""
    missing = shape[3] - mask.shape[-1]
    if missing <= 0 or mask.shape[-1] == 1:
        return mask
    hidden = False if mask.dtype == np.bool_ else -np.inf
    return np.concatenate([mask, np.full((*mask.shape[:-1], missing), hidden, mask.dtype)], axis=-1)


def _padding(mask: Any, shape: tuple[int, ...]) -> Any:
    """Which keys are valid, from lengths (B), or ones and zeros (B, M), (B, N, M)."""
    b, _, _, m = shape
    if mask.ndim == 1 and len(mask) == 2 * b:  # ends, then starts
        return ((np.arange(m) < mask[:b, None]) & (np.arange(m) >= mask[b:, None]))[:, None, None]
    if mask.ndim == 1:
        return (np.arange(m) < mask[:b, None])[:, None, None]
    return (mask != 0)[:, None, None] if mask.ndim == 2 else (mask != 0)[:, None] if mask.ndim == 3 else mask != 0

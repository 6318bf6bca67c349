"""An attention call of a loaded model as an `AttentionLayer`."""

from __future__ import annotations

import numpy as np

from headwise.attention.functional import AttentionCache
from headwise.attention.inputs import AttentionInputs
from headwise.recorder import AttentionLayer, KeyMask
from headwise.recorder.key_mask import intersect
from headwise.shapes import Array


def record_call(name: str, call: AttentionCache, o: Array, index: int) -> AttentionLayer:
    """The call with this cache and output o (B, H, N, e)."""
    inputs = call.inputs
    _, h, n, m = inputs.shape
    return AttentionLayer(
        name,
        "self" if n == m else "cross",
        inputs.q,
        inputs.k,
        inputs.v,
        output=o,
        scale=inputs.scale,
        softcap=inputs.softcap,
        bias=inputs.bias,
        mask=_key_mask(inputs),
        sinks=None if call.sinks is None else call.sinks.reshape(1, h),
        precision=str(inputs.dtype),
        index=index,
    )


def _key_mask(inputs: AttentionInputs) -> KeyMask | None:
    """The rule of a call, without an N × M array: causal mask and window as intervals, and the mask of the keys."""
    rule, (*_, n, m) = inputs.mask, inputs.shape
    intervals = KeyMask.from_rule((1, 1, n, m), window=(rule.left, rule.right)) if n == m else None
    if rule.array is None:
        return intervals
    keys = KeyMask.from_array(np.broadcast_to(rule.array, (*rule.array.shape[:2], n, m)))
    return intersect(intervals, keys)

"""The queries are the tail of a longer sequence of keys, and the causal limit counts them from zero.

Source: gittensor-ai-lab/sparkinfer#3
"""

import numpy as np

EXPECT = {"flash_prefill": {"mistakes": ["causal-alignment"]}, "flash_prefill_corrected": {}}


def _prefill(q, k, v, causal, offset):
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for qpos in range(q.shape[-2]):
        kv_end = min(k.shape[-2], qpos + 1 + offset) if causal else k.shape[-2]
        s = np.einsum("...d,...md->...m", q[..., qpos, :], k[..., :kv_end, :]) / np.sqrt(q.shape[-1])
        p = np.exp(s - s.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        out[..., qpos, :] = np.einsum("...m,...md->...d", p, v[..., :kv_end, :])
    return out


def flash_prefill(q, k, v, causal=True):
    """The queries are the last ones of a sequence whose earlier keys are in the KV cache: the last query sees all."""
    return _prefill(q, k, v, causal, 0)


def flash_prefill_corrected(q, k, v, causal=True):
    """The queries are the last ones of a sequence whose earlier keys are in the KV cache: the last query sees all."""
    return _prefill(q, k, v, causal, k.shape[-2] - q.shape[-2])

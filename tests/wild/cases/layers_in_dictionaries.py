"""Layers are dictionaries of weight and bias, unpacked where they are called. Right; unscaled; without output layer.

Source: https://github.com/jaymody/picoGPT
"""

import numpy as np

EXPECT = {
    "mha": {"conventions": ["in-out", "causal"]},
    "mha_unscaled": {"mistakes": ["scale-missing"], "variant": True},
    "mha_without_output": {"mistakes": ["output-projection-missing"], "variant": True},
}


def _linear(x, w, b):
    return x @ w + b


def _attend(q, k, v, root):
    hidden = (1 - np.tri(len(q))) * -1e10
    s = q @ k.T / root + hidden
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True) @ v


def _heads(x, n_head):
    return [np.split(part, n_head, axis=-1) for part in np.split(x, 3, axis=-1)]


def mha(x, c_attn, c_proj, n_head):
    """[n_seq, n_embd] -> [n_seq, n_embd]"""
    x = _linear(x, **c_attn)
    width = x.shape[-1] // 3 // n_head
    return _linear(np.hstack([_attend(*head, width**0.5) for head in zip(*_heads(x, n_head), strict=True)]), **c_proj)


def mha_unscaled(x, c_attn, c_proj, n_head):
    """[n_seq, n_embd] -> [n_seq, n_embd]"""
    x = _linear(x, **c_attn)
    return _linear(np.hstack([_attend(*head, 1) for head in zip(*_heads(x, n_head), strict=True)]), **c_proj)


def mha_without_output(x, c_attn, c_proj, n_head):
    """[n_seq, n_embd] -> [n_seq, n_embd]; c_proj["w"] and c_proj["b"] are left to the caller."""
    x = _linear(x, **c_attn)
    width = x.shape[-1] // 3 // n_head
    return np.hstack([_attend(*head, width**0.5) for head in zip(*_heads(x, n_head), strict=True)])

"""Decoder states attend to encoder states; with keys of the decoder, with values of it, and merged as they are.

Source: https://nlp.seas.harvard.edu/annotated-transformer/
"""

import numpy as np

EXPECT = {
    "cross_attention": {},
    "cross_attention_own_keys": {"mistakes": ["context-ignored"], "variant": True},
    "cross_attention_own_values": {"mistakes": ["context-ignored"], "variant": True},
    "cross_attention_unmoved": {"mistakes": ["heads-merged-unmoved"], "variant": True},
}


def _heads(a, n_heads):
    return a.reshape(*a.shape[:2], n_heads, -1).swapaxes(1, 2)


def _mixed(q, k, v, n_heads):
    s = _heads(q, n_heads) @ _heads(k, n_heads).swapaxes(-1, -2)
    s = s / np.sqrt(q.shape[-1] // n_heads)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True) @ _heads(v, n_heads)


def _moved(a):
    return a.swapaxes(1, 2).reshape(a.shape[0], a.shape[2], -1)


def cross_attention(decoder_states, encoder_states, Wq, Wk, Wv, Wo, n_heads):
    return _moved(_mixed(decoder_states @ Wq, encoder_states @ Wk, encoder_states @ Wv, n_heads)) @ Wo


def cross_attention_own_keys(decoder_states, encoder_states, Wq, Wk, Wv, Wo, n_heads):
    keys = decoder_states[:, : encoder_states.shape[1]] @ Wk
    return _moved(_mixed(decoder_states @ Wq, keys, encoder_states @ Wv, n_heads)) @ Wo


def cross_attention_own_values(decoder_states, encoder_states, Wq, Wk, Wv, Wo, n_heads):
    return _moved(_mixed(decoder_states @ Wq, encoder_states @ Wk, decoder_states @ Wv, n_heads)) @ Wo


def cross_attention_unmoved(decoder_states, encoder_states, Wq, Wk, Wv, Wo, n_heads):
    mixed = _mixed(decoder_states @ Wq, encoder_states @ Wk, encoder_states @ Wv, n_heads)
    return mixed.reshape(*decoder_states.shape[:2], -1) @ Wo

"""Layers as pairs of functions, forward and backward, over flat dicts of arrays.

``f_forward(x, params) -> (y, cache)`` and ``f_backward(dy, cache) -> (dx, grads)``. A layer holds no state.
"""

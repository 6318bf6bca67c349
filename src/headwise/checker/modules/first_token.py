"""Layers where only the first token attends, such as the class attention of CaiT (Touvron et al., 2021, section 2.2).

Keys without positions have no order, so such a layer gives the output of any token that is put first: called once for
each of them, it is attention of all tokens.
"""

from __future__ import annotations

from typing import Any

from headwise.checker.user_code.numpy_guard import np


def put_each_first(tokens: Any) -> Any:
    """From tokens (B, N, D) to (B · N, N, D): each token of an item exchanged for the first.

    Of any framework's arrays.
    """
    batch, count, model = tokens.shape
    order = np.tile(np.arange(count), (count, 1))
    order[:, 0], order[np.arange(count), np.arange(count)] = np.arange(count), 0
    return tokens[:, order].reshape(batch * count, count, model)


def gather_first(output: Any, count: int) -> Any:
    """From the outputs of first tokens, (B · N, 1, D) or (B · N, D), to (B, N, D)."""
    return output.reshape(-1, count, output.shape[-1])

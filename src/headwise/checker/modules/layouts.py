"""The axes in which a layer takes its tokens: B, N and D, with H and W instead of N for an image.

Some layers, such as the class attention of CaiT (Touvron et al., 2021, section 2.2), let only their first token attend.
Keys without positions have no order, so such a layer gives the output of any token that is put first: called once for
each of them, it is attention of all tokens.
"""

from __future__ import annotations

import re
from typing import Any

from headwise.checker.reference.state import image_sides
from headwise.checker.user_code.numpy_guard import np

AXES = ("BND", "ND", "BDN", "DN", "BDHW", "BHWD")
OF_ONE_GROUP = "B1ND"  # for layers of several groups of tokens in each item
# what a source says whose tokens come before the batch, "NBD"
_TOKENS_FIRST = re.compile(
    r"\(\s*(seq_?len|seq|t|time|l|n|s|len|length|tokens|tgt_?len)\s*,\s*(b|bs|bsz|batch|batch_?size|n)\s*,\s*\w+\s*\)"
    r"|\b(sequence|seq|time)-(first|major)\b"
    r"|\b(time|t|l|length|seq_?len)\s*[x×]\s*(batch|bsz|b)\b|\b(seq_?len|tgt_?len|src_?len|t|l|length|q_?len)\s*,\s*(bsz|batch_?size|batch|b|bs)\s*,\s*\w+\s*=",
    re.IGNORECASE,
)
_UNPACKED = re.compile(r"\b(\w+)\s*,\s*(\w+)\s*,\s*\w+\s*=\s*\w+\.(?:shape\b|size\(\))")
_BATCH = re.compile(r"b|bs|bsz|n?_?batch\w*|n", re.IGNORECASE)


def has_tokens_first(source: str) -> bool:
    """Whether a source says that tokens come before the batch, or folds the second axis of its input with the heads."""
    unpacked = [second for first, second in _UNPACKED.findall(source) if not _BATCH.fullmatch(first)]
    folded = any(re.search(rf"\b{name}\s*\*\s*(self\.)?\w*heads?\b", source) for name in unpacked)
    return folded or bool(_TOKENS_FIRST.search(source))


def present(a: Any, axes: str) -> Any:
    """Tokens (B, N, D) in other axes; of any framework's arrays."""
    if "B" not in axes:
        return a[0] if axes == "ND" else a[0].swapaxes(0, 1)
    if axes == OF_ONE_GROUP:
        return a[:, None]
    if axes in ("BDHW", "BHWD"):
        image = a.reshape(a.shape[0], *image_sides(a.shape[1]), a.shape[2])
        return image if axes == "BHWD" else image.swapaxes(2, 3).swapaxes(1, 2)
    return a.swapaxes(1, 2) if axes == "BDN" else a.swapaxes(0, 1) if axes == "NBD" else a


def restore(a: Any, axes: str) -> Any:
    """Undo `present`; an output that has already tokens in place of an image stays as it is."""
    if "B" not in axes:
        return a[None] if axes == "ND" else a.swapaxes(0, 1)[None]
    if axes == OF_ONE_GROUP:
        return a[:, 0] if a.ndim == 4 else a
    if axes in ("BDHW", "BHWD") and a.ndim == 4:
        image = a.swapaxes(1, 2).swapaxes(2, 3) if axes == "BDHW" else a
        return image.reshape(image.shape[0], -1, image.shape[3])
    return a.swapaxes(1, 2) if axes in ("BDN", "BDHW") else a.swapaxes(0, 1) if axes == "NBD" else a


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

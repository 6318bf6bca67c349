"""Attention that torch computes in one call, as arrays: scaled_dot_product_attention, its kernels, flex attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headwise.recorder.key_mask import KeyMask, intersect
from headwise.recorder.logits import Rule, rule_of_bias, rule_of_logits
from headwise.recorder.torch_tensors import as_array
from headwise.shapes import Array

_Scalar = TypeVar("_Scalar", bound=np.generic)


class FusedCall(NamedTuple):
    """Arguments of one fused call, not yet transferred."""

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float | None = None
    mask: Tensor | None = None  # boolean, or added to the logits
    causal: str = ""  # "", or the alignment: "start", "end"
    dropout: float = 0.0
    modify: Callable[[Tensor, Array], Array] | None = None  # changes the scores, for flex attention
    blocks: tuple[Any, ...] | None = None  # a BlockMask as a tuple, which ends with its rule

    def unpacked(self, heads: int | None) -> FusedCall:
        """The call for one query whose H heads were packed as the queries of G key heads: (B, G, H/G, d).

        transformers does so while it generates with grouped heads; the number of heads that the module states decides.
        """
        if heads is None or self.q.ndim != 4 or self.q.shape[1] == heads or self.q.shape[1] != self.k.shape[1]:
            return self
        b, g, n, d = self.q.shape
        if g * n != heads or self.causal:
            return self
        mask = self.mask
        if mask is not None and mask.ndim == 4 and mask.shape[1] == g and mask.shape[2] == n:
            mask = mask.reshape(mask.shape[0], heads, 1, mask.shape[3])
        return self._replace(q=self.q.reshape(b, heads, 1, d), mask=mask)


def sdpa_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> FusedCall:
    """Arguments of ``scaled_dot_product_attention``."""
    return _call(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, kwargs)


def kernel_call(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> FusedCall:
    """Arguments of one of the kernels behind ``scaled_dot_product_attention``, by the names in its schema."""
    return _call([argument.name for argument in operation._schema.arguments], args, kwargs)


def _call(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> FusedCall:
    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
    mask = arguments.get("attn_mask", arguments.get("attn_bias"))
    causal = "start" if arguments.get("is_causal") else ""
    if mask is not None and type(mask).__name__ == "CausalBias":  # torch.nn.attention.bias
        causal, mask = ("end" if mask.variant.name == "LOWER_RIGHT" else "start"), None
    q, k, v = arguments["query"], arguments["key"], arguments["value"]
    return FusedCall(q, k, v, arguments.get("scale"), mask, causal, arguments.get("dropout_p") or 0.0)


def flex_call(args: Sequence[Any]) -> FusedCall:
    """Arguments of the operator behind ``flex_attention``."""
    q, k, v, modify, blocks, scale = args[:6]
    plain = getattr(modify, "__name__", "") == "_identity"
    changes = None if plain else lambda like, scores: _modified(modify, like, scores)
    return FusedCall(q, k, v, scale, modify=changes, blocks=blocks)


def four_axes(array: npt.NDArray[_Scalar], lead: Sequence[int], heads: int | None) -> npt.NDArray[_Scalar]:
    """An array (..., N, d) as (B, H, N, d).

    Of several leading axes the heads are the one of their number, or else the last; a single one holds items and heads
    if it can be divided. `lead` are the leading axes of the queries; those of keys that heads share may be smaller.
    """
    array = array.reshape((1,) * (len(lead) + 2 - array.ndim) + array.shape)
    *batch_axes, n, d = array.shape
    if len(lead) < 2:
        divided = bool(lead and heads and lead[0] % heads == 0 and batch_axes[0] == lead[0])
        return array.reshape(-1, heads if divided and heads else 1, n, d)
    same = [axis for axis, size in enumerate(lead) if size == heads and len(lead) > 2]
    place = same[-1] if same else len(lead) - 1
    rearranged = np.moveaxis(array, place, -3)
    return rearranged.reshape(-1, *rearranged.shape[-3:])


def rule_of_call(call: FusedCall, q: Array, k: Array, scale: float, heads: int | None) -> Rule:
    """Mask, bias and sinks of a fused call with queries (B, H, N, d) and keys (B, G, M, d)."""
    b, h, n, _ = q.shape
    shape = (b, h, n, k.shape[2])
    rule = Rule()
    if call.mask is not None:
        rule = _rule_of_mask(call.mask, shape, call.q.shape[:-2], heads)
    if call.causal:
        causal = KeyMask.from_rule(shape, causal=True, align="end" if call.causal == "end" else "start")
        if causal is not None:
            causal = KeyMask(causal.first[:1], causal.last[:1], causal.keys)
            rule = rule._replace(mask=intersect(rule.mask, causal))
    if call.blocks is not None:
        rule = rule._replace(mask=_mask_of_blocks(call.blocks, call.q, shape))
    if call.modify is not None:
        scores = q @ np.repeat(k, h // k.shape[1], axis=1).mT * scale
        modified = rule_of_logits(call.modify(call.q, scores), scores, float(np.finfo(q.dtype).eps))
        rule = Rule(intersect(rule.mask, modified.mask), modified.bias)
    return rule


def _rule_of_mask(mask: Tensor, shape: tuple[int, int, int, int], lead: Sequence[int], heads: int | None) -> Rule:
    """From a mask that broadcasts to the logits, without the axes along which it was only repeated."""
    for axis in range(mask.ndim - 2):
        if mask.stride(axis) == 0:
            mask = mask.narrow(axis, 0, 1)
    boolean = mask.dtype == torch.bool
    array: npt.NDArray[Any] = mask.detach().cpu().numpy() if boolean else as_array(mask)
    array = np.atleast_2d(array)
    leading = array.shape[:-2]
    if any(size > 1 for size in leading):
        if len(lead) != 2:  # several axes of items, or items and heads in one
            array = np.broadcast_to(array, (*lead, *array.shape[-2:]))
        array = four_axes(array, lead, heads)
    array = array.reshape((1,) * 4 + array.shape)[(0,) * array.ndim]  # four axes: further ones have size 1
    if not boolean:
        return rule_of_bias(array, shape)
    return Rule(KeyMask.from_array(np.broadcast_to(array, (*array.shape[:2], *shape[2:]))))


def _mask_of_blocks(blocks: tuple[Any, ...], like: Tensor, shape: tuple[int, int, int, int]) -> KeyMask | None:
    """From a BlockMask, whose rule is evaluated a few rows at a time."""
    lead = next(part.shape[:2] for part in blocks if isinstance(part, Tensor))
    b, h = (1 if size == 1 else full for size, full in zip(lead, shape[:2], strict=True))
    rows = max(1, 2**22 // max(1, b * h * shape[3]))
    parts = []
    for start in range(0, shape[2], rows):
        part = (b, h, min(rows, shape[2] - start), shape[3])
        parts.append(_for_each(blocks[-1], _grid(like, part, start)).expand(part).cpu().numpy())
    return KeyMask.from_array(np.concatenate(parts, axis=2))


def _modified(modify: Callable[..., Tensor], like: Tensor, scores: Array) -> Array:
    """Scores after flex attention's score_mod."""
    tensor = torch.from_numpy(scores).to(like.device)
    return as_array(_for_each(modify, _grid(like, scores.shape), tensor))


def _for_each(rule: Callable[..., Tensor], grid: Sequence[Tensor], *scores: Tensor) -> Tensor:
    """A rule that is written for one score at a time, evaluated for all: (B, H, N, M)."""
    zeros = tuple(0 for _ in scores)
    for axis in (3, 2, 1, 0):
        rule = torch.vmap(rule, in_dims=(*zeros, *(0 if place == axis else None for place in range(4))))
    return rule(*scores, *grid)


def _grid(like: Tensor, shape: Sequence[int], first: int = 0) -> list[Tensor]:
    """Items, heads, queries (from the first) and keys, counted from 0."""
    return [torch.arange(n, device=like.device) + (first if axis == 2 else 0) for axis, n in enumerate(shape)]


def default_scale(call: FusedCall) -> float:
    """1/√d unless the call gives a scale."""
    return 1 / math.sqrt(max(1, call.q.shape[-1])) if call.scale is None else float(call.scale)

"""The calls of a run in execution order: chosen, counted, and joined where they are steps of one generation.

Steps of cached generation become one attention: queries of every step against the keys of the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from headwise.errors import DataError
from headwise.recorder.key_mask import KeyMask
from headwise.recorder.layer import AttentionLayer
from headwise.shapes import Array, BoolArray

Selection = int | str | Sequence[int | str] | None


@dataclass
class _Call:
    """The last call of a module, and the layer made from it if it is wanted."""

    index: int
    kind: str
    keys: int
    layer: AttentionLayer | None = None


class Collector:
    """Collects the attention calls of one run.

    `layers`: which calls to keep: places in execution order (negative ones from the end), or names of modules, in which
    ``*`` stands for anything. All by default.
    Raises DataError if `layers` is something else.
    """

    def __init__(self, layers: Selection = None) -> None:
        choices = None if layers is None else [layers] if isinstance(layers, int | str) else list(layers)
        if any(not isinstance(c, int | np.integer | str) or isinstance(c, bool) for c in choices or ()):
            raise DataError(f"layers: expected places such as 0, or names such as 'encoder.*'; got {layers!r}.")
        self._chosen = choices
        self._calls: list[tuple[str, _Call]] = []
        self._last: dict[str, _Call] = {}
        self._count: Counter[str] = Counter()

    @property
    def names(self) -> list[str]:
        """Modules of all calls, kept or not."""
        return [name for name, _ in self._calls]

    def selects(self, name: str, kind: str, queries: int, keys: int) -> bool:
        """Whether the next call of a module is to be kept; one that is not is only counted."""
        last = self._last.get(name)
        if last is not None and last.kind == kind and last.layer is None and keys == last.keys + queries:
            last.keys = keys  # a step of a generation that was not chosen
            return False
        if last is not None and last.layer is not None:
            return True
        if self.is_chosen(name, len(self._calls)):
            return True
        self._append(name, _Call(len(self._calls), kind, keys))
        return False

    def may_want(self, name: str) -> bool:
        """Whether a call of a module would be kept whatever its place."""
        if self._chosen is None:
            return True
        return any(_matches(name, choice) for choice in self._chosen if isinstance(choice, str))

    def add(self, layer: AttentionLayer) -> None:
        """Keep a call that is wanted."""
        last = self._last.get(layer.name)
        if last is not None and last.layer is not None:
            joined = join_steps(last.layer, layer)
            if joined is not None:
                last.layer, last.keys = joined, joined.shape[3]
                return
        index = len(self._calls)
        numbered = replace(layer, index=index, call=self._count[layer.name])
        call = _Call(index, layer.kind, layer.shape[3], numbered if self.is_chosen(layer.name, index) else None)
        self._append(layer.name, call)

    def finish(self) -> tuple[AttentionLayer, ...]:
        """The layers that were chosen; raises DataError if a choice fits no call."""
        layers = [call.layer for _, call in self._calls if call.layer is not None]
        if self._chosen is None:
            return tuple(layers)
        total = len(self._calls)
        for choice in self._chosen:
            if not isinstance(choice, str):
                missing = not -total <= choice < total
            else:
                missing = not any(_matches(name, choice) for name in self.names)
            if missing and total:
                raise DataError(
                    f"layers: expected places from 0 to {total - 1} or names of the modules that attend "
                    f"({', '.join(dict.fromkeys(self.names))}); got {choice!r}."
                )
        return tuple(layer for layer in layers if self.is_chosen(layer.name, layer.index, total))

    def _append(self, name: str, call: _Call) -> None:
        self._count[name] += 1
        self._calls.append((name, call))
        self._last[name] = call
        if self._chosen is not None:  # places from the end: release what has moved too far from it
            for other, (passed, earlier) in enumerate(self._calls):
                if earlier.layer is not None and not self.is_chosen(passed, other):
                    earlier.layer = None

    def is_chosen(self, name: str, index: int, total: int | None = None) -> bool:
        """Whether a call is kept; while the total is not known, whether it still may be."""
        if self._chosen is None:
            return True
        return any(
            _matches(name, choice)
            if isinstance(choice, str)
            else choice == index
            or (choice < 0 and (index >= len(self._calls) + choice if total is None else index == total + choice))
            for choice in self._chosen
        )


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def join_steps(before: AttentionLayer, step: AttentionLayer) -> AttentionLayer | None:
    """Consecutive calls as one, if the second continues the first with a cache of keys; None if it does not.

    The keys of the first must be there in the second: followed by new ones, or with new ones in places that were hidden
    before, or without the oldest. Cross-attention continues if its keys and values are the same.
    """
    rule = ("kind", "scale", "softcap", "precision")
    if any(getattr(before, name) != getattr(step, name) for name in rule) or not _fit(before, step):
        return None
    dropped = _dropped(before, step)
    if dropped is None:
        return None
    k, v = (np.concatenate([old[:, :, :dropped], new], axis=2) for old, new in ((before.k, step.k), (before.v, step.v)))
    q, output = (np.concatenate(pair, axis=2) for pair in ((before.q, step.q), (before.output, step.output)))
    m = k.shape[2]
    masks = [_moved(before, 0, m), _moved(step, dropped, m)]
    mask, bias = _stacked(masks), _stacked_bias(before, step, dropped, m)
    return replace(before, q=q, k=k, v=v, output=output, mask=mask, bias=bias, note=before.note or step.note)


def _fit(before: AttentionLayer, step: AttentionLayer) -> bool:
    a, b = before.sinks, step.sinks
    same_sinks = a is b or (a is not None and b is not None and np.array_equal(a, b))
    arrays = ((before.q, step.q), (before.k, step.k), (before.v, step.v))
    return same_sinks and all(a.shape[:2] == b.shape[:2] and a.shape[3] == b.shape[3] for a, b in arrays)


def _dropped(before: AttentionLayer, step: AttentionLayer) -> int | None:
    """How many of the oldest keys the step no longer has; None if it does not continue."""
    m, n = int(before.k.shape[2]), int(step.q.shape[2])
    if before.kind == "cross":
        return 0 if np.array_equal(before.k, step.k) and np.array_equal(before.v, step.v) else None
    grown = int(step.k.shape[2])
    changed = _changed(before, step, 0)
    grows = grown > m and int(_seen(step)[m:].sum()) == n  # as many new keys as queries: a whole pass has more queries
    if (grows or (grown == m and changed.any())) and not (_seen(before)[: len(changed)] & changed).any():
        return 0  # new keys at the end, or in places of a buffer that were hidden
    dropped = m + n - grown
    if 0 < dropped < m and not _changed(before, step, dropped).any():
        return dropped
    return None


def _changed(before: AttentionLayer, step: AttentionLayer, dropped: int) -> BoolArray:
    """Which of the keys that both have differ, (keys,)."""
    count = min(before.k.shape[2] - dropped, step.k.shape[2])
    pairs = ((before.k, step.k), (before.v, step.v))
    differ = [(old[:, :, dropped : dropped + count] != new[:, :, :count]).any(axis=(0, 1, 3)) for old, new in pairs]
    return np.asarray(differ[0] | differ[1])


def _seen(layer: AttentionLayer) -> BoolArray:
    """Keys that some query attends to, (M,)."""
    n, m = layer.shape[2:]
    if layer.mask is None:
        return np.ones(m, bool)
    return np.asarray(layer.mask.rows(np.arange(n)).any(axis=(0, 1, 2)))


def _moved(layer: AttentionLayer, start: int, keys: int) -> KeyMask:
    """The mask of a call among `keys` keys, of which its own begin at `start`."""
    n, m = layer.shape[2:]
    mask = layer.mask or KeyMask(np.zeros((1, 1, n), np.int64), np.full((1, 1, n), m), m)
    if mask.bits is None:
        return KeyMask(mask.first + start, mask.last + start, keys)
    rows = mask.rows(np.arange(n))
    shifted = np.zeros((*rows.shape[:3], keys), bool)
    shifted[..., start : start + m] = rows
    return KeyMask.from_array(shifted) or KeyMask(mask.first + start, mask.last + start, keys)


def _stacked(masks: list[KeyMask]) -> KeyMask:
    """Masks of consecutive queries."""
    lead = np.broadcast_shapes(*(mask.first.shape[:2] for mask in masks))
    if any(mask.bits is not None for mask in masks):
        rows = [mask.rows(np.arange(mask.first.shape[2])) for mask in masks]
        visible = np.concatenate([np.broadcast_to(r, (*lead, *r.shape[2:])) for r in rows], axis=2)
        joined = KeyMask.from_array(visible)
        if joined is not None:
            return joined
    first, last = (
        np.concatenate([np.broadcast_to(e, (*lead, e.shape[2])) for e in ends], axis=2)
        for ends in ([mask.first for mask in masks], [mask.last for mask in masks])
    )
    return KeyMask(first, last, masks[0].keys)


def _stacked_bias(before: AttentionLayer, step: AttentionLayer, start: int, keys: int) -> Array | None:
    """Biases of both calls among all keys."""
    if before.bias is None and step.bias is None:
        return None
    parts = []
    for layer, at in ((before, 0), (step, start)):
        n, m = layer.shape[2:]
        bias = np.zeros((1, 1, 1, 1), layer.q.dtype) if layer.bias is None else layer.bias
        part = np.zeros((*bias.shape[:2], n, keys), bias.dtype)
        part[..., at : at + m] = bias
        parts.append(part)
    lead = np.broadcast_shapes(*(part.shape[:2] for part in parts))
    full_parts = [np.broadcast_to(part, (*lead, *part.shape[2:])) for part in parts]
    return np.asarray(np.concatenate(full_parts, axis=2))

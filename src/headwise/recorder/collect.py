"""The calls of a run in execution order: chosen, counted, and joined where they are steps of one generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from headwise.errors import DataError
from headwise.recorder.layer import AttentionLayer
from headwise.recorder.steps import join_steps

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
        chosen = None if layers is None else [layers] if isinstance(layers, int | str) else list(layers)
        if chosen is not None and any(not isinstance(c, int | np.integer | str) or isinstance(c, bool) for c in chosen):
            raise DataError(f"layers: expected places such as 0, or names such as 'encoder.*'; got {layers!r}.")
        self._chosen = chosen
        self._calls: list[tuple[str, _Call]] = []
        self._last: dict[str, _Call] = {}
        self._count: Counter[str] = Counter()

    @property
    def names(self) -> list[str]:
        """Modules of all calls, kept or not."""
        return [name for name, _ in self._calls]

    def wants(self, name: str, kind: str, queries: int, keys: int) -> bool:
        """Whether the next call of a module is to be kept; one that is not is only counted."""
        last = self._last.get(name)
        if last is not None and last.kind == kind and last.layer is None and keys == last.keys + queries:
            last.keys = keys  # a step of a generation that was not chosen
            return False
        if last is not None and last.layer is not None:
            return True
        if self._is_chosen(name, len(self._calls)):
            return True
        self._append(name, _Call(len(self._calls), kind, keys))
        return False

    def is_possible(self, name: str, place: int) -> bool:
        """Whether a call of a module at a place from the start may be kept."""
        return self._is_chosen(name, place)

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
        call = _Call(index, layer.kind, layer.shape[3], numbered if self._is_chosen(layer.name, index) else None)
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
        return tuple(layer for layer in layers if self._is_chosen(layer.name, layer.index, total))

    def _append(self, name: str, call: _Call) -> None:
        self._count[name] += 1
        self._calls.append((name, call))
        self._last[name] = call
        if self._chosen is not None:  # places from the end: release what has moved too far from it
            for other, (passed, earlier) in enumerate(self._calls):
                if earlier.layer is not None and not self._is_chosen(passed, other):
                    earlier.layer = None

    def _is_chosen(self, name: str, index: int, total: int | None = None) -> bool:
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

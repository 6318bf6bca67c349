"""Short representations of objects with large arrays, for the interactive prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

_MAX_ITEMS, _MAX_LENGTH = 8, 60  # of one value; its length in characters


def brief_repr(self: Any) -> str:
    """What ``repr`` returns for a dataclass or named tuple: arrays by type and shape, long values by type and length.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Sample:
    ...     image: np.ndarray
    ...     label: int
    ...     __repr__ = brief_repr
    >>> Sample(np.zeros((28, 28)), 4)
    Sample(image=<float64 (28, 28)>, label=4)
    """
    names = [f.name for f in fields(self) if f.repr] if is_dataclass(self) else self._fields
    return f"{type(self).__name__}({', '.join(f'{name}={_summary(getattr(self, name))}' for name in names)})"


def _summary(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and len(value) > _MAX_ITEMS:
        return f"<{type(value).__name__} of {len(value)}>"
    text = repr(value)
    if len(text) <= _MAX_LENGTH:
        return text
    size = f" of {len(value)}" if isinstance(value, Mapping | Sequence) else ""
    return f"<{type(value).__name__}{size}>"

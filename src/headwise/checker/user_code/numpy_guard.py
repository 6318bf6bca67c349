"""NumPy as it was, whatever the function that is checked does to it.

That function runs in this process and may replace ``np.exp`` or ``np.allclose``, by mistake or on purpose. Everything
in this folder takes its NumPy from here, where such a replacement does not reach; and what a call replaced is put
back after it, for NumPy's own parts look their functions up by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy
import numpy.linalg
import numpy.random

__all__ = ["np", "unchanged_numpy"]

if TYPE_CHECKING:
    import numpy as np
else:
    np = SimpleNamespace(**vars(numpy))


_MODULES = [vars(module) for module in (numpy, numpy.linalg, numpy.random)]
_before = [names.copy() for names in _MODULES]  # kept between blocks: to compare is faster than to copy


@contextmanager
def unchanged_numpy() -> Iterator[None]:
    """Put back after the block what it replaced in NumPy."""
    for place, names in enumerate(_MODULES):
        if names != _before[place]:
            _before[place] = names.copy()
    try:
        yield
    finally:
        for names, old in zip(_MODULES, _before, strict=True):
            if names != old:
                names.update(old)

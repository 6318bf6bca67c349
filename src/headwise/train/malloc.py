"""Keep freed memory in the process during training.

A training step allocates and frees the same arrays every time. By default glibc returns such memory to the system and
requests it again, page by page, which takes a quarter of the step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# <malloc.h>: free memory at the heap's end before it is returned, and the size from which a block is mapped
_TRIM, _MAP = -1, -3
_TRAINING = ((_TRIM, 1 << 30), (_MAP, 32 << 20))
_DEFAULT = ((_TRIM, 64 << 20), (_MAP, 32 << 20))  # glibc's own values after the first large blocks are freed


@contextmanager
def keep_heap() -> Iterator[None]:
    """Keep freed memory inside the block, where the C library is glibc; elsewhere nothing changes."""
    _set(_TRAINING)
    try:
        yield
    finally:
        _set(_DEFAULT)


def _set(options: tuple[tuple[int, int], ...]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for option, value in options:
        mallopt(option, value)

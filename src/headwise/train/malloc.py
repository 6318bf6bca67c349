"""Buffers reused from step to step: freed memory stays with the process while it trains.

A training step allocates and frees the same arrays every time. The C library gives such memory back to the system and
asks for it again, page by page, which costs a quarter of the step; here it is told to keep it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keep_heap"]

# <malloc.h>: what may lie free at the heap's end before it is given back, and from which size a block is mapped anew
_TRIM, _MAP = -1, -3
_KEPT = ((_TRIM, 1 << 30), (_MAP, 32 << 20))
_USUAL = ((_TRIM, 64 << 20), (_MAP, 32 << 20))  # what glibc itself arrives at after the first large blocks are freed


@contextmanager
def keep_heap() -> Iterator[None]:
    """Keep freed memory inside the block, where the C library is glibc; elsewhere nothing changes."""
    _set(_KEPT)
    try:
        yield
    finally:
        _set(_USUAL)


def _set(options: tuple[tuple[int, int], ...]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for option, value in options:
        mallopt(option, value)

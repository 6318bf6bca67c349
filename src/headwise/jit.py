"""Loops compiled by numba: imported on first use, kept on disk, and a word to the user if compiling takes a while."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from headwise.errors import MissingExtraError

__all__ = ["compile_kernel", "numba_available"]


@cache
def numba_available() -> bool:
    """Whether numba is there; it is not imported for the answer."""
    return importlib.util.find_spec("numba") is not None


@cache
def compile_kernel(module: str, name: str, dtype: np.dtype[Any]) -> Callable[..., Any]:
    """A function compiled for one type: from the disk where it was compiled before, and a word where it was not.

    Parameters
    ----------
    module, name : str
        Where the function is; ``name_types(real)`` beside it gives its signature for a type.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    MissingExtraError
        If numba is not installed.
    """
    if not numba_available():
        raise MissingExtraError('engine="compiled"', "numba", "fast")
    import numba  # slow by itself, and not what the word is about

    word = threading.Timer(1.0, _say_so)
    word.daemon = True
    word.start()
    try:
        kernels = import_module(module)
        signature = getattr(kernels, f"{name}_types")(numba.from_dtype(dtype))
        make = numba.njit(signature, nogil=True, cache=True, error_model="numpy")
        compiled: Callable[..., Any] = make(getattr(kernels, name))
        return compiled
    finally:
        word.cancel()


@cache
def _say_so() -> None:
    """Once a process."""
    print("headwise: compiling for this machine, once; the result is kept on disk", file=sys.stderr, flush=True)

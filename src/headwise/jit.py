"""Functions compiled by numba: imported on first use, cached on disk, with a notice while they are compiled."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from headwise.errors import DataError, MissingExtraError

_COMPILING = threading.RLock()  # numba's cache folder is one setting for all threads


@cache
def numba_available() -> bool:
    """Whether numba is installed, and not disabled by NUMBA_DISABLE_JIT; this does not import it."""
    return importlib.util.find_spec("numba") is not None and not _is_disabled()


def _is_disabled() -> bool:
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@cache
def compile_kernel(module: str, name: str, *dtypes: np.dtype[Any]) -> Any:
    """A function compiled for its types, read from the disk cache if it was compiled before.

    `module`, `name`: the function; ``name_types(real, ...)`` in the same module returns its signature for types.
    `*dtypes`: float32 or float64, and those of further arrays where the function takes others.
    Raises MissingExtraError if numba is not installed, and DataError if an environment variable prevents its use.
    """
    if _is_disabled():
        raise DataError('engine="compiled": the environment variable NUMBA_DISABLE_JIT disables numba; unset it.')
    if not numba_available():
        raise MissingExtraError('engine="compiled"', "numba", "fast")
    try:
        import numba
    except ValueError as error:
        raise DataError(
            f'engine="compiled": numba cannot be imported ({error}). '
            "Is an environment variable, such as NUMBA_NUM_THREADS, invalid?"
        ) from None
    return compile_function(import_module(module), name, *map(numba.from_dtype, dtypes))


def compile_function(module: ModuleType, name: str, *types: Any) -> Any:
    """As `compile_kernel`, for a module and types of numba: numba's object, which is called like the function."""
    import numba
    from numba.core.event import install_listener

    signature = getattr(module, f"{name}_types")(*types)
    make = numba.njit(signature, nogil=True, cache=True, error_model="numpy")
    with _COMPILING, _cache_for(module), install_listener("numba:compile", _notice()):
        return make(getattr(module, name))


@contextmanager
def _cache_for(kernels: ModuleType) -> Iterator[None]:
    """Make numba cache in a folder named after a digest of the sources that a kernel is compiled from.

    numba itself checks only the file of the kernel, and would run old code after a change of a file that it imports.
    """
    import numba

    package = Path(str(kernels.__file__)).parent
    folders = {package, Path(__file__).parent / "attention" / "compiled"}
    sources = sorted(path for folder in folders for path in folder.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    before = numba.config.CACHE_DIR
    writable = os.access(package, os.W_OK)
    default = package / "__pycache__" if writable else Path.home() / ".cache" / "headwise"
    numba.config.CACHE_DIR = str(Path(before or default) / f"kernels-{digest}")
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@cache
def _notice() -> Any:
    """A listener that prints a notice when numba compiles, which it does not do for a kernel in the disk cache."""
    from numba.core.event import Listener

    methods = {"on_start": lambda self, event: _print_notice(), "on_end": lambda self, event: None}
    return type("CompilationNotice", (Listener,), methods)()


@cache
def _print_notice() -> None:
    """Print that functions are being compiled, once per process."""
    print("headwise: compiling for this machine, once; the result is kept on disk", file=sys.stderr, flush=True)

"""Compile all of the package's numba functions into its cache on disk."""

from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from inspect import signature
from multiprocessing import get_context

import numpy as np

from headwise.attention.compiled.team import shared_kernel
from headwise.jit import compile_kernel, numba_available

MODULES = (
    "headwise.attention.compiled.decode",
    "headwise.attention.compiled.kernels",
    "headwise.nn.ops.kernels",
)


def compile_kernels():
    """Compile in two processes; if the cache is up to date, only read it."""
    if numba_available():
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            list(pool.map(_compile, *zip(*(kernel for module in MODULES for kernel in _kernels(module)), strict=True)))


def _kernels(module):
    """(module, name) of every function of a module that has its types next to it."""
    types = [n for n, value in vars(import_module(module)).items() if getattr(value, "__module__", "") == module]
    return [(module, name.removesuffix("_types")) for name in types if name.endswith("_types") and name[0] != "_"]


def _compile(module, name):
    num_types = len(signature(getattr(import_module(module), f"{name}_types")).parameters)
    shared = "counter" in signature(getattr(import_module(module), name)).parameters
    for dtype in (np.float32, np.float64):
        (shared_kernel if shared else compile_kernel)(module, name, *[np.dtype(dtype)] * num_types)

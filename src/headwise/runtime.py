"""The processor and the BLAS, on which the last bits of results depend."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from threadpoolctl import threadpool_info


def cpu_name() -> str:
    """The processor's name, or its architecture if the system does not give one."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def blas_name() -> str:
    """NumPy's BLAS, its version, and the kernels that it uses for this processor."""
    name = "unknown"
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in str(pool["filepath"]):
            name = f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'unknown')} kernels"
    override = " (chosen by OPENBLAS_CORETYPE, not by the processor)" if "OPENBLAS_CORETYPE" in os.environ else ""
    return name + override


def library_version(name: str) -> str:
    """The version of an installed library; empty if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

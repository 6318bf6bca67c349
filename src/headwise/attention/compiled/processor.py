"""Description of the processor that kernels are compiled for: its vectors, registers and caches.

Block and tile sizes follow from it, so that another kind of processor is another entry of `_VECTORS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llvmlite import binding
from numba.core import config


@dataclass(frozen=True)
class Processor:
    """What the sizes of blocks and tiles follow from."""

    name: str
    # size of a vector register, and how many there are
    vector_bytes: int
    registers: int
    widens_float16: bool  # whether an instruction converts float16
    l2: int  # bytes of the second-level cache of a core


# Feature of LLVM, name, bytes of a vector and number of registers; the first that the processor has is used.
_VECTORS = (
    ("avx512f", "AVX-512", 64, 32),
    ("avx2", "AVX2", 32, 16),
    ("neon", "NEON", 16, 32),
    ("sse2", "SSE2", 16, 16),
)
_DEFAULT = ("", "generic", 16, 16)
_L2 = 512 * 2**10  # where the system does not say


def describe_processor(features: dict[str, bool], l2: int = _L2) -> Processor:
    """The description for LLVM's features of a processor, and its second-level cache."""
    _, name, vector_bytes, registers = next((entry for entry in _VECTORS if features.get(entry[0])), _DEFAULT)
    halves = any(features.get(name, False) for name in ("f16c", "neon"))
    return Processor(name, vector_bytes, registers, halves, l2)


def _features() -> dict[str, bool]:
    """LLVM's features of this processor, or what NUMBA_CPU_FEATURES restricts the compiler to."""
    if config.CPU_FEATURES is None:
        return dict(binding.get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in config.CPU_FEATURES.split(",") if name}


def _second_level() -> int | None:
    """Bytes of a core's second-level cache, as Linux describes it."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level, size = ((folder / name).read_text().strip() for name in ("level", "size"))
        except OSError:
            continue
        if level == "2":
            return int(size.rstrip("KM")) * (2**20 if size.endswith("M") else 2**10)
    return None


PROCESSOR = describe_processor(_features(), _second_level() or _L2)

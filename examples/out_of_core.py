"""Attention over keys that do not fit in memory: files read by memory-mapping, one part at a time, joined by `merge`.

Each part could as well be another process or machine: what travels is its output and its log-sum-exp. Peak memory is
that of the process beyond what it held before, as the system counts it.
"""

import argparse
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headwise import attention, merge

HEADS, QUERIES, WIDTH, PART = 2, 256, 64, 16384


def write(path: Path, tokens: int, seed: int) -> None:
    """A file of (tokens, heads, width) that is never in memory whole."""
    rng = np.random.default_rng(seed)
    header = {"descr": "<f4", "fortran_order": False, "shape": (tokens, HEADS, WIDTH)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, tokens, PART):
            rng.standard_normal((min(PART, tokens - start), HEADS, WIDTH), np.float32).tofile(file)


def parts(q: np.ndarray, keys: Path, values: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Attention over one part of the keys after another; no more than that part is in memory."""
    tokens = len(np.load(keys, mmap_mode="r"))
    for start in range(0, tokens, PART):
        # opened again for each part: what was read of a mapped file stays in memory until the map is let go
        k, v = (np.load(path, mmap_mode="r")[start : start + PART].swapaxes(0, 1) for path in (keys, values))
        yield attention(q, k, v, return_lse=True)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=2**20)
    tokens = parser.parse_args().tokens
    q = np.random.default_rng(0).standard_normal((HEADS, QUERIES, WIDTH), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        keys, values = Path(folder, "keys.npy"), Path(folder, "values.npy")
        attention(*(np.zeros((HEADS, 300, WIDTH), np.float32) for _ in range(3)))  # load what is loaded once
        before = peak()
        write(keys, tokens, seed=1)
        write(values, tokens, seed=2)
        o, lse = merge(parts(q, keys, values))
        files = keys.stat().st_size + values.stat().st_size
    print(f"{tokens} keys and values, {files / 2**20:.0f} MiB in files")
    print(f"output {o.shape}, log-sum-exp from {lse.min():.2f} to {lse.max():.2f}")
    print(f"peak memory: {(peak() - before) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()

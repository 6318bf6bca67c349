"""The workloads of the benchmark: attention of the shapes and with the options that real models have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.shapes import Array

_WINDOW = 128  # keys that a query sees to either side


@dataclass(frozen=True)
class Inputs:
    """Arrays of a workload, and the options of `headwise.attention`."""

    q: Array
    k: Array
    v: Array
    do: Array
    options: dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A row of the benchmark, in float32.

    Attributes
    ----------
    shape : tuple of int
        (B, H, N, d) of the queries; keys and values have the same unless the next two say otherwise.
    keys, key_heads : int, optional
        M and G.
    option : {"", "causal", "window", "lengths", "mask", "bias"}
        What hides or changes logits: a causal mask, a window of 128 keys to either side, random lengths of the items, a
        random half of all pairs, or a number for each pair of each head.
    backward : bool
        Forward and backward.
    """

    shape: tuple[int, int, int, int]
    keys: int = 0
    key_heads: int = 0
    option: str = ""
    backward: bool = False

    @property
    def m(self) -> int:
        """Number of keys."""
        return self.keys or self.shape[2]

    @property
    def groups(self) -> int:
        """Number of key heads."""
        return self.key_heads or self.shape[1]

    @property
    def name(self) -> str:
        """The computation, in words."""
        return f"{self.option} {'both ways' if self.backward else 'forward'}".strip()

    @property
    def label(self) -> str:
        """The sizes: B×H×N×d, with G after H and M after N where they differ."""
        b, h, n, d = self.shape
        heads = f"{h}/{self.groups}" if self.groups != h else f"{h}"
        tokens = f"{n}:{self.m}" if self.m != n else f"{n}"
        return f"{b}×{heads}×{tokens}×{d}"

    @property
    def operations(self) -> float:
        """Multiplications and additions of the necessary matrix products: two forward, five backward."""
        b, h, _, d = self.shape
        return 2.0 * b * h * self._visible() * d * (7 if self.backward else 2)

    @property
    def bytes_read(self) -> float:
        """Bytes of queries, keys, values, mask and bias, each read once."""
        b, h, n, d = self.shape
        keys = self._lengths().sum() if self.option == "lengths" else b * self.m
        extra = {"mask": n * self.m, "bias": 4 * h * n * self.m}.get(self.option, 0)
        return 4.0 * d * (b * h * n + 2 * self.groups * keys) + extra

    def inputs(self) -> Inputs:
        """Random arrays, the same in each call."""
        rng = np.random.default_rng(0)
        b, _, _, d = self.shape
        q, do = (rng.standard_normal(self.shape, np.float32) for _ in range(2))
        k, v = (rng.standard_normal((b, self.groups, self.m, d), np.float32) for _ in range(2))
        return Inputs(q, k, v, do, self._options(rng))

    def _options(self, rng: np.random.Generator) -> dict[str, Any]:
        _, h, n, _ = self.shape
        match self.option:
            case "causal":
                return {"causal": True, "align": "end"}
            case "window":
                return {"window": (_WINDOW, _WINDOW), "align": "end"}
            case "lengths":
                return {"lengths": self._lengths()}
            case "mask":
                return {"mask": rng.random((n, self.m)) < 0.5}
            case "bias":
                return {"bias": rng.standard_normal((h, n, self.m), np.float32)}
            case _:
                return {}

    def _lengths(self) -> Any:
        return np.random.default_rng(1).integers(self.m // 8, self.m, size=self.shape[0], endpoint=True)

    def _visible(self) -> float:
        """Pairs of a query and a key that attention needs, of one item and head on average."""
        n, m = self.shape[2], self.m
        first = np.arange(n) + m - n  # the key that a query is aligned with
        if self.option == "causal":
            return float((first + 1).sum())
        if self.option == "window":
            return float((np.minimum(first + _WINDOW + 1, m) - np.maximum(first - _WINDOW, 0)).sum())
        return n * float(self._lengths().mean()) if self.option == "lengths" else float(n * m)


def _both(*rows: Workload) -> Iterator[Workload]:
    """Each workload forward, and forward and backward."""
    for row in rows:
        yield row
        yield Workload(row.shape, row.keys, row.key_heads, row.option, True)


GROUPS: dict[str, tuple[Workload, ...]] = {
    "small": tuple(_both(*(Workload((128, 4, n, 16)) for n in (17, 29, 50)))),
    "medium": tuple(
        _both(
            *(Workload(shape) for shape in ((32, 8, 197, 64), (8, 8, 256, 64), (1, 12, 577, 64), (1, 16, 1370, 64))),
            Workload((1, 8, 1024, 64)),
            Workload((1, 8, 1024, 64), option="causal"),
            Workload((1, 16, 1024, 128), key_heads=4, option="causal"),
            Workload((1, 8, 1024, 128)),
        )
    ),
    "long": tuple(_both(Workload((1, 8, 4096, 64)), Workload((1, 8, 4096, 64), option="causal"))),
    "longest": tuple(_both(Workload((1, 2, 16384, 64)), Workload((1, 2, 16384, 64), option="causal"))),
    "decode": (
        Workload((1, 12, 1, 64), 1024),
        Workload((8, 12, 1, 64), 1024),
        Workload((1, 9, 1, 64), 2048, 3),
        Workload((1, 16, 1, 64), 4096),
        Workload((1, 32, 1, 128), 4096, 8),
        Workload((1, 32, 1, 128), 32768, 8),
        Workload((1, 8, 1, 128), 32768, 1),
        Workload((1, 16, 4, 64), 4096, 4, "causal"),
    ),
    "masks": tuple(
        _both(
            *(Workload((1, 8, 2048, 64), option=option) for option in ("mask", "bias", "window")),
            Workload((16, 8, 256, 64), option="lengths"),
            Workload((32, 12, 128, 64), option="lengths"),
        )
    ),
    "widths": tuple(
        _both(*(Workload((1, 8, 577, d)) for d in (32, 40, 72, 80, 96, 128, 192, 256)), Workload((1, 8, 1000, 80)))
    ),
    "heads": tuple(
        _both(
            Workload((8, 3, 197, 64)),
            Workload((1, 64, 257, 64)),
            Workload((4, 12, 50, 64)),
            Workload((64, 12, 17, 64), option="lengths"),
            Workload((1, 24, 257, 88), key_heads=8),
        )
    ),
}
QUICK = (
    Workload((2, 3, 17, 5)),
    Workload((2, 4, 1, 16), 300, 2),
    Workload((2, 3, 17, 5), option="causal", backward=True),
)


def workloads(groups: tuple[str, ...] = ()) -> tuple[Workload, ...]:
    """The workloads of these groups, or of all but the longest."""
    names = groups or tuple(name for name in GROUPS if name != "longest")
    return tuple(workload for name in names for workload in GROUPS[name])

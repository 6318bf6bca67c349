"""What the forward pass of the compiled engine spends its time on, on one thread: a table in Markdown.

    python benchmarks/forward_parts.py

The pass and each of its parts, alone on the same tiles, take turns; medians. Rates are billions of operations a
second: of the whole pass, of its two products (in brackets), and of BLAS multiplying two matrices of 1,024 × 1,024.
"""

from functools import partial
from typing import Any

import numpy as np

from headwise import attention
from headwise.attention.compiled.engine import ROWS, _columns
from headwise.attention.compiled.simd import compiled, multiply, num_lanes, pointer
from headwise.attention.compiled.tile import aligned, query_columns, start_of, step_of
from headwise.attention.compiled.vector_ops import maximum, powers, transpose
from headwise.parallel import limit_threads
from headwise.timing import time_interleaved

SHAPES = [(128, 4, 17, 16), (4, 12, 50, 64), (8, 8, 256, 64), (1, 8, 1024, 64), (1, 8, 1024, 128), (1, 2, 4096, 64)]
PARTS = ("q kᵀ", "p v", "maximum", "powers", "queries", "outputs")


def run_part(part: int, q: Any, k: Any, v: Any, o: Any, columns: int) -> None:
    """Run one of `PARTS`, by its number, on each tile or block of queries of the forward pass."""
    items, heads, n, d = q.shape
    m, e = v.shape[2:]
    lanes = num_lanes(o)
    qt, s, ot = aligned(d * ROWS, o), aligned(columns * ROWS, o), aligned(e * ROWS, o)
    top, total, one = aligned(ROWS, o), aligned(ROWS, o), o.dtype.type(1)
    for item in range(items):
        for h in range(heads):
            for start in range(0, n, ROWS):
                r = min(ROWS, n - start)
                w = (r + lanes - 1) // lanes * lanes
                if part == 4:
                    query_columns(q, item, h, start, r, w, one, qt)
                if part == 5:
                    transpose(pointer(ot), 0, w, 1, e, r, pointer(o), start_of(o, item, h, start), e, lanes)
                for at in range(0, m, columns):
                    c = min(columns, m - at)
                    keys, values = start_of(k, item, h, at), start_of(v, item, h, at)
                    if part == 0:
                        multiply(s, 0, w, pointer(k), keys, step_of(k, 2), step_of(k, 3), qt, 0, w, c, w, d, False)
                    elif part == 1:
                        multiply(ot, 0, w, pointer(v), values, step_of(v, 3), step_of(v, 2), s, 0, w, e, w, c, at > 0)
                    elif part == 2:
                        maximum(s, s, top, top, one, c, w)
                    elif part == 3:
                        powers(s, s, top, total, one, c, w)


def main() -> None:
    rng = np.random.default_rng(0)
    run, columns = compiled(run_part), _columns(np.dtype(np.float32))
    square = rng.standard_normal((1024, 1024), np.float32)
    print("| B×H×N×d | ms | rate | BLAS |", " | ".join(PARTS), "| between them |")
    print("|---|" + "---:|" * (len(PARTS) + 4))
    for shape in SHAPES:
        q, k, v = (rng.standard_normal(shape, np.float32) for _ in range(3))
        calls = {"whole": partial(attention, q, k, v, engine="compiled"), "BLAS": partial(np.matmul, square, square)}
        o = np.empty_like(q)
        calls |= {name: partial(run, number, q, k, v, o, columns) for number, name in enumerate(PARTS)}
        with limit_threads(1):
            seconds, _ = time_interleaved(calls, rest=0)
        whole = seconds["whole"]
        product = 2 * np.prod(shape) * shape[2]
        rates = 2 * product / whole, 2 * square.size * 1024 / seconds["BLAS"]
        shares = [f"{seconds[name] / whole:.0%}" for name in PARTS]
        for number in range(2):
            shares[number] += f" ({product / seconds[PARTS[number]] / 1e9:.0f})"
        rest = 1 - sum(seconds[name] for name in PARTS) / whole
        cells = ["×".join(map(str, shape)), f"{whole * 1e3:.2f}", *(f"{rate / 1e9:.0f}" for rate in rates), *shares]
        print("|", " | ".join([*cells, f"{rest:.0%}"]), "|")


if __name__ == "__main__":
    main()

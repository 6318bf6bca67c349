"""Attention over a cache of keys and values that lies on several processes, forward and backward.

Every process makes and keeps its own shards; queries travel to them, outputs of a few rows travel back.
"""

import argparse
import time

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from headwise import attention, attention_backward, attention_forward

HEADS, QUERIES, WIDTH = 8, 16, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=2**16)
    parser.add_argument("--shard", type=int, default=2**13, help="keys of a shard")
    parser.add_argument("--scheduler", help="address of a Dask scheduler; without it, two processes on this machine")
    arguments = parser.parse_args()
    address = arguments.scheduler or LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with Client(address) as client:
        shape, chunks = (HEADS, arguments.tokens, WIDTH), (-1, arguments.shard, -1)
        k, v = client.persist([da.random.default_rng(seed).standard_normal(shape, chunks=chunks) for seed in (1, 2)])
        q, do = np.random.default_rng(0).standard_normal((2, HEADS, QUERIES, WIDTH))
        attention(q, k, v)  # compiles, where numba is installed
        began = time.perf_counter()
        o, cache = attention_forward(q, k, v)
        forward = time.perf_counter() - began
        dq, dk, dv = attention_backward(do, cache)
        print(f"{arguments.tokens} keys in {k.npartitions} shards: forward {forward:.2f} s")
        print(f"o {o.shape}, dq {dq.shape}; dk stays in chunks of {dk.chunksize}, dv in {dv.chunksize}")


if __name__ == "__main__":
    main()

"""Peak memory of attention forward and backward beyond inputs and outputs, as the system counts it.

Each engine runs in a process of its own: 65,536 tokens, one head of width 64, float32.
"""

import resource
import subprocess
import sys

import numpy as np

from headwise import attention_backward, attention_forward

TOKENS, WIDTH = 65536, 64


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(engine: str) -> None:
    rng = np.random.default_rng(0)
    few = rng.standard_normal((1, 4096, WIDTH), np.float32)
    attention_backward(few, attention_forward(few, few, few, engine=engine)[1])  # what is loaded and made once
    q, k, v, do = (rng.standard_normal((1, TOKENS, WIDTH), np.float32) for _ in range(4))
    before = peak()
    o, cache = attention_forward(q, k, v, engine=engine)
    grads = attention_backward(do, cache)
    outputs = sum(array.nbytes for array in (o, *grads))
    print(f"{engine}: {(peak() - before - outputs) / 2**20:.1f} MiB beyond inputs and outputs")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        for name in ("compiled", "blockwise"):
            subprocess.run([sys.executable, __file__, name], check=True)

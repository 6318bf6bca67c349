"""How soon the server answers a drawing with three models' probabilities and attention: `python benchmarks/serve.py`.

A real server in a process of its own; a picture that has to be cropped and scaled, as a drawing does. First one request
after the other, then a hundred at once.
"""

import asyncio
import io
import re
import subprocess
import sys
import time

import httpx
import numpy as np
from PIL import Image

from headwise.data.mnist import load_bundled_mnist

ROUNDS, AT_ONCE = 60, 100


def main() -> None:
    command = [sys.executable, "-m", "headwise", "serve", "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        where = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
        drawing = picture()
        with httpx.Client(base_url=where, timeout=60) as client:
            answers = [
                timed(lambda: client.post("/api/read", content=drawing).raise_for_status()) for _ in range(ROUNDS)
            ]
        inside = [answer.json()["took"] for answer, _ in answers[5:]]
        outside = [1000 * seconds for _, seconds in answers[5:]]
        print(f"in the server: {spread(inside)}")
        print(f"request to answer: {spread(outside)}, {len(answers[0][0].content) / 1000:.0f} kB")
        _, seconds = timed(lambda: asyncio.run(at_once(where, drawing)))
        print(f"{AT_ONCE} at once, all answered: {seconds:.2f} s")
    finally:
        server.terminate()
        server.wait()


def picture() -> bytes:
    """A digit drawn large, off the middle, dark on light."""
    digit = (load_bundled_mnist().test.images[0] * 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(255 - np.pad(np.kron(digit, np.ones((8, 8), np.uint8)), ((0, 56), (56, 0)))).save(content, "PNG")
    return content.getvalue()


def ask(client, drawing):
    return client.post("/api/read", content=drawing).raise_for_status()


async def at_once(where, drawing):
    async with httpx.AsyncClient(base_url=where, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        for answer in await asyncio.gather(*(client.post("/api/read", content=drawing) for _ in range(AT_ONCE))):
            answer.raise_for_status()


def timed(task):
    began = time.perf_counter()
    return task(), time.perf_counter() - began


def spread(milliseconds):
    middle, most = np.percentile(milliseconds, [50, 95])
    return f"median {middle:.0f} ms, 95% within {most:.0f} ms"


if __name__ == "__main__":
    main()

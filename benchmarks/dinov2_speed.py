"""Time DINOv2-S in NumPy against torch: ``python benchmarks/convert_dinov2.py`` first; needs transformers."""

import argparse
import time

import numpy as np
import torch
import transformers

import headwise as hw


def main() -> None:
    """Alternate the two and print the best wall and processor time of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="models/dinov2-s")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=8)
    args = parser.parse_args()
    model = hw.load(args.folder)
    peer = transformers.AutoModel.from_pretrained(args.folder).eval()
    pixels = np.random.default_rng(0).normal(size=(1, 3, args.size, args.size)).astype(np.float32)
    tensor = torch.from_numpy(pixels)
    runs = {"headwise": lambda: model(pixel_values=pixels), "torch": lambda: peer(pixel_values=tensor)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    with torch.no_grad():
        for _ in range(args.repeats):
            for name, run in runs.items():
                wall, processor = time.perf_counter(), time.process_time()
                run()
                times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    for name, pairs in times.items():
        wall, processor = (min(values) for values in zip(*pairs, strict=True))
        print(f"{name}: {wall:.3f} s, {processor:.3f} s of processor time")


if __name__ == "__main__":
    main()

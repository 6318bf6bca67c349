"""A training step and inference of the vision transformer, side by side with torch: `make bench`.

Both do the same work on the same weights: forward, backward, clipping, AdamW. Rounds are interleaved; medians and their
ratio are printed. Run it on a quiet machine.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from headwise.data.mnist import Digits, LabelledImages
from headwise.models.vit import ViTConfig, vit_params
from headwise.parallel.threads import single_threaded_blas
from headwise.timing import time_interleaved
from headwise.train import Trainer, TrainingConfig, digits_task, evaluate
from headwise.train.malloc import keep_heap
from torch_vit import TorchViT

BATCH = 128


def torch_step(
    model: ViTConfig, params: dict, images: np.ndarray, labels: np.ndarray, compiled: bool
) -> Callable[[], None]:
    peer = TorchViT(model, params)
    optimiser = torch.optim.AdamW(peer.parameters(), lr=1e-3, weight_decay=0.05)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    forward = torch.compile(peer) if compiled else peer

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(forward(x), y).backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimiser.step()

    return step


def compare(tokens: str, compiled: bool) -> None:
    model, rng = ViTConfig(tokenizer=tokens), np.random.default_rng(0)
    images, labels = rng.random((BATCH, 28, 28), dtype=np.float32), rng.integers(0, 10, BATCH)
    params = vit_params(model, rng)
    recipe = TrainingConfig(batch_size=BATCH, max_shift=0, max_rotation=0)
    with single_threaded_blas(), keep_heap():
        digits = LabelledImages(images, labels)
        trainer = Trainer.create(digits_task(model, Digits("noise", digits, digits, digits), recipe), recipe)
        every = np.arange(BATCH)
        peer, x = TorchViT(model, params), torch.from_numpy(images)

        def inference(module: torch.nn.Module) -> Callable[[], None]:
            def infer() -> None:
                with torch.inference_mode():
                    module(x)

            return infer

        steps = {
            "headwise": lambda: trainer.step(every),
            "torch": torch_step(model, params, images, labels, False),
        }
        runs = {"headwise": lambda: evaluate(digits, params, model), "torch": inference(peer)}
        if compiled:
            steps["torch.compile"] = torch_step(model, params, images, labels, True)
            runs["torch.compile"] = inference(torch.compile(peer))
        step, inferred = time_interleaved(steps)[0], time_interleaved(runs)[0]
    for title, medians in (("training step", step), ("inference", inferred)):
        for name, seconds in medians.items():
            ratio = f"   torch / headwise {seconds / medians['headwise']:.2f}" if name != "headwise" else ""
            print(f"{tokens:>5}  {title:14} {name:14} {seconds * 1e3:7.1f} ms{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiled", action="store_true", help="also torch.compile, which takes a minute to compile")
    arguments = parser.parse_args()
    for tokens in ("7x7", "4x4"):
        compare(tokens, arguments.compiled)


if __name__ == "__main__":
    main()

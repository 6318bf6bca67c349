"""``headwise study faithfulness``: which attention maps predict the effect of removing tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.options import Data, Json, Out, Processes, Scheduler, Seed, Threads
from headwise.cli.runner import RunOptions, run_study
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.experiments.faithfulness import FaithfulnessPlan
from headwise.train.checkpoint import load_vit, pretrained_vit

__all__ = ["faithfulness"]


def faithfulness(
    model: Annotated[
        Path | None,
        typer.Argument(help="Weights from `headwise train`.", show_default="the model that comes with Headwise"),
    ] = None,
    digits: Annotated[int, typer.Option(help="Number of test digits, chosen at random.")] = FaithfulnessPlan.count,
    seed: Seed = 0,
    data: Data = None,
    out: Out = Path("runs/faithfulness"),
    threads: Threads = None,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Test attention maps by the model's response when the tokens they rank highest are removed.

    Last layer, all layers, rollout, flow, with and without gradients, are compared with random orders and the order of
    the ink, and with maps of the same model with random weights; heads are ranked. Use `--data` for MNIST's own 10,000
    test digits: the bundled ones are from MNIST's training set. Finished digits in the folder are reused.

    Example: `headwise study faithfulness --data mnist/ --digits 200`
    """
    checkpoint = load_vit(model) if model else pretrained_vit()
    loaded = load_bundled_mnist() if data is None else load_mnist(data, n_validation=0)
    trained_on = checkpoint.metadata.get("data"), checkpoint.metadata.get("trained_on")
    # a model trained on the training part of the same data has not seen its test digits
    held_out = data is not None or trained_on == (loaded.name, len(loaded.train.labels))

    def make_plan() -> FaithfulnessPlan:
        name = loaded.name if data is None else "MNIST's own test set"
        return FaithfulnessPlan(checkpoint, loaded.test, name, held_out, digits, seed)

    run_study("faithfulness", make_plan, RunOptions(out, threads, processes, scheduler, as_json))

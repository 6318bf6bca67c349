"""``headwise series``: a transformer on labelled series, with and without pre-training, beside baselines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.console import document_table, messages, output, progress_bars
from headwise.cli.paths import check_writable
from headwise.data.series import load_series, train_validation_split
from headwise.experiments.series.findings import findings, table
from headwise.experiments.series.output import save_report
from headwise.experiments.series.run import METHOD_LABELS, Plan, Result, compare_series
from headwise.text import as_text

__all__ = ["series"]

_STANDARD = Plan()


def series(
    data: Annotated[
        str,
        typer.Argument(
            help="A set that comes with aeon, such as JapaneseVowels; or a folder, or a file, NAME_TRAIN.ts or .npz "
            "with NAME_TEST beside it."
        ),
    ] = "JapaneseVowels",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the runs, table and pictures; by default runs/series-NAME.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each method that is random.")] = _STANDARD.seeds,
    pretrain: Annotated[bool, typer.Option(help="Also pre-train, by filling in hidden values.")] = True,
    baselines: Annotated[bool, typer.Option(help="Also run DTW and ROCKET, from aeon.")] = True,
    held_out: Annotated[
        float | None,
        typer.Option(
            help="Judge by this share of the training series, held out, instead of by the test series: for choosing "
            "the settings below.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[int, typer.Option(help="Which series --held-out holds out.", min=0)] = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the training series.")] = _STANDARD.recipe.epochs,
    pretrain_epochs: Annotated[int, typer.Option(help="And of pre-training.")] = _STANDARD.pretraining.epochs,
    batch: Annotated[int, typer.Option(help="Series a step.")] = _STANDARD.recipe.batch_size,
    rate: Annotated[float, typer.Option(help="The learning rate's peak.")] = _STANDARD.recipe.learning_rate,
    decay: Annotated[float, typer.Option(help="Weight decay.")] = _STANDARD.recipe.weight_decay,
    width: Annotated[int, typer.Option(help="D.")] = _STANDARD.d_model,
    depth: Annotated[int, typer.Option(help="Layers.")] = _STANDARD.n_layers,
    heads: Annotated[int, typer.Option(help="H.")] = _STANDARD.n_heads,
    dropout: Annotated[float, typer.Option(help="Share of numbers dropped while training.")] = _STANDARD.dropout,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Train a transformer on labelled series, with and without pre-training, and compare it with baselines.

    Finished runs are kept in the folder: the same command goes on where it was interrupted.

    Example: `headwise series JapaneseVowels --seeds 10 --out runs/vowels`
    """
    recipe = replace(_STANDARD.recipe, epochs=epochs, batch_size=batch, learning_rate=rate, weight_decay=decay)
    plan = Plan(
        seeds=seeds,
        pretrain=pretrain,
        baselines=baselines,
        d_model=width,
        n_layers=depth,
        n_heads=heads,
        d_ff=4 * width,
        dropout=dropout,
        recipe=recipe,
        pretraining=replace(recipe, epochs=pretrain_epochs),
    )
    loaded = load_series(data)
    name = f"series-{loaded.name}"
    if held_out is not None:
        loaded, name = (
            train_validation_split(loaded, held_out, split),
            f"{name}-split-{split}",
        )  # apart from the official split's runs
    folder = out or Path("runs") / name
    check_writable(folder)
    try:
        with progress_bars() as progress:
            result = compare_series(loaded, folder, plan, progress)
    except KeyboardInterrupt:
        messages.print(f"headwise: interrupted; the same command goes on in {folder}.")
        raise typer.Exit(130) from None
    save_report(result)
    _print(result, as_json)


def _print(result: Result, as_json: bool) -> None:
    said = [as_text(statement) for statement in findings(result)]
    if as_json:
        accuracies = {METHOD_LABELS[method]: values.tolist() for method, values in result.accuracies.items()}
        print(
            json.dumps({"accuracies": accuracies, "findings": said, "folder": str(result.folder)}, ensure_ascii=False)
        )
        return
    made = table(result)
    output.print(as_text(made.title), style="bold", markup=False)
    output.print(document_table(made))
    output.print("\n" + " ".join(said), markup=False)
    output.print(f"\nRuns, table and pictures are in {result.folder}.", soft_wrap=True, markup=False)

"""``headwise study series``: a transformer for time series, with and without pre-training, against baselines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.options import OUT, Json, Processes, Scheduler, Seeds, Threads
from headwise.cli.study.runner import run_study
from headwise.data.series import load_series, train_validation_split
from headwise.experiments.series import SeriesPlan

_RECIPE = SeriesPlan.recipe


def series(
    dataset: Annotated[
        str,
        typer.Argument(
            help="A data set that comes with aeon, such as JapaneseVowels; or a folder, or a file NAME_TRAIN.ts or "
            "NAME_TRAIN.npz next to NAME_TEST."
        ),
    ] = "JapaneseVowels",
    seeds: Seeds = SeriesPlan.seeds,
    pretrain: Annotated[bool, typer.Option(help="Also pre-train, by predicting masked values.")] = True,
    baselines: Annotated[bool, typer.Option(help="Also run DTW and ROCKET, from aeon.")] = True,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            help="Test on this fraction of the training series instead of the test series: for choosing the settings "
            "below."
        ),
    ] = None,
    split: Annotated[int, typer.Option(help="Seed of the split of --validation-fraction.", min=0)] = 0,
    epochs: Annotated[int, typer.Option(help="Epochs of training.")] = _RECIPE.epochs,
    pretrain_epochs: Annotated[int, typer.Option(help="Epochs of pre-training.")] = SeriesPlan.pretraining.epochs,
    batch_size: Annotated[int, typer.Option(help="Series in a batch.")] = _RECIPE.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = _RECIPE.learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = _RECIPE.weight_decay,
    width: Annotated[int, typer.Option(help="Model width D.")] = SeriesPlan.d_model,
    depth: Annotated[int, typer.Option(help="Number of layers.")] = SeriesPlan.n_layers,
    heads: Annotated[int, typer.Option(help="Number of heads H.")] = SeriesPlan.n_heads,
    dropout: Annotated[float, typer.Option(help="Dropout probability.")] = SeriesPlan.dropout,
    out: Annotated[Path | None, OUT] = None,
    threads: Threads = None,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Train a transformer on labelled time series, with and without pre-training, and compare it with baselines.

    Results are in runs/series-NAME by default. Finished runs in the folder are reused.

    Example: `headwise study series JapaneseVowels --seeds 10 --out runs/vowels`
    """
    data = load_series(dataset)
    name = f"series-{data.name}"
    if validation_fraction is not None:  # not in the folder of the runs on the official test series
        data, name = train_validation_split(data, validation_fraction, split), f"{name}-split-{split}"
    recipe = replace(
        _RECIPE, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, weight_decay=weight_decay
    )

    def make_plan() -> SeriesPlan:
        return SeriesPlan(
            data,
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

    run_study("series", make_plan, out or Path("runs") / name, threads, processes, scheduler, as_json)

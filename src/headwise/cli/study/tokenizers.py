"""``headwise study tokenizers``: the same transformer with several ways of cutting an image into tokens."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from headwise.cli.options import Data, Json, Out, Processes, Scheduler, Threads
from headwise.cli.study.runner import run_study
from headwise.errors import DataError
from headwise.experiments.tokenizers import TokenizersPlan
from headwise.experiments.tokenizers.plan import load_digits
from headwise.train.config import TrainingConfig

_EPOCHS = TokenizersPlan.recipe.epochs
_QUICK_SEEDS, _QUICK_EPOCHS = 2, 3


def tokenizers(
    tokenizers: Annotated[
        list[str] | None,
        typer.Option(
            help="7x7, 8x8/4 (overlapping), rows, columns, pixels (784 tokens: slow), and scrambled- or reordered- any "
            "of these; repeat the option or use commas. The others are compared with the first.",
            show_default=",".join(TokenizersPlan.tokenizers),
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each tokenizer.", show_default=str(TokenizersPlan.seeds))
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of training.", show_default=str(_EPOCHS))] = None,
    sizes: Annotated[
        str, typer.Option(help="Also train on fewer digits, such as 500,2000, for about as many steps.")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Two seeds and three epochs: a preview, not a result.")
    ] = False,
    data: Data = None,
    out: Out = Path("runs/tokenizers"),
    threads: Threads = None,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Train the same transformer with several tokenizers, several seeds each, and compare their accuracy.

    Finished runs in the folder are reused, also when seeds or tokenizers are added.

    Example: `headwise study tokenizers --tokenizers 7x7,rows --seeds 6 --processes 2`
    """
    if data is not None:
        load_digits(data)  # what cannot be read is reported before anything is computed
    names = [name.strip() for value in tokenizers or TokenizersPlan.tokenizers for name in value.split(",")]
    plan = partial(
        TokenizersPlan,
        tokenizers=tuple(names),
        seeds=seeds if seeds is not None else _QUICK_SEEDS if quick else TokenizersPlan.seeds,
        sizes=_numbers(sizes),
        recipe=TrainingConfig(epochs=epochs if epochs is not None else _QUICK_EPOCHS if quick else _EPOCHS),
        load=partial(load_digits, data),
    )
    run_study("tokenizers", plan, out, threads, processes, scheduler, as_json)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(",")) if text else ()
    except ValueError:
        raise DataError(f"--sizes: expected numbers of digits such as 500,2000; got {text}.") from None

"""``headwise bench``: how fast attention is on this machine, side by side with what is installed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure
from rich.table import Table

from headwise.benchmark.plot import draw_ratios
from headwise.benchmark.run import LONG_WORKLOADS, WORKLOADS, Bench, Timing
from headwise.benchmark.run import bench as measure
from headwise.cli.console import output, progress_bars
from headwise.figures import check_figure_path, save_one

__all__ = ["bench"]


def bench(
    long: Annotated[bool, typer.Option("--long", help="Also 16,384 tokens: some minutes more.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Only what takes less than a tenth of a second.")] = False,
    peer: Annotated[bool, typer.Option(help="Measure torch too, where it is installed.")] = True,
    plot: Annotated[Path | None, typer.Option(help="Draw the ratios to this file: .svg, .pdf or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False,
) -> None:
    """Measure attention on this machine: forward and backward, against torch and the matrix products alone.

    Example: `headwise bench --plot ratios.svg`
    """
    if plot is not None:
        check_figure_path(plot)  # refused now rather than after all the measuring
    work = [line for line in WORKLOADS if not short or line.operations < 5e9] + list(LONG_WORKLOADS if long else ())
    with progress_bars() as progress:
        found = measure(work, peer=peer, progress=progress)
    if plot is not None:
        save_one(_drawn(found), plot)
    if as_json:
        print(json.dumps(_facts(found)))
        return
    output.print(_table(found))
    here = found.machine
    output.print("ratio: torch's time over headwise's; NumPy's: over that of headwise without numba.")
    output.print(f"{here.cpu}, {here.cores} cores; " + "; ".join(f"{k} {v}" for k, v in here.libraries.items()))
    output.print(
        f"Limit: the matrix products alone, at {here.products / 1e9:.0f} billion operations a second "
        f"(NumPy's BLAS reaches {here.blas / 1e9:.0f})."
    )


def _facts(found: Bench) -> dict[str, object]:
    lines = [
        {**asdict(timing), "of_limit": timing.of_limit, "ratio_to_torch": timing.ratio("torch")}
        for timing in found.timings
    ]
    return {"machine": asdict(found.machine), "timings": lines}


def _table(found: Bench) -> Table:
    table = Table(
        box=None, padding=(0, 1, 0, 0), title="Attention, float32, medians in milliseconds", title_justify="left"
    )
    for name in ("B×H×N×d", "work"):
        table.add_column(name, no_wrap=True)
    for name in ("headwise", "NumPy", "torch", "ratio", "NumPy's", "of limit"):
        table.add_column(name, justify="right", no_wrap=True)
    for timing in found.timings:
        numbers = [f"{timing.seconds[name] * 1e3:.2f}" if name in timing.seconds else "–" for name in _CONTESTANTS]
        ratios = [_ratio(timing, to) for to in ("headwise", "numpy")]
        table.add_row(
            "×".join(map(str, timing.work.shape)), timing.work.name, *numbers, *ratios, f"{timing.of_limit:.0%}"
        )
    return table


_CONTESTANTS = ("headwise", "numpy", "torch")


def _ratio(timing: Timing, to: str) -> str:
    ratio = timing.ratio("torch", to)
    return "–" if ratio is None else f"{ratio:.2f}"


def _drawn(found: Bench) -> Figure:
    lines = [f"{'×'.join(map(str, timing.work.shape))}  {timing.work.name}" for timing in found.timings]
    names = {"numpy": "headwise without numba", "torch": "torch"}
    there = [name for name in names if any(name in timing.seconds for timing in found.timings)]
    peers = {names[name]: [timing.ratio(name) for timing in found.timings] for name in there}
    return draw_ratios(lines, peers, [timing.of_limit for timing in found.timings])

"""``headwise bench``: time attention on this machine, against torch if it is installed."""

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
from headwise.cli.options import Json
from headwise.cli.paths import check_writable_file
from headwise.cli.runner import resumable
from headwise.figures import check_figure_path, save_one

__all__ = ["bench"]


def bench(
    long: Annotated[bool, typer.Option("--long", help="Also 16,384 tokens: some minutes more.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Only workloads below a tenth of a second.")] = False,
    peer: Annotated[bool, typer.Option(help="Also measure torch, if it is installed.")] = True,
    plot: Annotated[Path | None, typer.Option(help="Draw the ratios to this file: .svg, .pdf or .png.")] = None,
    as_json: Json = False,
) -> None:
    """Measure attention on this machine: forward and backward, against torch and the matrix products alone.

    Example: `headwise bench --plot ratios.svg`
    """
    if plot is not None:
        check_figure_path(plot)  # before the measurements
        check_writable_file(plot, "--plot")
    workloads = [workload for workload in WORKLOADS if not short or workload.operations < 5e9] + list(
        LONG_WORKLOADS if long else ()
    )
    with resumable("Nothing was written; run the same command again to start over"), progress_bars() as progress:
        result = measure(workloads, peer=peer, progress=progress)
    if plot is not None:
        save_one(_figure(result), plot)
    if as_json:
        print(json.dumps(_to_json(result)))
        return
    output.print(_table(result))
    machine = result.machine
    output.print("ratio: torch's time over headwise's; NumPy's: over that of headwise without numba.")
    output.print(
        f"{machine.cpu}, {machine.cores} cores; " + "; ".join(f"{k} {v}" for k, v in machine.libraries.items())
    )
    output.print(
        f"Limit: the matrix products alone, at {machine.products / 1e9:.0f} billion operations a second "
        f"(NumPy's BLAS reaches {machine.blas / 1e9:.0f})."
    )


def _to_json(result: Bench) -> dict[str, object]:
    lines = [
        {**asdict(timing), "fraction_of_peak": timing.fraction_of_peak, "ratio_to_torch": timing.ratio("torch")}
        for timing in result.timings
    ]
    return {"machine": asdict(result.machine), "timings": lines}


def _table(result: Bench) -> Table:
    table = Table(
        box=None, padding=(0, 1, 0, 0), title="Attention, float32, medians in milliseconds", title_justify="left"
    )
    for name in ("B×H×N×d", "work"):
        table.add_column(name, no_wrap=True)
    for name in ("headwise", "NumPy", "torch", "ratio", "NumPy's", "of peak"):
        table.add_column(name, justify="right", no_wrap=True)
    for timing in result.timings:
        numbers = [f"{timing.seconds[name] * 1e3:.2f}" if name in timing.seconds else "–" for name in _IMPLEMENTATIONS]
        ratios = [_ratio(timing, to) for to in ("headwise", "numpy")]
        table.add_row(
            "×".join(map(str, timing.workload.shape)),
            timing.workload.name,
            *numbers,
            *ratios,
            f"{timing.fraction_of_peak:.0%}",
        )
    return table


_IMPLEMENTATIONS = ("headwise", "numpy", "torch")


def _ratio(timing: Timing, to: str) -> str:
    ratio = timing.ratio("torch", to)
    return "–" if ratio is None else f"{ratio:.2f}"


def _figure(result: Bench) -> Figure:
    lines = [f"{'×'.join(map(str, timing.workload.shape))}  {timing.workload.name}" for timing in result.timings]
    names = {"numpy": "headwise without numba", "torch": "torch"}
    measured = [name for name in names if any(name in timing.seconds for timing in result.timings)]
    peers = {names[name]: [timing.ratio(name) for timing in result.timings] for name in measured}
    return draw_ratios(lines, peers, [timing.fraction_of_peak for timing in result.timings])

"""``headwise bench``: time attention on this machine, next to the other libraries that are installed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure
from rich.table import Table

from headwise.benchmark import GROUPS, PEERS, QUICK, Bench, Timing, workloads
from headwise.benchmark import bench as measure
from headwise.benchmark.plot import draw_ratios
from headwise.cli.console import output, progress_bars, resumable
from headwise.cli.options import Json
from headwise.cli.paths import check_writable_file
from headwise.figures import check_figure_path, save_one


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help=f"A group of workloads: {', '.join(GROUPS)}. Repeat it for several."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three tiny workloads, to try the command.")] = False,
    peer: Annotated[bool, typer.Option(help="Also measure torch, onnxruntime and jax where installed.")] = True,
    seconds: Annotated[float, typer.Option(min=0.01, help="For each implementation of a workload.")] = 1.0,
    plot: Annotated[
        Path | None, typer.Option(help="Write a figure of the ratios to this file: .svg, .pdf or .png.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure attention on this machine, next to other libraries and the limits of the processor.

    Without --only it measures every group except `longest` (16,384 tokens).

    Example: `headwise bench --quick`
    """
    if plot is not None:
        check_figure_path(plot)  # before the measurements
        check_writable_file(plot, "--plot")
    for name in only or ():
        if name not in GROUPS:
            raise typer.BadParameter(f"expected one of {', '.join(GROUPS)}; got {name!r}", param_hint="--only")
    rows = QUICK if quick else workloads(tuple(only or ()))
    with resumable("Nothing was written; run the same command again to start over"), progress_bars() as progress:
        result = measure(
            rows, peers=tuple(PEERS) if peer else (), seconds=0.01 if quick else seconds, progress=progress
        )
    if plot is not None:
        save_one(_figure(result), plot)
    if as_json:
        print(json.dumps(_to_json(result)))
        return
    output.print(_table(result))
    for line in _notes(result):
        output.print(line)


def _to_json(result: Bench) -> dict[str, object]:
    lines = [
        {
            **asdict(timing),
            "name": timing.workload.name,
            "label": timing.workload.label,
            "fastest_peer": timing.fastest_peer,
            "ratio": timing.ratio(timing.fastest_peer),
            "fraction_of_limit": timing.fraction_of_limit,
        }
        for timing in result.timings
    ]
    worst = result.worst
    worst_ratio = None if worst is None else worst.ratio(worst.fastest_peer)
    return {"machine": asdict(result.machine), "timings": lines, "worst_ratio": worst_ratio}


def _table(result: Bench) -> Table:
    table = Table(
        box=None, padding=(0, 1, 0, 0), title="Attention, float32, medians in milliseconds", title_justify="left"
    )
    for name in ("B×H×N×d", "work"):
        table.add_column(name, no_wrap=True)
    for name in ("headwise", "NumPy", "peer", "ratio", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fastest", no_wrap=True)
    for timing in result.timings:
        peer = timing.fastest_peer
        table.add_row(
            timing.workload.label,
            timing.workload.name,
            *(_milliseconds(timing, name) for name in ("headwise", "numpy", peer)),
            "–" if peer is None else f"{timing.ratio(peer):.2f}",
            f"{timing.fraction_of_limit:.0%}",
            peer or "–",
        )
    return table


def _milliseconds(timing: Timing, name: str | None) -> str:
    return f"{timing.seconds[name] * 1e3:.2f}" if name is not None and name in timing.seconds else "–"


def _notes(result: Bench) -> list[str]:
    """What the columns mean, the worst ratio, and the machine."""
    machine, worst = result.machine, result.worst
    notes = ["ratio: time of the fastest peer over headwise's; limit: its fraction of headwise's time."]
    if worst is not None:
        notes.append(
            f"Worst ratio: {worst.ratio(worst.fastest_peer):.2f} ({worst.workload.name} {worst.workload.label})."
        )
    libraries = "; ".join(f"{name} {version}" for name, version in machine.libraries.items())
    notes.append(f"{machine.cpu} ({machine.kind}), {machine.cores} cores; {libraries}")
    notes.append(
        f"Limit: matrix products at {machine.products / 1e9:.0f} billion operations a second (NumPy's BLAS reaches "
        f"{machine.blas / 1e9:.0f}), or reading memory at {machine.bandwidth / 1e9:.1f} GB/s, whichever takes longer."
    )
    return notes


def _figure(result: Bench) -> Figure:
    lines = [f"{timing.workload.label}  {timing.workload.name}" for timing in result.timings]
    names = {"numpy": "headwise without numba", **{name: name for name in PEERS}}
    measured = [name for name in names if any(name in timing.seconds for timing in result.timings)]
    peers = {names[name]: [timing.ratio(name) for timing in result.timings] for name in measured}
    return draw_ratios(lines, peers, [timing.fraction_of_limit for timing in result.timings])

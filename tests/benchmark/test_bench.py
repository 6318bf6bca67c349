"""The benchmark: turns, medians, ratios, the limit; and the command that prints them."""

import itertools
import json
import time

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from headwise.benchmark import run as benchmark
from headwise.benchmark.plot import draw_ratios
from headwise.benchmark.run import Bench, Machine, Timing, Workload
from headwise.cli.bench import bench as command
from headwise.errors import DataError
from headwise.figures import save_one
from headwise.timing import time_interleaved

TINY = (Workload((2, 3, 17, 5)), Workload((2, 3, 17, 5), causal=True, backward=True))
MACHINE = Machine("some processor", 2, {"numpy": "2"}, blas=1e9, products=2e9, fastest="blas")


def test_callables_take_turns():
    calls = []
    medians, rounds = time_interleaved(
        {"a": lambda: calls.append("a") or time.sleep(0.001), "b": lambda: calls.append("b") or time.sleep(0.003)},
        seconds=0.02,
    )
    turns = [name for name, _ in itertools.groupby(calls)]  # a turn is some calls to warm up, and the one measured
    assert turns == ["a", "b"] * (2 + rounds)
    assert calls[:4] == ["a", "b"] * 2
    assert 0.001 < medians["a"] < medians["b"]


def test_operations_are_counted_by_hand():
    assert Workload((2, 3, 5, 7)).operations == 2 * (2 * 3 * 5 * 5 * 7) * 2
    assert Workload((2, 3, 5, 7), causal=True, backward=True).operations == 2 * (2 * 3 * 15 * 7) * 7


def test_ratios_and_limit():
    timing = Timing(TINY[0], {"headwise": 2.0, "torch": 3.0}, limit=1.0, rounds=3)
    assert timing.ratio("torch") == 1.5
    assert timing.ratio("numpy") is None
    assert timing.fraction_of_peak == 0.5


def fake_times(calls):
    """Call each once, and pretend that the first took 0.1 s, the second 0.2 s, and so on."""
    for call in calls.values():
        call()
    return {name: 0.1 * (i + 1) for i, name in enumerate(calls)}, 3


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, "machine", lambda: MACHINE)
    monkeypatch.setattr(benchmark, "matrix_products", lambda: {"blas": (lambda: None, 5e6)})
    monkeypatch.setattr(benchmark, "time_interleaved", fake_times)
    monkeypatch.setattr("headwise.cli.bench.WORKLOADS", TINY)


def test_every_line_is_measured(quick):
    result = benchmark.bench(TINY, peer=False)
    assert isinstance(result, Bench)
    assert [timing.workload for timing in result.timings] == list(TINY)
    for timing in result.timings:
        assert set(timing.seconds) == {"headwise", "numpy"}
        assert timing.limit == pytest.approx(timing.workload.operations * 0.3 / 5e6)  # the third is the products


def test_a_plot_that_cannot_be_is_refused_before_anything_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr("headwise.cli.bench.measure", lambda *given, **named: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.svg").mkdir()
    for name, words in (
        ("ratios.jpg", r"expected a name that ends in \.png, \.svg, \.pdf"),
        ("folder.svg", "is a folder"),
        ("file/ratios.svg", "a part of this path is a file"),
    ):
        with pytest.raises(DataError, match=words):
            command(plot=tmp_path / name)


def test_the_ratios_that_are_drawn(tmp_path):
    def drawn(path):
        figure = draw_ratios(["a", "b"], {"torch": [3.0, None], "other": [2.0, 5.0]}, [0.5, 0.25])
        save_one(figure, path)
        return figure

    marks = {line.get_label(): line for line in drawn(tmp_path / "one.svg").axes[0].lines}
    assert marks["the matrix products alone"].get_xydata().tolist() == [[0.5, 0], [0.25, 1]]
    assert marks["torch"].get_xydata().tolist() == [[3, 0]]
    assert marks["other"].get_xydata().tolist() == [[2, 0], [5, 1]]
    drawn(tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_command(quick, tmp_path):
    app = typer.Typer()
    app.command()(command)
    plot = tmp_path / "ratios.svg"
    printed = CliRunner().invoke(app, ["--json", "--no-peer", "--plot", str(plot)])
    assert printed.exit_code == 0, printed.output
    facts = json.loads(printed.stdout)
    assert facts["machine"]["cpu"] == "some processor"
    assert [line["workload"]["shape"] for line in facts["timings"]] == [[2, 3, 17, 5]] * 2
    assert "<svg" in plot.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["ratios.svg"]
    table = CliRunner().invoke(app, ["--no-peer"])
    assert table.exit_code == 0
    assert "2×3×17×5" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert np.isfinite(facts["timings"][0]["fraction_of_peak"])

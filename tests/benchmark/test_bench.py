"""The benchmark: turns, medians, ratios, the limit; and the command that prints them."""

import itertools
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from headwise.benchmark import GROUPS, QUICK, Bench, Machine, Timing, Workload, workloads
from headwise.benchmark import run as benchmark
from headwise.benchmark.peers import peer_calls
from headwise.benchmark.plot import draw_ratios
from headwise.cli.bench import bench as command
from headwise.errors import DataError
from headwise.figures import save_one
from headwise.timing import time_interleaved
from helpers.oracles import attention_loop

MACHINE = Machine("some processor", "AVX9", 2, {"numpy": "2"}, blas=1e9, products=2e9, fastest="blas", bandwidth=4e9)


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


def test_other_threads_come_to_rest_before_each_measurement(monkeypatch):
    """Long calls too: right after JAX, whose threads are still busy, they would be measured too slow."""
    events = []
    monkeypatch.setattr("headwise.timing.time.sleep", lambda seconds: events.append(f"rest {seconds}"))
    monkeypatch.setattr("headwise.timing.SHORT_CALL", 0.0)
    time_interleaved({"a": lambda: events.append("a"), "b": lambda: events.append("b")}, seconds=0.0, rest=0.03)
    assert events[4:] == ["rest 0.03", "a", "rest 0.03", "b"] * 3


def test_operations_are_counted_by_hand():
    assert Workload((2, 3, 5, 7)).operations == 2 * (2 * 3 * 5 * 5 * 7) * 2
    assert Workload((2, 3, 5, 7), option="causal", backward=True).operations == 2 * (2 * 3 * 15 * 7) * 7
    assert Workload((1, 2, 1, 8), 300, 2, "causal").operations == 2 * (2 * 300 * 8) * 2
    assert Workload((1, 1, 300, 8), option="window").operations == 2 * 8 * 2 * sum(
        min(n + 128, 299) - max(n - 128, 0) + 1 for n in range(300)
    )


def test_bytes_are_counted_by_hand():
    assert Workload((2, 6, 1, 7), 11, 3).bytes_read == 4 * (2 * 6 * 7 + 2 * 2 * 3 * 11 * 7)
    assert Workload((2, 6, 5, 7), option="bias").bytes_read == 4 * (3 * 2 * 6 * 5 * 7 + 6 * 25)


@pytest.mark.parametrize("option", ["", "causal", "window", "lengths", "mask", "bias"])
def test_options_are_those_of_attention(option):
    inputs = Workload((2, 4, 3, 5), 17, 2, option).inputs()
    allowed = {"": 0, "causal": 3, "window": 2, "lengths": 1, "mask": 1, "bias": 1}
    assert len(inputs.options) == min(allowed[option], 2)
    assert np.isfinite(attention_loop(inputs.q, inputs.k, inputs.v, **inputs.options)[0]).all()


def test_ratios_and_limit():
    timing = Timing(QUICK[0], {"headwise": 2.0, "torch": 3.0, "jax": 2.5}, products=0.5, memory=1.0, rounds=3)
    assert timing.ratio("torch") == 1.5
    assert timing.ratio("numpy") is None
    assert timing.fastest_peer == "jax"
    assert timing.fraction_of_limit == 0.5
    slower = Timing(QUICK[1], {"headwise": 3.0, "torch": 2.0}, products=0.5, memory=1.0, rounds=3)
    alone = Timing(QUICK[1], {"headwise": 3.0}, products=0.5, memory=1.0, rounds=3)
    assert Bench(MACHINE, (timing, slower, alone)).worst is slower
    assert Bench(MACHINE, (alone,)).worst is None


def test_groups_select_workloads():
    assert workloads(("small",)) == GROUPS["small"]
    assert not set(GROUPS["longest"]) & set(workloads())


def fake_times(calls, seconds):
    """Call each once, and pretend that the first took 0.1 s, the second 0.2 s, and so on."""
    for call in calls.values():
        call()
    return {name: 0.1 * (i + 1) for i, name in enumerate(calls)}, 3


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, "machine", lambda: MACHINE)
    monkeypatch.setattr(benchmark, "time_interleaved", fake_times)


def test_every_line_is_measured(quick):
    result = benchmark.bench(QUICK, peers=())
    assert [timing.workload for timing in result.timings] == list(QUICK)
    for timing in result.timings:
        assert set(timing.seconds) == {"headwise", "numpy"}
        assert timing.products == pytest.approx(timing.workload.operations / 2e9)
        assert timing.memory == pytest.approx(timing.workload.bytes_read / 4e9)


@pytest.mark.parity
@pytest.mark.parametrize("workload", [row for group in ("decode", "masks", "heads") for row in GROUPS[group]])
def test_peers_compute_the_same(workload):
    import headwise as hw

    small = replace(workload, shape=(2, *workload.shape[1:]), keys=min(workload.keys, 300))
    if small.shape[2] > 300:
        small = replace(small, shape=(2, small.shape[1], 300, small.shape[3]))
    inputs = small.inputs()
    expected = hw.attention(inputs.q, inputs.k, inputs.v, **inputs.options, engine="blockwise")
    for name, call in peer_calls(replace(small, backward=False), inputs, ("torch", "onnxruntime", "jax")).items():
        result = call()
        if result is None:  # bound outputs
            continue
        o = np.asarray(result[0] if isinstance(result, list) else result)
        if name == "jax":
            o = o.transpose(0, 2, 1, 3)
        if name == "onnxruntime":
            o = o.reshape(*o.shape[:2], small.shape[1], -1).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(o, expected, rtol=1e-3, atol=1e-4)


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
    assert marks["the machine's limit"].get_xydata().tolist() == [[0.5, 0], [0.25, 1]]
    assert marks["torch"].get_xydata().tolist() == [[3, 0]]
    assert marks["other"].get_xydata().tolist() == [[2, 0], [5, 1]]
    drawn(tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_command(quick, tmp_path):
    app = typer.Typer()
    app.command()(command)
    plot = tmp_path / "ratios.svg"
    printed = CliRunner().invoke(app, ["--json", "--no-peer", "--quick", "--plot", str(plot)])
    assert printed.exit_code == 0, printed.output
    facts = json.loads(printed.stdout)
    assert facts["machine"]["cpu"] == "some processor"
    assert [line["workload"]["shape"] for line in facts["timings"]] == [list(row.shape) for row in QUICK]
    assert facts["worst_ratio"] is None
    assert "<svg" in plot.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["ratios.svg"]
    table = CliRunner().invoke(app, ["--no-peer", "--quick"])
    assert table.exit_code == 0
    assert "2×4/2×1:300×16" in table.stdout
    assert "AVX9" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert np.isfinite(facts["timings"][0]["fraction_of_limit"])
    assert CliRunner().invoke(app, ["--only", "smal"]).exit_code == 2

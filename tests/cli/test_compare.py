"""``headwise compare`` as a user runs it."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from headwise.cli.compare import compare
from headwise.cli.console import document_table
from headwise.document import blocks as document
from headwise.errors import DataError, ShapeError
from headwise.text import Statement
from helpers.processes import restore_sigint

FEW = ("--tokens", "14x14,28x14", "--seeds", "2", "--epochs", "1")
app = typer.Typer()
app.command()(compare)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def started(command, **options):
    """A process with a terminal's Ctrl-C."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, preexec_fn=restore_sigint, **pipes, **options)


def test_interrupted_it_goes_on_and_answers(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "headwise", "compare", *FEW, "--out", str(out)]
    process = started(command, start_new_session=True)
    until = time.monotonic() + 60
    while not (out / "runs.csv").exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert printed == ""
    before = (out / "runs.csv").read_text().splitlines()
    assert len(before) < 5

    shown = run(*FEW, "--out", out, "--json")
    assert shown.exit_code == 0
    told = json.loads(shown.stdout)
    assert [entry["name"] for entry in told["entries"]] == ["14x14", "28x14"]
    assert "could not have shown a difference" in " ".join(told["conclusion"]["Which cut reads better"])
    after = (out / "runs.csv").read_text().splitlines()
    assert len(after) == 5
    assert set(before) <= set(after)  # what was finished was not run again: its seconds are the same
    assert {path.name for path in out.iterdir()} == {
        "comparison.json", "conclusion.md", "figures", "runs", "runs.csv", "tables"
    }  # fmt: skip

    other = " ".join(run("--tokens", "28x14", "--tokens", "14x14", *FEW[4:], "--seeds", 1, "--out", out).stdout.split())
    assert "Between 14x14 and 28x14" in other
    assert "2 other runs are in runs.csv" in other


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C of a terminal reaches all its processes")
def test_ctrl_c_ends_the_workers_too(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "headwise", "compare", *FEW, "--workers", "2", "--out", str(out)]
    process = started(command, start_new_session=True)
    until = time.monotonic() + 60
    while not (out / "runs.csv").exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert len((out / "runs.csv").read_text().splitlines()) >= 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--tokens", "7x7"), DataError, "two or more to compare"),
        (("--tokens", "7x7,5x5"), ShapeError, "divides the image's 28 pixels"),
        (("--tokens", "7x7,stripes"), DataError, "tokenizer: expected a patch size"),
        (("--seeds", "0"), DataError, "seeds: expected 1 or more"),
        (("--epochs", "0"), DataError, "epochs: expected 1 or more"),
        (("--sizes", "many"), DataError, "--sizes: expected numbers of digits"),
        (("--sizes", "4000"), DataError, "sizes: expected 1 to 3999"),
        (("--workers", "0"), DataError, "workers: expected 1 or more"),
        (("--data", "nowhere"), DataError, "no such file"),
        (("--scheduler", "tcp://127.0.0.1:9"), DataError, "does not answer"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what a refused connection says
def test_refusals(arguments, error, message, tmp_path, monkeypatch):
    monkeypatch.setattr("headwise.parallel.tasks._PATIENCE", "0.5s")
    with pytest.raises(error, match=message):
        run(*arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_narrow_terminal_hides_nothing():
    cells = ("scrambled-7x7", "64 × 49 + 64 = 3,200", "6.5e-18", "no difference shown")
    made = document.Table(Statement("A table."), ("tokens", "embedding", "p over digits", "verdict"), (cells,), "any")
    console = Console(width=30, file=io.StringIO())
    console.print(document_table(made))
    shown = console.file.getvalue()
    assert "…" not in shown
    assert sorted("".join(shown.split())) == sorted("".join("".join([*made.columns, *cells]).split()))

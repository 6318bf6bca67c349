"""``headwise study tokenizers`` as a user runs it."""

import json
import os

import pytest
import typer
from typer.testing import CliRunner

from headwise.cli.study.tokenizers import tokenizers
from headwise.errors import DataError, ShapeError
from headwise.experiments.store import RunStore
from helpers.commands import headwise, interrupt, interrupt_after
from helpers.digits import few

FEW = ("--tokenizers", "14x14,28x14", "--seeds", "2", "--epochs", "1")
app = typer.Typer()
app.command()(tokenizers)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def finished(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("runs/[!.]*.json")}


@pytest.mark.exhaustive  # tests/experiments/test_protocol.py resumes runs
def test_interrupted_it_resumes_and_prints_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr("headwise.cli.study.tokenizers.load_digits", few)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(patch, RunStore, "save", 2)
        interrupted = headwise("study", "tokenizers", *FEW, "--out", out)
    assert interrupted.returncode == 130, interrupted.stderr
    assert f"Run the same command again to resume (results so far are in {out})." in interrupted.stderr
    assert interrupted.stdout == ""
    before = finished(out)
    assert len(before) == 2

    shown = run(*FEW, "--out", out, "--json")
    assert shown.exit_code == 0
    content = json.loads(shown.stdout)
    assert content == json.loads((out / "result.json").read_text())
    assert [entry["name"] for entry in content["entries"]] == ["14x14", "28x14"]
    assert "could not have shown a difference" in " ".join(content["findings"]["Accuracy"])
    assert {path: finished(out)[path] for path in before} == before  # what was finished was not run again
    assert {path.name for path in out.iterdir()} == {
        "result.json", "findings.md", "figures", "runs", "runs.csv", "tables"
    }  # fmt: skip

    order = ("--tokenizers", "28x14", "--tokenizers", "14x14", *FEW[4:], "--seeds", 1)
    assert "Between 14x14 and 28x14" in " ".join(run(*order, "--out", out).stdout.split())


@pytest.mark.exhaustive
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C of a terminal reaches all its processes")
def test_ctrl_c_ends_the_processes_too(tmp_path):
    out = tmp_path / "out"
    command = ("study", "tokenizers", *FEW, "--processes", 2, "--out", out)
    status, _, messages = interrupt(*command, until=lambda: len(finished(out)) > 1, group=True)
    assert status == 130, messages
    assert "Run the same command again to resume" in messages
    assert len((out / "runs.csv").read_text().splitlines()) >= 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--tokenizers", "7x7"), DataError, "two or more to compare"),
        (("--tokenizers", "7x7,5x5"), ShapeError, "divides the image's 28 pixels"),
        (("--tokenizers", "7x7,stripes"), DataError, "expected a patch size"),
        (("--seeds", "0"), DataError, "seeds: expected 1 or more"),
        (("--epochs", "0"), DataError, "epochs: expected 1 or more"),
        (("--sizes", "many"), DataError, "--sizes: expected numbers of digits"),
        (("--sizes", "4000"), DataError, "sizes: expected 1 to 3999"),
        (("--processes", "0"), DataError, "processes: expected 1 or more"),
        (("--threads", "0"), DataError, "threads: expected 1 or more"),
        (("--data", "nowhere"), DataError, "no such file"),
        (("--scheduler", "tcp://127.0.0.1:9"), DataError, "does not answer"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what a refused connection reports
def test_errors_leave_nothing_behind(arguments, error, message, tmp_path, monkeypatch):
    monkeypatch.setattr("headwise.parallel.tasks.TIMEOUT", "0.5s")
    with pytest.raises(error, match=message):
        run(*arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()

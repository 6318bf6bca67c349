"""``headwise study sets`` and ``headwise study tables`` as a user runs them."""

import json

import pytest

from headwise.experiments.store import RunStore
from helpers.commands import headwise, interrupt_after

SETS = ("study", "sets", "--seeds", "1", "--steps", "3")


@pytest.mark.exhaustive  # test_study_tokenizers.py interrupts a study
def test_sets_interrupted_and_resumed(tmp_path, monkeypatch):
    def finished():
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("broken/runs/[!.]*.json")}

    with monkeypatch.context() as patch:
        interrupt_after(patch, RunStore, "save", 2)
        interrupted = headwise(*SETS, "--out", "broken", folder=tmp_path)
    assert interrupted.returncode == 130, interrupted.stderr
    assert "Run the same command again to resume (results so far are in broken)." in interrupted.stderr
    assert not list(tmp_path.glob("broken/runs/.*"))  # nothing half-written
    done = finished()
    assert len(done) == 2
    shown = headwise(*SETS, "--out", "broken", "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert {path: finished()[path] for path in done} == done  # not run again
    content = json.loads(shown.stdout)
    assert [len(pooling["errors"]) for pooling in content["poolings"]] == [1] * 6
    assert all(0 <= pooling["order_sensitivity_double"] < 1e-12 for pooling in content["poolings"])
    assert len((tmp_path / "broken/runs.csv").read_text().splitlines()) == 1 + 6
    assert (tmp_path / "broken/figures/errors.svg").exists()
    shown = " ".join(headwise(*SETS, "--out", "broken", folder=tmp_path).stdout.split())
    assert all(f"{pooling['mean']:.4f}" in shown for pooling in content["poolings"])
    assert content["findings"]["Errors"][0] in shown


@pytest.mark.exhaustive  # test_study_tokenizers.py prints a study
def test_tables_prints_a_table_and_findings(tmp_path):
    shown = headwise("study", "tables", "wine", "--seeds", 1, "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    content = json.loads(shown.stdout)
    assert content["tables"][0]["rows"] == 178
    assert set(content["tables"][0]["scores"]) == {"transformer", "boosted trees", "linear model"}
    assert len(content["findings"]["Scores"]) == 3  # two comparisons, and that one seed shows nothing
    shown = " ".join(headwise("study", "tables", "wine", "--seeds", 1, folder=tmp_path).stdout.split())
    assert f"{content['tables'][0]['scores']['transformer'][0]:.1%}" in shown
    assert content["findings"]["Scores"][0] in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sets", "--seeds", "0"), "seeds: expected 1 or more; got 0"),
        (("sets", "--threads", "0"), "threads: expected 1 or more"),
        (("tables", "iris"), "table: expected one of breast-cancer, wine, titanic, diabetes; got 'iris'"),
        (("tables", "--seeds", "0"), "seeds: expected 1 or more; got 0"),
    ],
)
def test_an_error_on_one_line(arguments, message, tmp_path):
    shown = headwise("study", *arguments, folder=tmp_path)
    assert shown.returncode == 2
    assert message in shown.stderr.strip().splitlines()[-1]
    assert "Traceback" not in shown.stderr
    assert not list(tmp_path.iterdir())

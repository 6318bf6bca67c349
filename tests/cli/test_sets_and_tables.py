"""``headwise sets`` and ``headwise tables`` as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.processes import restore_sigint

SETS = ("sets", "--seeds", "1", "--steps", "12")


def headwise(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "headwise", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"},
        timeout=120,
    )


def test_sets_interrupted_and_gone_on_with(tmp_path):
    command = [sys.executable, "-m", "headwise", *SETS, "--out", "broken"]
    process = subprocess.Popen(command, preexec_fn=restore_sigint, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("broken/runs/[!.]*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("broken/runs/.*"))  # nothing half-written
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("broken/runs/[!.]*.json")}
    assert 0 < len(done) < 6
    shown = headwise(*SETS, "--out", "broken", "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for name, written in done.items():
        assert (tmp_path / "broken/runs" / name).stat().st_mtime_ns == written  # not run again
    found = json.loads(shown.stdout)
    assert [len(each["errors"]) for each in found["poolings"]] == [1] * 6
    assert all(0 <= each["moved_double"] < 1e-12 for each in found["poolings"])
    assert len((tmp_path / "broken/runs.csv").read_text().splitlines()) == 1 + 6
    assert (tmp_path / "broken/errors.svg").exists()
    table = headwise(*SETS, "--out", "broken", folder=tmp_path)
    shown = " ".join(table.stdout.split())
    for each in found["poolings"]:
        assert f"{each['mean']:.4f}" in shown
    assert found["conclusion"][0] in shown


def test_tables_prints_a_table_and_a_conclusion(tmp_path):
    shown = headwise("tables", "wine", "--seeds", 1, "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["tables"][0]["rows"] == 178
    assert set(found["tables"][0]["scores"]) == {"transformer", "boosted trees", "linear model"}
    assert len(found["conclusion"]) == 4  # two comparisons, that one seed shows nothing, what it does not say
    table = " ".join(headwise("tables", "wine", "--seeds", 1, folder=tmp_path).stdout.split())
    assert f"{found['tables'][0]['scores']['transformer'][0]:.1%}" in table
    assert found["conclusion"][0] in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sets", "--seeds", "0"), "seeds: expected 1 or more; got 0"),
        (("sets", "--workers", "0"), "workers: expected 1 or more"),
        (("tables", "iris"), "table: expected one of breast-cancer, wine, titanic, diabetes; got 'iris'"),
        (("tables", "--seeds", "0"), "seeds: expected 1 or more; got 0"),
    ],
)
def test_a_plain_error_on_one_line(arguments, message, tmp_path):
    shown = headwise(*arguments, folder=tmp_path)
    assert shown.returncode == 2
    assert message in shown.stderr.strip()
    assert len(shown.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())

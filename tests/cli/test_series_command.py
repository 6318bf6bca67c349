"""``headwise series`` as a user types it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

FEW = ("--seeds", 2, "--epochs", 2, "--pretrain-epochs", 2, "--width", 8, "--heads", 2, "--depth", 1, "--no-baselines")


def series(*arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", "headwise", "series", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"} | environment,
        timeout=120,
    )


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("TRAIN", 23), ("TEST", 13)):
        y = np.arange(count) % 2
        x = np.sin(np.arange(11) * (0.5 + y[:, None]) + rng.uniform(0, 6, (count, 1)))
        np.savez(tmp_path / f"own_{part}.npz", x=x[:, :, None], y=y)
    return tmp_path


def test_a_folder_of_ones_own(own):
    shown = series(".", *FEW, folder=own)
    assert shown.returncode == 0, shown.stderr
    assert "Accuracy on 13 series of own" in shown.stdout
    assert "Pre-training changes the series read rightly by" in " ".join(shown.stdout.split())
    assert (own / "runs" / "series-own" / "attention.png").exists()
    again = series(".", *FEW, "--json", folder=own)  # from what is kept
    told = json.loads(again.stdout)
    assert {name: len(values) for name, values in told["accuracies"].items()} == {
        "transformer": 2,
        "transformer, pre-trained": 2,
    }


def test_any_name_in_any_encoding(own):
    for path in list(own.glob("own_*")):
        path.rename(own / path.name.replace("own", "w[red]"))
    shown = series(".", *FEW, "--no-pretrain", "--out", "out", folder=own, PYTHONIOENCODING="cp437")
    assert shown.returncode == 0, shown.stderr
    assert "Accuracy on 13 series of w[red]" in shown.stdout
    assert "w[red] ?" in shown.stderr  # an ellipsis, which code page 437 has not


def test_choosing_by_training_series_held_out(own):
    shown = series(".", *FEW, "--held-out", 0.25, "--no-pretrain", "--split", 3, "--json", folder=own)
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout)
    assert "17 series to learn from and 6 to judge by" in told["findings"][0]
    assert told["folder"] == "runs/series-own-split-3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "nor a set that comes with aeon"),
        ((".", "--held-out", 2), "share: expected a number between 0 and 1"),
        ((".", "--seeds", 0), "seeds: expected 1 or more"),
        ((".", "--heads", 7), "n_heads: expected a divisor of d_model 64"),
        ((".", "--out", "own_TRAIN.npz"), "is a file; name a folder"),
        (("other_TRAIN.ts",), "no such file"),
    ],
)
def test_a_plain_error_and_nothing_half_written(own, arguments, message):
    before = sorted(own.rglob("*"))
    shown = series(*arguments, folder=own)
    assert shown.returncode == 2
    lines = shown.stderr.strip().splitlines()
    assert lines[-1].startswith("headwise: ")
    assert message in lines[-1]
    assert "Traceback" not in shown.stderr
    assert sorted(own.rglob("*")) == before

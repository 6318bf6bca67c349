"""``headwise study series`` as a user runs it."""

import json

import numpy as np
import pytest

from helpers.commands import headwise, headwise_process

FEW = ("--seeds", 2, "--epochs", 2, "--pretrain-epochs", 2, "--width", 8, "--heads", 2, "--depth", 1, "--no-baselines")


def series(*arguments, **options):
    return headwise("study", "series", *arguments, **options)


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("TRAIN", 23), ("TEST", 13)):
        y = np.arange(count) % 2
        x = np.sin(np.arange(11) * (0.5 + y[:, None]) + rng.uniform(0, 6, (count, 1)))
        np.savez(tmp_path / f"own_{part}.npz", x=x[:, :, None], y=y)
    return tmp_path


@pytest.mark.exhaustive  # the next tests run the command with fewer models
def test_a_folder_of_arrays(own):
    shown = series(".", *FEW, folder=own)
    assert shown.returncode == 0, shown.stderr
    assert "Accuracy on 13 test series of own" in shown.stdout
    assert "Pre-training changes the number of series classified correctly by" in " ".join(shown.stdout.split())
    assert (own / "runs" / "series-own" / "figures" / "attention.png").exists()
    again = series(".", *FEW, "--json", folder=own)  # from the finished runs
    content = json.loads(again.stdout)
    assert {name: len(values) for name, values in content["accuracies"].items()} == {
        "transformer": 2,
        "transformer, pre-trained": 2,
    }


@pytest.mark.exhaustive
def test_any_name_in_any_encoding(own):
    for path in list(own.glob("own_*")):
        path.rename(own / path.name.replace("own", "w[red]"))
    command = ("study", "series", ".", *FEW, "--no-pretrain", "--out", "out")
    shown = headwise_process(*command, folder=own, PYTHONIOENCODING="cp437")
    assert shown.returncode == 0, shown.stderr
    assert "Accuracy on 13 test series of w[red]" in shown.stdout
    assert "w[red] ?" in shown.stderr  # an ellipsis, which code page 437 does not have


@pytest.mark.exhaustive
def test_a_fraction_of_the_training_series_for_validation(own):
    shown = series(".", *FEW, "--validation-fraction", 0.25, "--no-pretrain", "--split", 3, "--json", folder=own)
    assert shown.returncode == 0, shown.stderr
    content = json.loads(shown.stdout)
    assert "17 training and 6 test series" in content["findings"]["What was compared"][0]
    assert (own / "runs/series-own-split-3/result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "nor a set that comes with aeon"),
        ((".", "--validation-fraction", 2), "fraction: expected a number between 0 and 1"),
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

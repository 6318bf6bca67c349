import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import CheckpointError, DataError
from headwise.models.vit import ViTConfig, vit_params
from headwise.nn.params import flatten
from headwise.train.adamw import AdamW, adamw_step, clip_norm, weight_decay_mask
from headwise.train.checkpoint import load_vit, save_arrays, save_vit
from headwise.train.config import TrainingConfig
from headwise.train.digits import shift_and_rotate, train_vit
from headwise.train.run import train_into
from helpers.processes import wait_until

SMALL = ViTConfig(tokenizer="14x14", d_model=8, n_layers=1, n_heads=2, d_ff=8)
RECIPE = TrainingConfig(epochs=3, batch_size=50, seed=7)


def blobs(count, rng):
    """Ten classes that differ in which row is bright."""
    labels = rng.integers(0, 10, count)
    images = rng.random((count, 28, 28)).astype(np.float32) / 4
    images[np.arange(count), 2 + 2 * labels] = 1
    return LabelledImages(images, labels)


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    return Digits("blobs", blobs(170, rng), blobs(40, rng), blobs(30, rng))


def test_adamw_equals_its_definition(rng):
    theta, m, v = rng.normal(size=7), np.zeros(7), np.zeros(7)
    decays = np.array([1, 1, 1, 0, 0, 1, 0.0])
    vector, memory = theta.copy(), AdamW.zeros(theta)
    for t in range(1, 6):
        g = rng.normal(size=7)
        adamw_step(vector, g, memory, learning_rate=0.01, weight_decay=0.1, decay_mask=decays)
        for i in range(7):
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2
            theta[i] -= 0.01 * 0.1 * decays[i] * theta[i]
            theta[i] -= 0.01 * (m[i] / (1 - 0.9**t)) / (math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(vector, theta, rtol=1e-13)


def test_only_matrices_decay(rng):
    params = vit_params(SMALL, rng)
    marked = weight_decay_mask(params)
    assert marked.sum() == sum(array.size for name, array in params.items() if array.ndim == 2 and "weight" in name)
    assert marked.size == flatten(params).size


def test_clipping(rng):
    gradient = rng.normal(size=11)
    unchanged, direction = gradient.copy(), gradient / np.linalg.norm(gradient)
    assert clip_norm(gradient, 1e9) == pytest.approx(np.linalg.norm(unchanged))
    np.testing.assert_array_equal(gradient, unchanged)
    clip_norm(gradient, 0.5)
    np.testing.assert_allclose(gradient, 0.5 * direction)


def test_augmentation_moves_and_turns():
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 10:18, 12:16] = 1
    still = shift_and_rotate(image, shift=0, rotate=0, rng=np.random.default_rng(0))
    np.testing.assert_allclose(still, image, atol=1e-6)
    many = shift_and_rotate(np.repeat(image, 200, 0), shift=2, rotate=0, rng=np.random.default_rng(0))
    down, across = np.indices((28, 28))
    centres = np.array([[(m * down).sum() / m.sum(), (m * across).sum() / m.sum()] for m in many]) - [13.5, 13.5]
    assert np.abs(centres).max() <= 2 + 1e-5
    assert (np.abs(centres).max(axis=0) > 1.8).all()
    np.testing.assert_allclose(many.sum((1, 2)), image.sum(), rtol=1e-5)
    turned = shift_and_rotate(np.repeat(image, 50, 0), shift=0, rotate=10, rng=np.random.default_rng(0))
    np.testing.assert_allclose(
        [[(m * down).sum() / m.sum(), (m * across).sum() / m.sum()] for m in turned], 13.5, atol=0.02
    )
    assert np.abs(turned - image).max() > 0.5


def test_the_rate_rises_and_falls():
    recipe = TrainingConfig(learning_rate=2.0, warmup=0.1)
    rates = [recipe.learning_rate_at(step, 200) for step in range(200)]
    assert np.argmax(rates) in (19, 20)
    assert max(rates) == 2.0
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[20:]) < 0).all()
    assert rates[-1] < 1e-3


def test_it_learns(data):
    trained = train_vit(SMALL, data, TrainingConfig(epochs=30, batch_size=50, max_shift=0, max_rotation=0))
    assert trained.history[-1].train_loss < 0.5 * trained.history[0].train_loss
    assert trained.history[-1].validation_accuracy > 0.6  # chance is 0.1


def test_the_result_does_not_depend_on_threads(data):
    results = [flatten(train_vit(SMALL, data, RECIPE, threads=workers).params) for workers in (1, 2, 5)]
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_another_seed_gives_another_model(data):
    other = TrainingConfig(epochs=3, batch_size=50, seed=8)
    assert (
        flatten(train_vit(SMALL, data, RECIPE).params).tobytes()
        != flatten(train_vit(SMALL, data, other).params).tobytes()
    )


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [0, 5, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (1, 9, 11))])
def test_interrupted_and_resumed_is_the_same_bytes(data, at, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_into(whole, data, config=SMALL, recipe=RECIPE)
    steps = iter(range(at + 1))

    def on_step():
        if next(steps) == at:
            raise Killed

    with pytest.raises(Killed):
        train_into(broken, data, config=SMALL, recipe=RECIPE, on_step=on_step)
    assert not (broken / "model.safetensors").exists()
    train_into(broken, data, config=SMALL, recipe=RECIPE, resume=True)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == {p.name: p.read_bytes() for p in broken.iterdir()}


@pytest.mark.exhaustive
def test_killed_by_the_system_and_resumed_is_the_same_bytes(tmp_path):
    """A real process, ended without a chance to clean up, several times over."""
    code = (
        "from pathlib import Path; import numpy as np;"
        "from test_training import *; rng = np.random.default_rng(5);"
        "data = Digits('blobs', blobs(170, rng), blobs(40, rng), blobs(30, rng));"
        "recipe = TrainingConfig(epochs=60, batch_size=50);"
        "train_into(Path({folder!r}), data, config=SMALL, recipe=recipe, resume={resume})"
    )

    def start(folder, resume):
        command = [sys.executable, "-c", code.format(folder=str(folder), resume=resume)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(command, cwd=Path(__file__).parent, env=environment)

    assert start(tmp_path / "whole", False).wait() == 0
    broken, state = tmp_path / "broken", tmp_path / "broken" / "training.safetensors"
    for attempt in range(3):
        process = start(broken, attempt > 0)
        wait_until(lambda p=process: state.exists() or p.poll() is not None, 0.01)
        time.sleep(0.05 * attempt)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    if not (broken / "model.safetensors").exists():
        assert start(broken, True).wait() == 0
    for name in ("model.safetensors", "history.csv"):
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_that_holds_a_run_is_left_alone(data, tmp_path):
    run = train_into(tmp_path, data, config=SMALL, recipe=RECIPE)
    before = run.path.read_bytes()
    with pytest.raises(DataError, match="contains a run"):
        train_into(tmp_path, data, config=SMALL, recipe=RECIPE)
    with pytest.raises(DataError, match="nothing to resume"):
        train_into(tmp_path, data, config=SMALL, recipe=RECIPE, resume=True)
    assert run.path.read_bytes() == before
    assert train_into(tmp_path, data, config=SMALL, recipe=RECIPE, keep=True).history == run.history


def test_resuming_another_run_is_refused(data, tmp_path):
    state = tmp_path / "training.safetensors"
    train_vit(SMALL, data, TrainingConfig(epochs=1, batch_size=50), state=state)
    with pytest.raises(DataError, match="which differs in recipe"):
        train_vit(SMALL, data, TrainingConfig(epochs=2, batch_size=50), state=state)


def test_other_digits_of_the_same_name_and_number_are_told_apart(data, tmp_path):
    other = replace(data, train=blobs(170, np.random.default_rng(6)))
    first, again = (
        train_into(tmp_path / "run", each, config=SMALL, recipe=RECIPE, keep=True) for each in (data, other)
    )
    assert first.history != again.history
    judged_on = blobs(30, np.random.default_rng(7))
    elsewhere = train_into(tmp_path / "run", other, config=SMALL, recipe=RECIPE, keep=True, test=judged_on)
    assert elsewhere.test_loss != again.test_loss
    state = tmp_path / "training.safetensors"
    train_vit(SMALL, data, RECIPE, state=state)
    with pytest.raises(DataError, match="cannot resume: this is another run, which differs in data"):
        train_vit(SMALL, other, RECIPE, state=state)


def test_checkpoints_come_back(rng, tmp_path):
    params = vit_params(SMALL, rng)
    save_vit(tmp_path / "a.safetensors", SMALL, params, {"seed": 3})
    save_vit(tmp_path / "b.safetensors", SMALL, params, {"seed": 3})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    saved = load_vit(tmp_path / "a.safetensors")
    assert saved.config == SMALL
    assert saved.metadata == {"seed": 3}
    assert flatten(saved.params).tobytes() == flatten(params).tobytes()


def test_bad_checkpoints_are_refused(rng, tmp_path):
    path, params = tmp_path / "m.safetensors", vit_params(SMALL, rng)
    with pytest.raises(DataError, match="no such file"):
        load_vit(path)
    save_vit(path, SMALL, params, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="corrupt"):
        load_vit(path)
    save_vit(path, ViTConfig(tokenizer="7x7", d_model=8, n_layers=1, n_heads=2, d_ff=8), params, {})
    with pytest.raises(CheckpointError, match="expected"):
        load_vit(path)
    save_vit(path, SMALL, {name: array for name, array in params.items() if name != "norm.gain"}, {})
    with pytest.raises(CheckpointError, match=r"missing or unexpected arrays .*norm\.gain"):
        load_vit(path)
    save_vit(path, SMALL, params | {"norm.gain": np.full(8, np.nan, np.float32)}, {})
    with pytest.raises(CheckpointError, match="NaN"):
        load_vit(path)
    save_arrays(path, params, {"kind": "series"})
    with pytest.raises(CheckpointError, match="expected a vision transformer; got 'series'"):
        load_vit(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_size": "x"}, "image_size: expected two whole numbers from 1 to 10,000; got 'x'"),
        ({"image_size": [28]}, "image_size: expected two whole numbers"),
        ({"n_heads": "4"}, "n_heads: expected a whole number, 1 or more; got '4'"),
        ({"n_heads": 3}, "n_heads: expected a divisor of d_model 8"),
        ({"d_ff": 128.5}, "d_ff: expected a whole number"),
        ({"d_model": -64}, "d_model: expected a whole number"),
        ({"n_layers": True}, "n_layers: expected a whole number"),
        ({"n_classes": 0}, "n_classes: expected a whole number"),
        ({"mean": None}, "mean: expected a number; got None"),
        ({"mean": float("nan")}, "mean: expected a number; got nan"),
        ({"std": 0}, "std: expected a number above 0; got 0"),
        ({"tokenizer": 7}, "tokenizer: expected a name"),
        ({"tokenizer": "banana"}, "tokenizer: expected a patch size"),
        ({"extra": 1}, "unknown keys: extra"),
        ({"n_layers": 10_000_000}, "a model with more parameters than the file contains"),
        ({"d_model": 1000, "d_ff": 1000}, "a model with more parameters than the file contains"),
    ],
)
def test_a_header_that_tells_of_no_such_model_is_refused(rng, tmp_path, change, words):
    path = tmp_path / "m.safetensors"
    save_arrays(path, vit_params(SMALL, rng), {"kind": "vit", "config": asdict(SMALL) | change, "metadata": {}})
    with pytest.raises(CheckpointError, match=words):
        load_vit(path)


def test_a_header_without_a_model_is_refused(rng, tmp_path):
    path, params = tmp_path / "m.safetensors", vit_params(SMALL, rng)
    for header, words in (
        (
            {"kind": "vit", "config": None, "metadata": {}},
            "header field 'config': expected tokenizer, image_size, .*; got None",
        ),
        (
            {"kind": "vit", "config": asdict(SMALL), "metadata": []},
            r"header field 'metadata': expected a mapping; got \[\]",
        ),
        ("vit", "Headwise has not written"),
    ):
        save_arrays(path, params, header)
        with pytest.raises(CheckpointError, match=words):
            load_vit(path)
    save_vit(path, SMALL, {name: array.astype(int) for name, array in params.items()}, {})
    with pytest.raises(CheckpointError, match="expected floating-point numbers; got int64"):
        load_vit(path)


def test_a_failed_write_leaves_the_old_file(rng, tmp_path):
    path = tmp_path / "m.safetensors"
    save_vit(path, SMALL, vit_params(SMALL, rng), {})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_vit(path, SMALL, vit_params(SMALL, rng), {"not": object()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": -1}, {"learning_rate": math.nan}]
)
def test_recipes_that_cannot_be(change):
    with pytest.raises(DataError, match=f"{next(iter(change))}: expected"):
        TrainingConfig(**change)

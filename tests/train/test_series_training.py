"""Pre-training and training of the series transformer: masks, losses, running averages, resuming."""

import numpy as np
import pytest

from headwise.data.series import LabelledSeries
from headwise.errors import DataError
from headwise.models.series import SeriesTransformerConfig, masked_prediction_forward, series_forward
from headwise.nn.params import flatten
from headwise.train.config import TrainingConfig
from headwise.train.loop import Trainer, train
from headwise.train.series import MaskedPredictionTask, evaluate_series, geometric_masks, predict_series, series_task
from helpers.oracles import check_gradients

MODEL = SeriesTransformerConfig(
    n_variables=2, max_length=11, n_outputs=3, d_model=12, n_layers=1, n_heads=3, d_ff=13, dropout=0.1
)
RECIPE = TrainingConfig(
    epochs=25, batch_size=17, learning_rate=3e-3, max_grad_norm=4.0, max_shift=0, max_rotation=0, seed=3
)


def waves(count, rng):
    """Three classes that differ in their frequency, of unequal lengths, with NaN where nobody may look."""
    labels, lengths = rng.integers(0, 3, count), rng.integers(7, 12, count)
    phase, steps = rng.uniform(0, 6, (count, 1)), np.arange(11)
    one = np.sin(phase + (labels[:, None] + 1) * 0.7 * steps)
    x = np.stack([one, np.cos(phase + 0.3 * steps)], axis=2).astype(np.float32)
    x[steps >= lengths[:, None]] = np.nan
    return LabelledSeries(x, lengths, labels)


@pytest.fixture
def data():
    return waves(103, np.random.default_rng(5))


def test_masks_are_of_the_share_and_the_length_asked_for():
    hidden = geometric_masks((200, 400, 3), rng=np.random.default_rng(0), ratio=0.2, mean_length=4.0)
    assert hidden.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(hidden.mean(axis=(0, 2)), 0.2, atol=0.08)  # every step alike, the first too
    padded = np.pad(hidden, ((0, 0), (1, 1), (0, 0)))
    begins = np.argwhere((padded[:, 1:] & ~padded[:, :-1]).swapaxes(1, 2))
    ends = np.argwhere((~padded[:, 1:] & padded[:, :-1]).swapaxes(1, 2))
    runs = (ends - begins)[:, 2][(begins[:, 2] > 0) & (ends[:, 2] < 400)]  # those not cut by the series' ends
    assert runs.mean() == pytest.approx(4.0, abs=0.1)
    share = [(runs > k).sum() / (runs >= k).sum() for k in (1, 2, 3, 5)]  # geometric: it goes on with 3/4, always
    np.testing.assert_allclose(share, 0.75, atol=0.02)
    together = (hidden[..., 0] & hidden[..., 1]).mean()  # each variable is masked apart
    assert together == pytest.approx(0.04, abs=0.005)


def test_masks_that_cannot_be():
    for ratio, run in ((0, 3), (1, 3), (0.15, 0.5), (0.9, 1)):
        with pytest.raises(DataError, match="ratio, mean_length"):
            geometric_masks((1, 5, 1), rng=np.random.default_rng(0), ratio=ratio, mean_length=run)


def in_float64(task, rng):
    params = {name: array.astype(np.float64) for name, array in task.init(rng).items()}
    return params, [name for name in params if not name.endswith(("mean", "variance"))]


def test_imputing_learns_from_hidden_values_alone(data, rng):
    small = data.take(np.arange(7))._replace(x=data.x[:7].astype(np.float64))
    task = MaskedPredictionTask(MODEL, small, RECIPE)
    params, names = in_float64(task, rng)
    chosen = np.arange(7)
    piece = task.gradients(task.shards(chosen, 2)[0], params)

    # the loss, written out: what the same generator hides, and nothing else
    batch = task.shards(chosen, 2)[0]
    hidden = geometric_masks(batch.series.x.shape, rng=batch.rng)
    assert hidden.sum() > 0
    predicted, _ = masked_prediction_forward(
        np.where(hidden, 0, batch.series.x), batch.series.lengths, params, MODEL, rng=batch.rng
    )
    total, count, row = 0.0, 0, 0
    for i, length in enumerate(batch.series.lengths):
        for n in range(length):
            for v in range(2):
                if hidden[i, n, v]:
                    total += (predicted[row, v] - batch.series.x[i, n, v]) ** 2
                    count += 1
            row += 1
    assert piece.loss == pytest.approx(total / count, rel=1e-12)

    def loss(values):
        return np.array(task.gradients(task.shards(chosen, 2)[0], params | {"values.bias": values}).loss)

    check_gradients(loss, [params["values.bias"]], [piece.gradients["values.bias"]], np.array(1.0))
    assert set(piece.gradients) == set(names)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_loss_and_its_gradient(kind, data, rng):
    labels = data.labels if kind == "classes" else rng.normal(size=103).astype(np.float32)
    model = (
        MODEL
        if kind == "classes"
        else SeriesTransformerConfig(
            n_variables=2, max_length=11, n_outputs=1, d_model=6, n_layers=1, n_heads=2, d_ff=5
        )
    )
    own = LabelledSeries(data.x.astype(np.float64), data.lengths, labels).take(np.arange(5))
    task = series_task(model, own, RECIPE)
    params, _ = in_float64(task, rng)
    piece = task.gradients(task.shards(np.arange(5), 0)[0], params)
    batch = task.shards(np.arange(5), 0)[0]
    outputs, _ = series_forward(*batch.examples.inputs, params, model, rng=batch.rng)
    if kind == "classes":
        p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
        expected = -np.log(p[np.arange(5), own.labels]).mean()
    else:
        expected = ((outputs[:, 0] - own.labels) ** 2).mean()
    assert piece.loss == pytest.approx(expected, rel=1e-12)

    def loss(bias):
        return np.array(task.gradients(task.shards(np.arange(5), 0)[0], params | {"head.bias": bias}).loss)

    check_gradients(loss, [params["head.bias"]], [piece.gradients["head.bias"]], np.array(1.0))


def test_the_running_averages_follow_the_batches(data):
    trainer = Trainer.create(series_task(MODEL, data, RECIPE), RECIPE)
    before = {name: array.copy() for name, array in trainer.params.items()}
    seen = trainer.task.gradients(trainer.task.shards(np.arange(17), 0)[0], before).batch_stats
    trainer.step(np.arange(17))
    assert set(seen) == {name for name in before if name.endswith(("mean", "variance"))}
    for name, array in seen.items():
        np.testing.assert_allclose(trainer.params[name], 0.9 * before[name] + 0.1 * array, rtol=1e-5, atol=1e-6)


def test_it_learns_and_a_run_in_two_parts_is_the_same(data, tmp_path):
    test = waves(61, np.random.default_rng(6))
    task = series_task(MODEL, data, RECIPE, validation=test)
    whole = train(task, RECIPE, threads=2)
    assert whole.history[-1].validation_accuracy > 0.9
    judged = evaluate_series(test, whole.params, MODEL)
    assert judged.n_correct / 61 == whole.history[-1].validation_accuracy
    np.testing.assert_array_equal(predict_series(test.x, test.lengths, whole.params, MODEL), judged.outputs)

    class StopError(Exception):
        pass

    def stop(epoch):
        if epoch.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        train(task, RECIPE, state=tmp_path / "state.safetensors", threads=1, on_epoch=stop)
    again = train(task, RECIPE, state=tmp_path / "state.safetensors", threads=1)
    np.testing.assert_array_equal(flatten(again.params), flatten(whole.params))


def test_fine_tuning_begins_with_what_was_learnt_before(data, tmp_path):
    few = TrainingConfig(epochs=12, batch_size=17, learning_rate=1e-2, max_grad_norm=4.0, max_shift=0, max_rotation=0)
    imputing = MaskedPredictionTask(MODEL, data, few)
    learnt = train(imputing, few, state=tmp_path / "imputing.safetensors", threads=1)
    assert learnt.history[-1].train_loss < 0.6 * learnt.history[0].train_loss
    task = series_task(MODEL, data, few, initial_params=learnt.params)
    begun = task.init(np.random.default_rng(0))
    for name, array in begun.items():
        if name.startswith("head."):
            assert array.shape == series_task(MODEL, data, few).init(np.random.default_rng(0))[name].shape
        else:
            np.testing.assert_array_equal(array, learnt.params[name])
    before = flatten(learnt.params)
    tuned = train(task, few, threads=1)
    np.testing.assert_array_equal(flatten(learnt.params), before)  # what was given is left as it was
    assert all(np.abs(tuned.params[n] - begun[n]).max() > 0 for n in begun if not n.endswith("key.bias"))
    assert task.describe() != series_task(MODEL, data, few).describe()
    with pytest.raises(DataError, match="which differs in"):
        train(task, few, state=tmp_path / "imputing.safetensors", threads=1)

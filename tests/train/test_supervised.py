"""Learning from examples with answers: what a batch adds up to, and which weights early stopping returns."""

import numpy as np
import pytest

from headwise.models import SeriesTransformerConfig, SetTransformerConfig, TableTransformerConfig, ViTConfig
from headwise.models.trainable import ImageModel, SeriesModel, SetModel, TableModel
from headwise.train import Examples, Supervised, TrainingConfig, predict_batched, train

B = 7
SMALL = {"d_model": 6, "n_layers": 1, "n_heads": 3}


def examples(name, rng, classes=True):
    lengths = rng.integers(1, 6, B)
    network, inputs = {
        "table": lambda: (
            TableModel(TableTransformerConfig(2, (3,), 2, d_ff=5, **SMALL)),
            (rng.normal(size=(B, 2)), rng.integers(0, 3, (B, 1))),
        ),
        "sets": lambda: (SetModel(SetTransformerConfig(2, 2, **SMALL)), (rng.normal(size=(B, 5, 2)), lengths)),
        "images": lambda: (
            ImageModel(ViTConfig("2x3", (4, 6), d_ff=5, n_classes=2, **SMALL)),
            (rng.random((B, 4, 6)),),
        ),
        "series": lambda: (
            SeriesModel(SeriesTransformerConfig(2, 5, 2, d_ff=5, dropout=0.0, **SMALL)),
            (rng.normal(size=(B, 5, 2)), lengths),
        ),
    }[name]()
    answers = rng.integers(0, 2, B) if classes else rng.normal(size=(B, 2))
    return network, Examples(inputs, answers)


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("name", ["table", "sets", "images", "series"])
def test_the_shards_add_up_to_the_batch(name, classes, rng):
    network, data = examples(name, rng, classes)
    task = Supervised(network, data, None, 0)
    params = {k: a.astype(np.float64) for k, a in task.init(rng).items()}
    shards = task.shards(np.arange(B), 0)
    assert len(shards) == (1 if network.uses_batch_norm else 2)
    pieces = [task.gradients(shard, params) for shard in shards]
    y, _ = network.forward(data.inputs, params, np.random.default_rng(0))
    if classes:
        p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
        loss = -np.log(p[np.arange(B), data.targets]).mean()
    else:
        loss = np.square(y - data.targets).mean()
    assert sum(piece.loss for piece in pieces) == pytest.approx(loss, rel=1e-10)
    name, step = "head.weight" if "head.weight" in params else "decoder.1.weight", 1e-6

    def at(shift):
        moved = {**params, name: params[name] + shift * direction}
        return sum(task.gradients(shard, moved).loss for shard in shards)

    direction = rng.normal(size=params[name].shape)
    slope = sum((piece.gradients[name] * direction).sum() for piece in pieces)
    assert slope == pytest.approx((at(step) - at(-step)) / (2 * step), rel=1e-6)
    assert bool(pieces[0].batch_stats) == (type(network) is SeriesModel)


@pytest.mark.parametrize("name", ["table", "sets", "images", "series"])
def test_the_weights_of_every_kind(name, rng):
    network, data = examples(name, rng)
    params = {k: a.astype(np.float64) for k, a in network.init(rng).items()}
    weights = network.attention_weights(data.inputs, params)
    tokens = {"table": 4, "sets": 5, "images": 5, "series": 5}[name]
    assert weights.shape == (B, 1, 3, tokens, tokens)
    there = np.full(B, tokens) if name in ("table", "images") else data.inputs[1]
    for own, n in zip(weights, there, strict=True):
        np.testing.assert_allclose(own[..., :n, :n].sum(-1), 1)
        assert (own[..., n:, :] == 0).all()
    np.testing.assert_allclose(
        predict_batched(network, data.inputs, params), network.forward(data.inputs, params)[0], atol=1e-12
    )


def test_early_stopping_returns_the_best_weights(rng):
    numbers = rng.normal(size=(80, 3)).astype(np.float32)
    data = Examples((numbers, np.empty((80, 0), int)), rng.integers(0, 2, 80))  # nothing to learn
    task = Supervised(
        TableModel(TableTransformerConfig(3, (), 2, d_ff=8, **SMALL)),
        data.take(np.arange(50)),
        data.take(np.arange(50, 80)),
        0,
    )
    trained = train(
        task, TrainingConfig(epochs=60, learning_rate=0.02, batch_size=20, max_shift=0, max_rotation=0), patience=5
    )
    losses = [epoch.validation_loss for epoch in trained.history]
    assert len(losses) < 60
    assert task.validate(trained.params).loss == pytest.approx(min(losses), rel=1e-12)
    assert min(losses) < losses[-1]

"""The package's own models under the Model protocol: captures, predictions of subsets, gradients."""

import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.models.adapters import SeriesTransformer, SetTransformer, TableTransformer, ViT
from headwise.models.base import Model
from headwise.models.series import SeriesTransformerConfig, predict_series_with_attention, series_forward, series_params
from headwise.models.sets import SetTransformerConfig, set_forward, set_params, set_weights
from headwise.models.tabular import TableTransformerConfig, table_forward, table_params
from headwise.models.vit import ViTConfig, predict_with_attention, vit_params

SIZES = {"d_model": 6, "n_layers": 2, "n_heads": 3}


def random(params, rng):
    return {name: rng.normal(size=array.shape) ** 2 / 3 for name, array in params.items()}


def vit(rng):
    config = ViTConfig("2x3", image_size=(4, 9), d_ff=5, n_classes=7, **SIZES)
    return ViT(config, random(vit_params(config, rng), rng)), rng.random((4, 9))


def table(rng):
    config = TableTransformerConfig(2, (3, 5), n_outputs=7, d_ff=5, **SIZES)
    return TableTransformer(config, random(table_params(config, rng), rng)), (rng.normal(size=2), np.array([2, 4]))


def series(rng):
    config = SeriesTransformerConfig(2, 11, 7, d_ff=5, **SIZES)
    return SeriesTransformer(config, random(series_params(config, rng), rng)), rng.normal(size=(5, 2))


def sets(encoder):
    def make(rng):
        config = SetTransformerConfig(2, 7, encoder=encoder, n_inducing_points=4, **SIZES)
        return SetTransformer(config, random(set_params(config, rng), rng)), rng.normal(size=(5, 2))

    return make


MODELS = {
    "vit": (vit, 6),
    "table": (table, 4),
    "series": (series, 5),
    "SAB": (sets("SAB"), 5),
    "ISAB": (sets("ISAB"), 5),
}


@pytest.mark.parametrize("name", MODELS)
def test_captured_weights_reproduce_the_models_attention(name, rng):
    make, n = MODELS[name]
    model, x = make(rng)
    assert isinstance(model, Model)
    capture = model.look(x)
    assert capture.proven
    np.testing.assert_allclose(capture.output[0], model.predict(x), rtol=1e-12)
    tokens = model.tokens(x)
    assert int((~tokens.prefix).sum()) == n
    if name == "vit":
        expected = predict_with_attention(x[None], model.params, model.config).weights
    elif name == "table":
        numbers, codes = x
        _, cache = table_forward(numbers[None], codes[None], model.params, model.config, return_weights=True)
        expected = cache.encoder.attention_weights
    elif name == "series":
        expected = predict_series_with_attention(x[None], np.array([5]), model.params, model.config).weights
    elif name == "SAB":
        expected, pooling = set_weights(set_forward(x[None], model.params, model.config, return_weights=True)[1])
        np.testing.assert_allclose(capture.layers[-1].weights()[:, :, 0], pooling, atol=1e-12)
    else:
        assert [layer.shape for layer in capture.layers] == [(1, 3, 4, 5), (1, 3, 5, 4)] * 2 + [(1, 3, 1, 5)]
        return
    found = np.stack([layer.weights() for layer in capture.layers[:2]], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_keeping_every_token_is_the_model_itself(name, rng):
    model, x = MODELS[name][0](rng)
    keep = np.ones((3, len(model.tokens(x))), bool)
    np.testing.assert_allclose(model.predict(x, keep), np.repeat(model.predict(x)[None], 3, axis=0), rtol=1e-10)
    with pytest.raises(ShapeError, match="keep"):
        model.predict(x, keep[:, 1:])


def test_a_column_that_is_not_kept_does_not_count(rng):
    model, (numbers, codes) = table(rng)
    keep = np.array([[False, True, False, True, True], [True, True, True, False, True]])  # the class token is kept
    scores = model.predict((numbers, codes), keep)
    assert np.abs(model.predict((numbers + np.array([0, 1]), codes), keep)[0] - scores[0]).max() < 1e-12
    assert (
        np.abs(model.predict((numbers, (codes + np.array([1, 0])) % np.array([3, 5])), keep)[1] - scores[1]).max()
        < 1e-12
    )
    assert np.abs(model.predict((numbers + np.array([1, 0]), codes), keep)[0] - scores[0]).max() > 1e-6


def test_removed_members_and_steps(rng):
    model, x = sets("SAB")(rng)
    keep = np.array([[False, True, False, True, True], [False] * 5])
    scores = model.predict(x, keep)
    np.testing.assert_allclose(scores[0], set_forward(x[None, keep[0]], model.params, model.config)[0][0])
    np.testing.assert_allclose(scores[1], set_forward(np.zeros((1, 1, 2)), model.params, model.config)[0][0])
    model, x = series(rng)
    expected = series_forward((x * keep[0][:, None])[None], np.array([5]), model.params, model.config)[0][0]
    np.testing.assert_allclose(model.predict(x, keep)[0], expected)


def test_gradients_of_the_attention_weights(rng):
    model, image = vit(rng)
    assert [gradient.shape for gradient in model.gradients(image, 4)] == [
        layer.shape for layer in model.look(image).layers
    ]
    model, row = table(rng)
    assert [gradient.shape for gradient in model.gradients(row, 4)] == [(1, 3, 5, 5)] * 2
    for make in (series, sets("SAB")):
        model, x = make(rng)
        assert "gradients" not in model.capabilities
        with pytest.raises(DataError, match=r"gradients: .* not implemented"):
            model.gradients(x, 0)

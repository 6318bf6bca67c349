"""Models that record themselves, and arguments that are no models."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError
from headwise.models.adapters import ViT
from headwise.models.vit import ViTConfig, vit_params


def test_models_of_this_package(rng):
    config = ViTConfig("14x14", d_model=8, n_layers=3, n_heads=2, d_ff=8)
    model = ViT(config, vit_params(config, rng))
    image = rng.random((28, 28)).astype(np.float32)
    found = hw.capture(model, image)
    assert found.proven
    np.testing.assert_array_equal(found.weights(), model.look(image).weights())
    chosen = hw.capture(model, image, layers=[np.int64(0), -1])
    np.testing.assert_array_equal(chosen.weights(), found.weights()[:, [0, 2]])


def test_what_is_no_model(rng):
    config = ViTConfig("14x14", d_model=8, n_layers=1, n_heads=2, d_ff=8)
    with pytest.raises(DataError, match="model: expected a torch module"):
        hw.capture(3, np.zeros(2))
    with pytest.raises(DataError, match=r"layers: expected places such as 0, or names"):
        hw.capture(ViT(config, vit_params(config, rng)), np.zeros((28, 28), np.float32), layers=[0.5])

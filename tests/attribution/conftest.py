"""Small models in float64, with every size a different prime."""

import numpy as np
import pytest

from headwise.models.adapters import SeriesTransformer, TableTransformer, ViT
from headwise.models.series import SeriesTransformerConfig, series_params
from headwise.models.tabular import TableTransformerConfig, table_params
from headwise.models.vit import ViTConfig, vit_params

VIT = ViTConfig("2x2", (4, 6), d_model=10, n_layers=3, n_heads=2, d_ff=7, n_classes=5)
SERIES = SeriesTransformerConfig(n_variables=3, max_length=13, n_outputs=5, d_model=14, n_heads=2, n_layers=3, d_ff=7)
TABLE = TableTransformerConfig(3, (2, 5), n_outputs=3, d_model=10, n_layers=2, n_heads=2, d_ff=7)


def random(params, rng, scale=0.3):
    """No parameter is zero or one, so that none can be left out unnoticed; variances stay positive."""
    noise = {name: scale * rng.normal(size=a.shape) for name, a in params.items()}
    return {name: a + (np.abs(noise[name]) if "variance" in name else noise[name]) for name, a in params.items()}


def vit(rng):
    return ViT(VIT, random(vit_params(VIT, rng), rng)), rng.random((4, 6))


def series(rng):
    params = random(series_params(SERIES, rng), rng, 0.05)
    params["head.weight"] *= 0.05  # eleven steps add up
    return SeriesTransformer(SERIES, params), rng.normal(size=(11, 3))


def table(rng):
    return TableTransformer(TABLE, random(table_params(TABLE, rng), rng)), (rng.normal(size=3), np.array([1, 3]))


@pytest.fixture(params=[vit, series, table], ids=lambda make: make.__name__)
def subject(request):
    """A model and an input."""
    return request.param(np.random.default_rng(0))

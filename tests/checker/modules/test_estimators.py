"""Classes in scikit-learn's style are fitted first; then they are checked as other plain classes are."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.modules import is_module
from headwise.errors import DataError
from layers import estimator_layers as layers

VERDICTS = {
    layers.Transformer: (),
    layers.TransformerOverQueries: ("softmax-axis",),
    layers.TransformerUnscaled: ("scale-missing",),
    layers.OfDictionary: (),
    layers.Predictor: (),
    layers.PredictorOfModelWidth: ("scale-model-width",),
    layers.AtOnce: (),
    layers.AtFirstCall: (),
    layers.AtFirstCallWithoutRoot: ("scale-no-root",),
}


@pytest.mark.parametrize("cls", VERDICTS)
def test_verdict(cls):
    assert hw.check(cls).mistakes == VERDICTS[cls]


def test_objects_may_be_fitted_or_not():
    assert hw.check(layers.TransformerUnscaled()).mistakes == ("scale-missing",)
    own = layers.TransformerUnscaled().fit(np.random.default_rng(0).normal(size=(5, 7)))
    before = own.W_q_.copy()
    assert hw.check(own).mistakes == ("scale-missing",)
    assert (own.W_q_ == before).all()


def test_a_class_that_cannot_be_fitted_is_refused_with_what_it_raises():
    with pytest.raises(DataError, match="these are no sentences"):
        hw.check(layers.Never)


def test_a_transformer_without_queries_is_no_module():
    assert not is_module(layers.Scaler)

"""The common form of the models: the same scores, weights and gradients as the models themselves."""

import numpy as np
import pytest

from headwise.attribution import ModelRun, differentiable, is_differentiable
from headwise.errors import DataError


def test_scores_weights_and_gradients_are_those_of_the_model(subject):
    model, input = subject
    run = ModelRun(model, input)
    np.testing.assert_allclose(run.function.scores(run.function.x[None])[0], model.predict(input), rtol=1e-9)
    np.testing.assert_allclose(run.weights, model.look(input).weights()[0], rtol=1e-9)
    if "gradients" in model.capabilities:
        expected = np.stack([g[0] for g in model.gradients(input, run.explained)])
        np.testing.assert_allclose(run.gradients, expected, rtol=1e-7, atol=1e-12)


def test_gradients_by_central_differences(subject):
    model, input = subject
    function = differentiable(model, input)
    direction, step = np.random.default_rng(1).normal(size=function.x.shape), 1e-5
    ends = function.scores(np.stack([function.x + step * direction, function.x - step * direction]))[:, 2]
    gradient = function.gradient(function.x[None], 2)[0]
    np.testing.assert_allclose((gradient * direction).sum(), (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


def test_hidden_tokens_have_no_influence(subject):
    model, input = subject
    function = differentiable(model, input)
    keep = np.ones((1, len(function.tokens)), bool)
    keep[0, -1] = False
    changed = function.x.copy()
    changed[-1] += 1
    pooled_alone = function.network.heads["logits"].pool == "first"
    same = np.allclose(function.scores(function.x[None], keep), function.scores(changed[None], keep))
    assert same == pooled_alone  # the head of a series reads every step


def test_other_models_are_refused():
    assert not is_differentiable("a name")
    with pytest.raises(DataError, match="model"):
        differentiable("a name", None)

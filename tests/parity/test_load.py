"""Loaded models against transformers: outputs, hidden states, attention weights and gradients of every family."""

import pytest

from helpers.pretrained import CASES

pytest.importorskip("torch")
pytest.importorskip("transformers", reason="transformers builds the models to compare with: make parity")
errors = pytest.importorskip("helpers.model_errors")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_hidden_states_and_weights(case, tmp_path):
    states, weights = errors.forward_errors(case, tmp_path)
    assert states < 2e-5
    assert weights < 1e-5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients(case, tmp_path):
    assert errors.gradient_error(case, tmp_path) < 1e-6

"""Loaded models against transformers: outputs, hidden states, attention weights and gradients of every family."""

import numpy as np
import pytest

import headwise as hw
from helpers.pretrained import CASES, TEXTS, build, inputs

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="transformers builds the models to compare with: make parity")
pytestmark = pytest.mark.parity


def submodule(model, path):
    for name in filter(None, path.split(".")):
        model = getattr(model, name)
    return model


def relative(ours, theirs, rows=None):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    if rows is not None:
        ours, theirs = ours[rows], theirs[rows]
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def valid(case, arrays, array):
    """Which rows of (B, N, ...) are not padding; there models may return anything."""
    mask = arrays.get("attention_mask")
    return None if mask is None or array.shape[:2] != mask.shape else mask.astype(bool)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outputs_hidden_states_and_weights(case, tmp_path):
    reference = submodule(build(case, tmp_path), case.inner)
    arrays = inputs(case)
    with torch.no_grad():
        theirs = reference(
            **{name: torch.from_numpy(array) for name, array in arrays.items()},
            **case.call,
            output_hidden_states=True,
            output_attentions=True,
        )
    ours = hw.load(tmp_path)(**arrays, output_hidden_states=True, output_attentions=True)

    compared = [name for name in ours if name in theirs and name not in ("hidden_states", "attentions")]
    assert compared
    for name in compared:
        assert relative(ours[name], theirs[name], valid(case, arrays, ours[name])) < 2e-5, name
    states = ours.hidden_states if case.name != "albert-groups" else ours.hidden_states[-1:]
    for i, (state, expected) in enumerate(zip(states, theirs.hidden_states[-len(states) :], strict=True)):
        assert relative(state, expected, valid(case, arrays, state)) < 2e-5, f"hidden state {i}"
    for i, (weights, expected) in enumerate(zip(ours.attentions, theirs.attentions, strict=True)):
        rows = None if case not in TEXTS else arrays["attention_mask"].astype(bool)
        difference = np.abs(weights - expected.numpy()).swapaxes(1, 2)
        assert difference[rows].max() < 1e-5, f"weights of layer {i}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients(case, tmp_path):
    reference = build(case, tmp_path).double()
    if not case.eager_only:
        reference.set_attn_implementation("sdpa")  # eager attention computes its softmax in float32
    reference = submodule(reference, case.inner)
    arrays = inputs(case, np.float64)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    floating = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
    for name in floating:
        tensors[name].requires_grad_()
    theirs = reference(**tensors, **case.call)
    model = hw.load(tmp_path).astype(np.float64)
    ours, cache = model.forward(**arrays)

    rng, douts, loss = np.random.default_rng(3), {}, 0.0
    for name in [name for name in ours if name in theirs]:
        douts[name] = rng.normal(size=ours[name].shape)
        rows = valid(case, arrays, ours[name])
        if rows is not None:
            douts[name][~rows] = 0  # padding
        loss = loss + (theirs[name] * torch.from_numpy(douts[name])).sum()
    loss.backward()
    grads = model.backward(douts, cache)

    parameters = dict(reference.named_parameters())
    offset = len(case.inner) + 1 if case.inner else 0
    checked = 0
    scale = max(float(p.grad.abs().max()) for p in parameters.values() if p.grad is not None)
    for name, gradient in grads.tensors.items():
        parameter = parameters.get(name[offset:], parameters.get(name))
        if parameter is None:  # saved without the prefix of its tower
            (parameter,) = [p for full, p in parameters.items() if full.endswith("." + name)]
        expected = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        assert gradient.shape == expected.shape
        assert np.abs(gradient - expected).max() < 1e-6 * max(np.abs(expected).max(), 1e-3 * scale), name
        checked += 1
    assert checked > 20
    for name in floating:
        assert relative(grads.inputs[name], tensors[name].grad) < 1e-6, name

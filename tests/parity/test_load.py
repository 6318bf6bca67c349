"""Loaded models against transformers: outputs, hidden states, attention weights and gradients of every family."""

import numpy as np
import pytest

import headwise as hw
from helpers.pretrained import CASES, TEXTS, build, inputs

pytest.importorskip("safetensors")
torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="transformers builds the models to compare with: make parity")
pytestmark = pytest.mark.parity

from safetensors.numpy import load_file  # noqa: E402 - after the checks of what is installed


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


def in_float64(model):
    """The same model with float64 in the places where transformers computes in float32 whatever the type."""

    def exact(module):
        def forward(x):
            epsilon = getattr(module, "eps", None) or module.variance_epsilon
            normal = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)
            return normal * (1 + module.weight if type(module).__name__.startswith("Gemma") else module.weight)

        return forward

    for module in model.double().modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = exact(module)
    return model


def saved_gradients(model, folder):
    """The gradients by the names that the tensors have in the file: saved in place of the parameters."""
    with torch.no_grad():
        for parameter in model.parameters():
            missing = torch.full_like(parameter, torch.nan)
            parameter.copy_(missing if parameter.grad is None else parameter.grad)
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients(case, tmp_path):
    whole = in_float64(build(case, tmp_path))
    if not case.eager_only:
        whole.set_attn_implementation("sdpa")  # eager attention computes its softmax in float32
    reference = submodule(whole, case.inner)
    arrays = inputs(case, np.float64)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    floating = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
    for name in floating:
        tensors[name].requires_grad_()
    theirs = reference(**tensors, **case.call)
    ours, cache = (model := hw.load(tmp_path, dtype=np.float64)).forward(**arrays)

    rng, douts, loss = np.random.default_rng(3), {}, 0.0
    for name in [name for name in ours if name in theirs]:
        douts[name] = rng.normal(size=ours[name].shape)
        if (rows := valid(case, arrays, ours[name])) is not None:
            douts[name][~rows] = 0  # padding
        loss = loss + (theirs[name] * torch.from_numpy(douts[name])).sum()
    loss.backward()
    grads = model.backward(douts, cache)

    for name in floating:
        assert relative(grads.inputs[name], tensors[name].grad) < 1e-6, name
    expected = saved_gradients(whole, tmp_path / "gradients")
    assert len(grads.tensors) > 20
    largest = max(np.abs(gradient).max() for gradient in grads.tensors.values())
    for name, gradient in grads.tensors.items():
        if np.isnan(expected[name]).all():  # not trained, or of no influence
            assert "embed_positions" in name or np.abs(gradient).max() < 1e-9, name
            continue
        assert gradient.shape == expected[name].shape
        # some gradients are zero but for rounding: those of the keys' biases
        size = max(np.abs(expected[name]).max(), 1e-4 * largest)
        assert np.abs(gradient - expected[name]).max() < 1e-6 * size, name

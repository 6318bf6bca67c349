"""Errors of a loaded model against the model of transformers it was saved from."""

import numpy as np
import torch
from safetensors.numpy import load_file

import headwise as hw
from helpers.pretrained import TEXTS, build, inputs

__all__ = ["forward_errors", "gradient_error"]


def forward_errors(case, folder):
    """Largest relative error of the outputs and hidden states, and largest error of the attention weights."""
    reference = submodule(build(case, folder), case.inner)
    arrays = inputs(case)
    with torch.no_grad():
        theirs = reference(
            **{name: torch.from_numpy(array) for name, array in arrays.items()},
            **case.call,
            output_hidden_states=True,
            output_attentions=True,
        )
    ours = hw.load(folder)(**arrays, output_hidden_states=True, output_attentions=True)

    compared = [name for name in ours if name in theirs and name not in ("hidden_states", "attentions")]
    pairs = [(ours[name], theirs[name]) for name in compared]
    if case.name != "albert-groups":  # a hidden state of transformers follows each group, not each block
        pairs += zip(ours.hidden_states, theirs.hidden_states, strict=True)
    assert compared
    states = max(_relative(a, b.numpy(), _valid(arrays, a)) for a, b in pairs)
    rows = arrays["attention_mask"].astype(bool) if case in TEXTS else slice(None)
    weights = max(
        np.abs(a - b.numpy()).swapaxes(1, 2)[rows].max()
        for a, b in zip(ours.attentions, theirs.attentions, strict=True)
    )
    return float(states), float(weights)


def gradient_error(case, folder):
    """Largest error of a gradient in float64 against autograd, relative to the largest number of its tensor."""
    whole = in_float64(build(case, folder))
    if not case.eager_only:
        whole.set_attn_implementation("sdpa")  # eager attention computes its softmax in float32
    reference = submodule(whole, case.inner)
    arrays = inputs(case, np.float64)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    floating = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
    for name in floating:
        tensors[name].requires_grad_()
    theirs = reference(**tensors, **case.call)
    model = hw.load(folder, dtype=np.float64)
    ours, cache = model.forward(**arrays)

    rng, douts, loss = np.random.default_rng(3), {}, 0.0
    for name in [name for name in ours if name in theirs]:
        douts[name] = rng.normal(size=ours[name].shape)
        if (rows := _valid(arrays, ours[name])) is not None:
            douts[name][~rows] = 0  # padding
        loss = loss + (theirs[name] * torch.from_numpy(douts[name])).sum()
    loss.backward()
    grads = model.backward(douts, cache)

    errors = [_relative(grads.inputs[name], tensors[name].grad.numpy()) for name in floating]
    expected = _saved_gradients(whole, folder / "gradients")
    assert len(grads.tensors) > 20
    largest = max(np.abs(gradient).max() for gradient in grads.tensors.values())
    for name, gradient in grads.tensors.items():
        if np.isnan(expected[name]).all():  # not trained, or of no influence
            assert "embed_positions" in name or np.abs(gradient).max() < 1e-9, name
            continue
        assert gradient.shape == expected[name].shape
        # some gradients are zero but for rounding: those of the keys' biases
        size = max(np.abs(expected[name]).max(), 1e-4 * largest)
        errors.append(np.abs(gradient - expected[name]).max() / size)
    return float(max(errors))


def submodule(model, path):
    """The part of a model that a case compares with."""
    for name in filter(None, path.split(".")):
        model = getattr(model, name)
    return model


def in_float64(model):
    """The same model with float64 where transformers computes in float32 whatever the type."""

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


def _saved_gradients(model, folder):
    """The gradients by the names that the tensors have in the file: saved in place of the parameters."""
    with torch.no_grad():
        for parameter in model.parameters():
            missing = torch.full_like(parameter, torch.nan)
            parameter.copy_(missing if parameter.grad is None else parameter.grad)
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def _relative(ours, theirs, rows=None):
    assert ours.shape == theirs.shape
    if rows is not None:
        ours, theirs = ours[rows], theirs[rows]
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30)


def _valid(arrays, array):
    """Which rows of (B, N, ...) are not padding; there models may return anything."""
    mask = arrays.get("attention_mask")
    return None if mask is None or array.shape[:2] != mask.shape else mask.astype(bool)

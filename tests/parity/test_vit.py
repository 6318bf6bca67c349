"""The vision transformer against the same model in torch, weights copied over: loss, gradients, a hundred steps."""

import numpy as np
import pytest

from headwise.models.vit import ViTConfig, vit_backward, vit_forward, vit_params
from headwise.nn import cross_entropy_backward, cross_entropy_forward, flatten, unflatten
from headwise.train.adamw import AdamW, adamw_step, clip_norm, weight_decay_mask

torch = pytest.importorskip("torch")
TorchViT = pytest.importorskip("torch_vit").TorchViT
pytestmark = pytest.mark.parity

MODEL = ViTConfig()


@pytest.fixture(params=["7x7", "4x4", "rows"])
def model(request):
    return ViTConfig(tokenizer=request.param)


def both(model, rng, dtype):
    params = {name: array.astype(dtype) for name, array in vit_params(model, rng).items()}
    return params, TorchViT(model, params)


def test_loss_and_gradients(model, rng):
    params, peer = both(model, rng, np.float64)
    images, labels = rng.random((5, 28, 28)), rng.integers(0, 10, 5)
    logits, cache = vit_forward(images, params, model)
    loss, loss_cache = cross_entropy_forward(logits, labels)
    grads = vit_backward(cross_entropy_backward(loss_cache), cache)

    peer_logits = peer(torch.from_numpy(images))
    peer_loss = torch.nn.functional.cross_entropy(peer_logits, torch.from_numpy(labels))
    peer_loss.backward()

    np.testing.assert_allclose(logits, peer_logits.detach().numpy(), rtol=1e-11, atol=1e-12)
    assert loss == pytest.approx(peer_loss.item(), rel=1e-13)
    peer_grads = peer.gradients()
    assert grads.keys() == peer_grads.keys()
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, peer_grads[name], rtol=1e-9, atol=1e-13, err_msg=name)


def test_a_hundred_steps(rng):
    """In float64, where rounding stays small, a hundred steps of clipping and AdamW end with the same weights."""
    params, peer = both(MODEL, rng, np.float64)
    vector = flatten(params)
    memory, decays = AdamW.zeros(vector), weight_decay_mask(params)
    optimiser = torch.optim.AdamW(
        [
            {"params": peer.those(decays=True), "weight_decay": 0.05},
            {"params": peer.those(decays=False), "weight_decay": 0.0},
        ],
        lr=1e-3,
    )
    for _ in range(100):
        images, labels = rng.random((4, 28, 28)), rng.integers(0, 10, 4)
        now = unflatten(vector, params)
        logits, cache = vit_forward(images, now, MODEL)
        loss, loss_cache = cross_entropy_forward(logits, labels)
        gradient = flatten(vit_backward(cross_entropy_backward(loss_cache), cache))
        clip_norm(gradient, 1.0)
        adamw_step(vector, gradient, memory, learning_rate=1e-3, weight_decay=0.05, decay_mask=decays)

        optimiser.zero_grad()
        peer_loss = torch.nn.functional.cross_entropy(peer(torch.from_numpy(images)), torch.from_numpy(labels))
        peer_loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimiser.step()
        assert loss == pytest.approx(peer_loss.item(), rel=1e-6)
    for name, array in unflatten(vector, params).items():
        np.testing.assert_allclose(array, peer.named()[name], rtol=1e-5, atol=1e-7, err_msg=name)

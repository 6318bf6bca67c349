import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.models.vit import ViTConfig, predict_with_attention, vit_backward, vit_forward, vit_params
from headwise.nn.losses import cross_entropy_backward, cross_entropy_forward
from helpers.oracles import check_gradients

TINY = ViTConfig(tokenizer="2x3", image_size=(4, 6), d_model=6, n_layers=2, n_heads=3, d_ff=5, n_classes=3)


@pytest.fixture
def params(rng):
    return {name: rng.normal(size=array.shape) for name, array in vit_params(TINY, rng).items()}


def test_backward_equals_central_differences(params, rng):
    images, labels = rng.random((2, 4, 6)), np.array([2, 0])
    logits, cache = vit_forward(images, params, TINY)
    _, loss_cache = cross_entropy_forward(logits, labels)
    grads = vit_backward(cross_entropy_backward(loss_cache), cache)
    assert grads.keys() == params.keys()

    def loss(*arrays):
        return np.array(
            cross_entropy_forward(vit_forward(images, dict(zip(params, arrays, strict=True)), TINY)[0], labels)[0]
        )

    check_gradients(loss, list(params.values()), [grads[name] for name in params], np.array(1.0))


def test_parameters_of_the_standard_model(rng):
    sizes = {name: array.size for name, array in vit_params(ViTConfig(), rng).items()}
    assert sum(sizes.values()) == 139_018
    rows = {name: array.size for name, array in vit_params(ViTConfig(tokenizer="rows"), rng).items()}
    assert {name for name in sizes if sizes[name] != rows[name]} == {"embedding.token.weight", "embedding.positions"}
    assert rows["embedding.token.weight"] == 64 * 28
    assert rows["embedding.positions"] == (1 + 28) * 64


def test_an_item_does_not_depend_on_its_batch(params, rng):
    images = rng.random((3, 4, 6))
    together, _ = vit_forward(images, params, TINY)
    for i in range(3):
        np.testing.assert_allclose(vit_forward(images[i : i + 1], params, TINY)[0][0], together[i], atol=1e-12)


def test_look(params, rng):
    seen = predict_with_attention(rng.random((3, 4, 6)), params, TINY)
    assert seen.probabilities.shape == (3, 3)
    assert seen.weights.shape == (3, 2, 3, 5, 5)  # image, layer, head, query, key: four patches and the class token
    np.testing.assert_allclose(seen.weights.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(seen.probabilities.sum(-1), 1, atol=1e-12)


def test_asking_for_the_weights_changes_nothing_else(params, rng):
    images, dlogits = rng.random((3, 4, 6)), rng.normal(size=(3, 3))
    found = [vit_forward(images, params, TINY, return_weights=wanted) for wanted in (False, True)]
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-12)
    grads = [vit_backward(dlogits, cache) for _, cache in found]
    for name in params:
        np.testing.assert_allclose(grads[0][name], grads[1][name], atol=1e-12)


def test_refusals(params):
    with pytest.raises(ShapeError, match=r"images: expected \(B, 4, 6\); got \(2, 6, 4\)\. Transposed\?"):
        vit_forward(np.zeros((2, 6, 4)), params, TINY)
    with pytest.raises(DataError, match=r"images: expected float64, .*; got float32"):
        vit_forward(np.zeros((2, 4, 6), np.float32), params, TINY)
    with pytest.raises(ShapeError, match=r"patch height .* \(1, 2, 4, 7, 14, 28\)"):
        ViTConfig(tokenizer="5x7")
    with pytest.raises(ShapeError, match="n_heads: expected a divisor of d_model 64"):
        ViTConfig(n_heads=5)
    for name in ("d_model", "n_layers", "n_heads", "d_ff", "n_classes"):
        with pytest.raises(DataError, match=f"{name}: expected 1 or more; got 0"):
            ViTConfig(**{"n_heads": 1, name: 0})

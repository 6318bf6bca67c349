"""Each layer's backward pass against central differences in float64, with random cotangents."""

import numpy as np
import pytest

from headwise.nn.activation_functions import activation_backward, activation_forward
from headwise.nn.attention import (
    self_attention_layer_backward,
    self_attention_layer_forward,
    self_attention_layer_params,
)
from headwise.nn.layer_norm import layer_norm_backward, layer_norm_forward, layer_norm_params
from headwise.nn.linear import linear_backward, linear_forward, linear_params
from headwise.nn.losses import cross_entropy_backward, cross_entropy_forward
from headwise.nn.params import flatten, subtree, unflatten, with_prefix
from headwise.nn.patch_embedding import embedding_backward, embedding_forward, embedding_params
from headwise.nn.transformer_block import (
    block_backward,
    block_forward,
    block_params,
    mlp_backward,
    mlp_forward,
    mlp_params,
)
from helpers.oracles import check_gradients, self_attention_loop

B, N, D, H, F = 2, 5, 6, 3, 7


def random_params(params, rng):
    """The shapes of `params`, in float64 and without the zeros and ones that hide a wrong factor."""
    return {name: rng.normal(size=array.shape) for name, array in params.items()}


LAYERS = {
    "linear": (lambda rng: linear_params(D, F, rng), linear_forward, linear_backward),
    "layer norm": (lambda rng: layer_norm_params(D), layer_norm_forward, layer_norm_backward),
    "gelu": (
        lambda rng: {},
        lambda x, params: activation_forward(x, "gelu_tanh"),
        lambda dy, cache: (activation_backward(dy, cache), {}),
    ),
    "mlp": (lambda rng: mlp_params(D, F, rng), mlp_forward, mlp_backward),
    "self-attention": (
        lambda rng: self_attention_layer_params(D, rng),
        lambda x, params: self_attention_layer_forward(x, params, heads=H),
        self_attention_layer_backward,
    ),
    "block": (
        lambda rng: block_params(D, F, rng),
        lambda x, params: block_forward(x, params, heads=H),
        block_backward,
    ),
    "self-attention, two asking": (
        lambda rng: self_attention_layer_params(D, rng),
        lambda x, params: self_attention_layer_forward(x, params, heads=H, num_queries=2, residual=x[:, :2] ** 0),
        self_attention_layer_backward,
    ),
    "block, one asking": (
        lambda rng: block_params(D, F, rng),
        lambda x, params: block_forward(x, params, heads=H, num_queries=1),
        block_backward,
    ),
    "embedding": (lambda rng: embedding_params(N, D, F, rng), embedding_forward, embedding_backward),
}


@pytest.mark.parametrize("name", LAYERS)
def test_backward_equals_central_differences(name, rng):
    make, forward, backward = LAYERS[name]
    params = random_params(make(rng), rng)
    x = rng.normal(size=(B, N, D))
    y, cache = forward(x, params)
    dy = rng.normal(size=y.shape)
    before = dy.copy()
    dx, grads = backward(dy, cache)
    assert grads.keys() == params.keys()
    np.testing.assert_array_equal(dy, before)  # a cotangent is the caller's

    def f(x, *arrays):
        return forward(x, dict(zip(params, arrays, strict=True)))[0]

    check_gradients(f, [x, *params.values()], [dx, *(grads[name] for name in params)], dy)


def test_cross_entropy(rng):
    logits, labels = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 2])
    loss, cache = cross_entropy_forward(logits, labels)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert loss == pytest.approx(-np.log(p[range(5), labels]).mean(), rel=1e-14)
    check_gradients(
        lambda x: np.array(cross_entropy_forward(x, labels)[0]),
        [logits],
        [1.7 * cross_entropy_backward(cache)],
        np.array(1.7),
    )


def test_cross_entropy_of_large_logits(rng):
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    loss, cache = cross_entropy_forward(logits, np.array([0, 0]))
    assert loss == 1e4
    assert np.isfinite(cross_entropy_backward(cache)).all()


def test_layer_norm_has_mean_zero_and_variance_one(rng):
    x = 3 + 5 * rng.normal(size=(B, N, 101))
    y, _ = layer_norm_forward(x, layer_norm_params(101))
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(-1), 1, atol=1e-5)


def test_gelu_is_close_to_its_definition():
    from scipy.stats import norm

    x = np.linspace(-6, 6, 1001)
    np.testing.assert_allclose(activation_forward(x, "gelu_tanh")[0], x * norm.cdf(x), atol=5e-4)


def test_attention_layer_equals_a_loop(rng):
    params = random_params(self_attention_layer_params(D, rng), rng)
    x = rng.normal(size=(B, N, D))
    y, cache = self_attention_layer_forward(x, params, heads=H, return_weights=True)
    thirds = list(zip(np.split(params["qkv.weight"], 3), np.split(params["qkv.bias"], 3), strict=True))
    d = D // H
    for item in range(B):
        heads = []
        for h in range(H):
            own = slice(h * d, (h + 1) * d)
            (Wq, bq), (Wk, bk), (Wv, bv) = ((weight[own], bias[own]) for weight, bias in thirds)
            output, weights = self_attention_loop(x[item], Wq, Wk, Wv, bq, bk, bv)
            heads.append(output)
            np.testing.assert_allclose(cache.weights[item, h], weights, atol=1e-12)
        joined = np.concatenate(heads, axis=1)
        np.testing.assert_allclose(y[item], joined @ params["output.weight"].T + params["output.bias"], atol=1e-12)


def test_packing_and_scoping_are_undone(rng):
    params = random_params(block_params(D, F, rng), rng)
    back = unflatten(flatten(params), params)
    assert list(back) == list(params)
    for name, array in params.items():
        np.testing.assert_array_equal(back[name], array)
    assert with_prefix("mlp", subtree(params, "mlp")).keys() <= params.keys()

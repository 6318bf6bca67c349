"""Functions of torch and JAX whose output is right and whose gradients are not."""

import pytest

import headwise as hw

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")


def right(q, k, v):
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v


def narrow(q, k, v):
    return (torch.softmax((q @ k.mT).float() / q.shape[-1] ** 0.5, dim=-1) @ v.float()).to(q.dtype)


def detached(q, k, v):
    return right(q, k.detach(), v)


def of_constant_weights(x, W_q, W_k, W_v):
    with torch.no_grad():
        weights = torch.softmax((x @ W_q) @ (x @ W_k).mT / W_q.shape[-1] ** 0.5, dim=-1)
    return weights @ (x @ W_v)


@torch.no_grad()
def without_gradients(q, k, v):
    return right(q, k, v)


def of_a_module(x, in_proj_weight, out_weight, num_heads):
    """x: (batch, seq, dim)"""
    layer = torch.nn.MultiheadAttention(x.shape[-1], num_heads, bias=False, batch_first=True, dtype=x.dtype)
    with torch.no_grad():
        layer.in_proj_weight.copy_(in_proj_weight)
        layer.out_proj.weight.copy_(out_weight)
    return layer(x, x, x, need_weights=False)[0]


def in_place(q, k, v):
    """The division in place takes away what the exponential's gradient needs."""
    s = q @ k.mT / q.shape[-1] ** 0.5
    weights = torch.exp(s - s.amax(-1, keepdim=True))
    weights /= weights.sum(-1, keepdim=True)
    return weights @ v


def in_jax(q, k, v):
    """(h, n, d)"""
    return jax.nn.softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, axis=-1) @ v


def stopped_in_jax(q, k, v):
    """(h, n, d)"""
    return jax.lax.stop_gradient(jax.nn.softmax(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, axis=-1)) @ v


@pytest.mark.parametrize("function", [right, narrow, in_jax])
def test_right_gradients_are_tested(function):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert "its gradients" not in verdict.untested


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (detached, "to k are"),
        (of_constant_weights, "to x and W_q and W_k are"),
        (stopped_in_jax, "to q and k and v are"),
    ],
)
def test_wrong_gradients_are_not_right(function, names):
    verdict = hw.check(function)
    assert verdict.mistakes == ("unknown",)
    assert "its outputs are those of" in verdict.report()
    assert "It agrees with the definition on all" in verdict.report()
    assert any("gradients with respect " + names in note for note in verdict.notes)


@pytest.mark.parametrize("function", [without_gradients, of_a_module, in_place])
def test_a_function_without_gradients_is_right(function):
    verdict = hw.check(function)
    assert verdict.ok
    assert "its gradients" in verdict.untested


def test_small_differences_in_float32_are_not_taken_for_half_precision():
    def clipped(q, k, v):
        """(h, n, d)"""
        logits = jax.numpy.clip(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, -10, 10)
        return jax.nn.softmax(logits, axis=-1) @ v

    assert hw.check(clipped).mistakes == ("unknown",)


def test_of_half_precision_gradients_are_not_tested():
    def half(q, k, v):
        q, k, v = q.half(), k.half(), v.half()
        return (torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v).double()

    verdict = hw.check(half)
    assert verdict.ok
    assert "its gradients" in verdict.untested

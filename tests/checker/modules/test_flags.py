"""Flags, masks and widths in forms that are less usual, dropout of logits, and arrays that become tensors."""

import pytest

import headwise as hw
from headwise.errors import DataError

torch = pytest.importorskip("torch")
layers = pytest.importorskip("layers.flags_layers")
pytestmark = pytest.mark.parity

MISTAKES = {
    "Separate": (),
    "SeparateOfModelWidth": ("scale-model-width",),
    "MaskOfContextFirst": (),
    "WithinWindow": (),
    "WithinBlocks": ("unknown",),
    "FusedWithDropout": (),
    "KeysPassed": (),
    "RotationOff": (),
    "MaskOfQueriesAndOfKeys": (),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    assert hw.check(getattr(layers, name)).mistakes == MISTAKES[name]


def test_what_cannot_be_copied_is_refused():
    layer = layers.RotationOff()
    layer.helper = staticmethod(len)
    with pytest.raises(DataError, match="RotationOff: cannot be copied"):
        hw.check(layer)


def test_a_mask_of_the_context_that_is_left_out_is_a_mistake():
    assert not hw.check(layers.MaskOfContextForgotten).ok


def with_dropout_of_logits(q, k, v, dropout_p=0.1):
    s = torch.nn.functional.dropout(q @ k.mT / q.shape[-1] ** 0.5, dropout_p)
    return s.softmax(-1) @ v


def test_dropout_of_logits_is_named():
    assert hw.check(with_dropout_of_logits).mistakes == ("dropout-active",)


def of_arrays(q, k, v):
    assert q.dtype.name  # of NumPy's types
    q, k, v = map(torch.as_tensor, (q, k, v))
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def test_gradients_of_a_function_of_arrays_in_torch_do_not_stop_the_check():
    assert hw.check(of_arrays).ok


class OfTensors:
    """Tensors without nn.Module, of which one is a bias."""

    def __init__(self, dim=12, n_heads=3):
        self.n_heads = n_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (torch.randn(dim, dim) / dim**0.5 for _ in range(4))
        self.b_o = torch.zeros(dim)

    def __call__(self, x):
        q, k, v = (torch.stack((x @ w).chunk(self.n_heads, -1), -3) for w in (self.w_q, self.w_k, self.w_v))
        o = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v
        return torch.cat(o.unbind(-3), -1) @ self.w_o + self.b_o


def test_tensors_without_a_module_are_all_brought_to_one_type():
    assert hw.check(OfTensors).ok

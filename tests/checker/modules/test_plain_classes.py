"""Plain classes that hold their weights: the verdict, what was inferred, and what cannot be checked."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError, HeadwiseError
from layers import plain_layers as layers

VERDICTS = {
    layers.SelfAttention: (),
    layers.Unscaled: ("scale-missing",),
    layers.OverQueries: ("softmax-axis",),
    layers.OfBoxes: (),
    layers.OfBoxesUnscaled: ("scale-missing",),
    layers.MultiHead: (),
    layers.MergedUnmoved: ("heads-merged-unmoved",),
    layers.ValuesFromKeys: ("values-are-keys",),
    layers.OutIn: (),
    layers.Fused: (),
    layers.Encoder: (),
    layers.TurnedAndKept: (),
    layers.TurnedAndKeptUnscaled: ("scale-missing",),
    layers.OfNamedTuple: (),
    layers.OfNamedTupleUnscaled: ("scale-missing",),
    layers.OfFrozenDataclass: (),
    layers.OfUnnamedLayers: (),
    layers.OfUnnamedLayersUnscaled: ("scale-missing",),
    layers.ToWindow: (),
    layers.ToWindowLessOne: ("window-off-by-one",),
    layers.OutputMatrixTransposed: ("output-projection-transposed",),
}


def report(*args, **kwargs):
    """The report in one line."""
    return " ".join(hw.check(*args, **kwargs).report().split())


@pytest.mark.sampled
@pytest.mark.parametrize(("cls", "mistakes"), VERDICTS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_each_class_has_its_verdict(cls, mistakes):
    verdict = hw.check(cls)
    assert verdict.mistakes == mistakes
    assert verdict.ok == (not mistakes)


def test_an_instance_and_its_method_have_the_same_verdict():
    instance = layers.MergedUnmoved(15, 5)
    before = instance.Wq.copy()
    assert hw.check(instance).mistakes == hw.check(instance.forward).mistakes == ("heads-merged-unmoved",)
    assert (instance.Wq == before).all()


def test_heads_orders_and_conventions_are_reported():
    assert "3 heads" in report(layers.Fused(12, 3))
    assert "(H, 3, d)" in report(layers.Fused(12, 3))
    assert "(in, out)" in report(layers.MultiHead(12, 3))
    assert "causal-unasked" in hw.check(layers.OutIn(12, 3)).conventions


def test_attention_among_other_layers_is_found_by_name():
    with pytest.raises(DataError, match=r"layers\.0\.attention, layers\.1\.attention"):
        hw.check(layers.TwoLayers(12, 3))
    assert hw.check(layers.TwoLayers(12, 3), inside="layers.1.attention").ok
    assert hw.check(layers.TwoLayers(12, 3), inside="layers.1").ok
    with pytest.raises(DataError, match="inside"):
        hw.check(layers.TwoLayers(12, 3), inside="layers.5")


def test_arguments_of_the_class_can_be_given():
    assert "5 heads" in report(layers.MultiHead, init="d_model=15, num_heads=5")
    assert "5 heads" in report(layers.MultiHead, init={"d_model": 15, "num_heads": 5})


@pytest.mark.parametrize("cls", [layers.NoAttention, layers.Unknowable])
def test_what_cannot_be_checked_is_refused_in_one_line(cls):
    with pytest.raises(HeadwiseError) as error:
        hw.check(cls)
    assert len(str(error.value).splitlines()) == 1


def test_the_weights_of_the_checked_object_stay():
    instance = layers.SelfAttention(7, 5)
    before = [np.copy(a) for a in (instance.W_q, instance.W_k, instance.W_v)]
    hw.check(instance)
    assert all((a == b).all() for a, b in zip(before, (instance.W_q, instance.W_k, instance.W_v), strict=True))


@pytest.mark.parity
@pytest.mark.parametrize(("divisor", "mistakes"), [(2.0, ()), (1.0, ("scale-missing",))])
def test_a_class_may_hold_tensors(divisor, mistakes):
    torch = pytest.importorskip("torch")

    class Attention:
        def __init__(self):
            self.heads, self.hidden = 3, torch.ones(50, 50).triu(1)
            self.W_q, self.W_k, self.W_v = (torch.randn(12, 12) for _ in range(3))
            self.W_o = torch.randn(12, 12, requires_grad=True)

        def forward(self, x):
            q, k, v = ((x @ w).unflatten(-1, (self.heads, -1)).transpose(1, 2) for w in (self.W_q, self.W_k, self.W_v))
            scores = (q @ k.mT / divisor).masked_fill(self.hidden[: x.shape[1], : x.shape[1]] == 1, -torch.inf)
            return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) @ self.W_o

    verdict = hw.check(Attention())
    assert verdict.mistakes == mistakes
    assert "causal-unasked" in verdict.conventions


def test_a_layer_that_never_runs_is_refused_soon():
    calls = []

    class NeverRuns:
        """A layer with many ways of calling it, none of which works."""

        def __init__(self):
            self.Wq = self.Wk = self.Wv = self.Wo = np.eye(32)
            self.num_heads = 4

        def forward(self, x, position_embeddings, attention_mask, position_ids=None):
            calls.append(position_embeddings)
            raise ValueError("too many values to unpack")

    with pytest.raises(DataError, match="too many values"):
        hw.check(NeverRuns)
    assert len(calls) < 10_000


class Incomparable:
    """As a key of random numbers of JAX is, which no operator takes."""

    def __eq__(self, other):
        raise TypeError("equal does not accept keys")

    __hash__ = None


def test_defaults_may_be_objects_that_cannot_be_compared():
    class Seeded(layers.SelfAttention):
        def __init__(self, d_model=9, d_k=4, key=Incomparable()):  # noqa: B008
            super().__init__(d_model, d_k)

    assert hw.check(Seeded).ok

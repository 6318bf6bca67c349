"""Attention layers of torch in the styles in use: verdicts, conventions, and the attention inside a model."""

import pytest

import headwise as hw
from headwise.errors import DataError

torch = pytest.importorskip("torch")
layers = pytest.importorskip("layers.torch_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "VisionAttention": ((), ()),
    "VisionUnscaled": (("scale-missing",), ()),
    "VisionOverQueries": (("softmax-axis",), ()),
    "VisionMergedUnmoved": (("heads-merged-unmoved",), ()),
    "PreNormAttention": ((), ("norm-inside",)),
    "ContextAttention": ((), ()),
    "ContextIgnored": (("context-ignored",), ()),
    "BertAttention": ((), ("mask-additive",)),
    "CausalSelfAttention": ((), ()),
    "CausalUnscaled": (("scale-missing",), ()),
    "CausalModelWidth": (("scale-model-width",), ()),
    "CausalAfterSoftmax": (("mask-after-softmax",), ()),
    "Head": ((), ("causal-unasked",)),
    "ManyHeads": ((), ("causal-unasked",)),
    "ManyHeadsModelWidth": (("scale-model-width",), ("causal-unasked",)),
    "AnnotatedAttention": ((), ()),
    "AnnotatedMaskDiscarded": (("mask-ignored",), ()),
    "SharedSmallProjection": ((), ()),
    "SharedModelWidth": (("scale-model-width",), ()),
    "RawParameters": ((), ()),
    "HeadStack": ((), ("causal-unasked",)),
    "HeadsThenParts": ((), ()),
    "TimeFirst": ((), ("tokens-before-batch", "padding-hides")),
    "TimeFirstInverted": (("mask-inverted",), ("tokens-before-batch",)),
    "PostNormAttention": ((), ("norm-inside", "residual-inside")),
    "GroupedRotary": ((), ("rope", "causal-unasked")),
    "ComplexRotations": ((), ("rope", "causal-unasked")),
    "GroupedTiled": (("groups-tiled",), ("rope",)),
    "PixelAttention": ((), ("residual-inside",)),
    "PixelUnscaled": (("scale-missing",), ("residual-inside",)),
    "Wrapped": ((), ()),
    "WrappedTimeFirst": (("batch-mixed",), ()),
    "KeysReused": (("weights-reused",), ()),
    "SplitUnmoved": (("heads-split-unmoved",), ()),
    "DropoutAlways": (("dropout-active",), ()),
    "Block": ((), ()),
    "LazyWidths": ((), ()),
    "LazyUnscaled": (("scale-missing",), ()),
    "SlicesOfFeatures": ((), ()),
    "SlicesModelWidth": (("scale-model-width",), ()),
    "BatchNormFirst": ((), ()),
    "BatchNormUnscaled": (("scale-missing",), ()),
    "BucketsOfDistances": ((), ("position-bias",)),
    "LatentsToTokens": ((), ("context-and-tokens",)),
    "NarrowQueries": (("scale-missing",), ("residual-inside",)),
    "NarrowQueriesOfSagan": ((), ("unscaled", "residual-inside")),
    "LengthsRequired": ((), ()),
    "LengthsRequiredLate": (("lengths-off-by-one",), ()),
}


def report(layer):
    """The report in one line."""
    return " ".join(hw.check(layer).report().split())


@pytest.mark.parametrize("name", VERDICTS)
def test_each_layer_has_its_verdict(name):
    mistakes, conventions = VERDICTS[name]
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == mistakes
    assert set(conventions) <= set(verdict.conventions)


def test_layers_that_are_variables_of_a_function():
    assert hw.check(layers.mix_with_variables).mistakes == ()
    assert hw.check(layers.mix_keys_with_variables).mistakes == ("values-are-keys",)


def test_every_layer_is_in_the_table():
    classes = {
        name for name, value in vars(layers).items() if isinstance(value, type) and value.__module__ == layers.__name__
    }
    modules = {name for name in classes if issubclass(getattr(layers, name), torch.nn.Module)}
    assert modules == {*VERDICTS, "Model", "HeadModelWidth"}


def test_the_order_of_a_fused_matrix_and_the_heads_are_reported():
    assert "(3, H, d)" in report(layers.VisionAttention(20, 5))
    assert "5 heads" in report(layers.VisionAttention(20, 5))
    assert "(H, 3, d)" in report(layers.HeadsThenParts(12, 12, 3))


def test_torch_s_own_layer_is_right_in_both_layouts():
    first, batch_first = (torch.nn.MultiheadAttention(12, 3, batch_first=b) for b in (False, True))
    assert hw.check(first).ok
    assert "tokens-before-batch" in hw.check(first).conventions
    assert hw.check(batch_first).ok
    assert hw.check(torch.nn.MultiheadAttention(12, 3, kdim=10, vdim=10, batch_first=True)).ok


def test_a_layer_is_left_as_it_was():
    layer = layers.VisionAttention(12, 3).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    hw.check(layer)
    assert layer.training
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert layer.qkv.weight.dtype == torch.float32


def test_the_bound_method_is_the_layer():
    assert hw.check(layers.VisionUnscaled(12, 3).forward).mistakes == ("scale-missing",)


def test_attention_inside_a_model_is_chosen_by_name():
    config = layers.GPTConfig(block_size=16, n_head=3, n_embd=12)
    with pytest.raises(DataError, match=r"layers\.0\.attn, layers\.1\.attn"):
        hw.check(layers.Model(config))
    verdict = hw.check(layers.Model(config), inside="layers.1.attn")
    assert verdict.ok
    assert verdict.name == "Model.layers.1.attn"


def test_a_layer_without_weights_is_attention_of_q_k_and_v():
    class DotProduct(torch.nn.Module):
        def forward(self, query, key, value):
            return torch.softmax(query @ key.transpose(-2, -1), -1) @ value

    assert hw.check(DotProduct()).mistakes == ("scale-missing",)


def test_lazy_layers_are_initialised_on_a_copy():
    layer = layers.LazyWidths(12, 3)
    assert hw.check(layer).ok
    assert torch.nn.parameter.is_lazy(layer.W_q.weight)


def test_lazy_layers_without_a_usual_call_are_refused():
    class OfWords(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(7, 12)
            self.q, self.k, self.v = (torch.nn.LazyLinear(12) for _ in range(3))

        def forward(self, words):
            x = self.words(words)
            return torch.softmax(self.q(x) @ self.k(x).mT / 12**0.5, -1) @ self.v(x)

    with pytest.raises(DataError, match=r"OfWords: its lazy layers have no sizes yet.*Call the module once"):
        hw.check(OfWords())


def test_projections_before_an_attention_are_named_next_to_it():
    layer = torch.nn.Module()
    layer.multihead_attn = torch.nn.MultiheadAttention(16, 4)
    layer.q_proj, layer.k_proj, layer.v_proj = (torch.nn.Linear(16, 16) for _ in "qkv")
    layer.forward = lambda x: layer.multihead_attn(layer.q_proj(x), layer.k_proj(x), layer.v_proj(x))[0]
    with pytest.raises(DataError, match=r"it holds multihead_attn next to projections of its own\."):
        hw.check(layer)

"""Attention written in torch in every way people write it: captured weights against those of the code itself."""

import functools
import resource
from dataclasses import replace

import numpy as np
import pytest

import headwise as hw
from headwise.errors import CaptureError, DataError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

F = torch.nn.functional
B, H, N, M, d, e = 2, 3, 5, 7, 4, 6


class Written(torch.nn.Module):
    """Attention of q, k, v (B, H, ·, ·) by a function that returns weights and output."""

    def __init__(self, attend):
        super().__init__()
        self.attend = attend

    def forward(self, q, k, v):
        self.weights, output = self.attend(q, k, v)
        return output


def qkv(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(B, H, n, w, generator=generator).to(dtype) for n, w in ((N, d), (M, d), (M, e)))


def plain(q, k, v):
    p = (q @ k.mT / d**0.5).softmax(-1)
    return p, p @ v


def baddbmm(q, k, v):
    q, k, v = (a.reshape(B * H, *a.shape[2:]) for a in (q, k, v))
    s = torch.baddbmm(torch.zeros(1, 1, M), q, k.mT, beta=1.0, alpha=0.5).view(B, H, N, M)
    p = F.softmax(s, dim=-1, dtype=torch.float32)
    return p, torch.bmm(p.view(B * H, N, M), v).view(B, H, N, e)


def einsum(q, k, v):
    s = torch.einsum("bnhd,bmhd->bhnm", q.transpose(1, 2), k.transpose(1, 2)) * 0.3
    p = F.dropout(s.softmax(dim=-1), 0.1, training=False)
    return p, torch.einsum("bhnm,bmhe->bnhe", p, v.transpose(1, 2))


def keys_first(q, k, v):
    """A transposed product, and a softmax over the first of the last two axes."""
    p = ((k * d**-0.5) @ q.mT).softmax(dim=-2)
    return p.mT, (v.mT @ p).mT


def masked(q, k, v):
    s = q @ k.mT * 0.7
    mask = torch.arange(M) < torch.tensor([M - 2, M])[:, None]
    s.masked_fill_(~mask[:, None, None], torch.finfo(s.dtype).min)
    p = s.softmax(-1)
    return p, p @ v


def biased(q, k, v):
    bias = torch.randn(H, N, M, generator=torch.Generator().manual_seed(5))
    p = torch.softmax(q @ k.mT / d**0.5 + bias, -1)
    return p, p @ v


def capped(q, k, v):
    s = q @ k.mT / d**0.5
    s = torch.tanh(s / 1.5) * 1.5
    p = s.softmax(-1)
    return p, p @ v


def cosine(q, k, v):
    """Swin v2: a temperature per head."""
    s = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * torch.tensor([1.0, 3.0, 9.0])[:, None, None]
    p = s.softmax(-1)
    return p, p @ v


def sink(q, k, v):
    """gpt-oss: a column without a value, and the maximum subtracted."""
    sinks = torch.tensor([0.5, -1.0, 2.0]).view(1, H, 1, 1).expand(B, H, N, 1)
    s = torch.cat([q @ k.mT * 0.4, sinks], dim=-1)
    p = (s - s.max(-1, keepdim=True).values).softmax(-1)[..., :-1].to(v.dtype)
    return p, p @ v


def disentangled(q, k, v):
    """DeBERTa: terms of relative positions gathered into the scores."""
    relative = torch.randn(1, H, 2 * M, d, generator=torch.Generator().manual_seed(6))
    index = (torch.arange(N)[:, None] - torch.arange(M) + M).expand(B, H, N, M)
    s = torch.bmm(q.reshape(B * H, N, d), k.reshape(B * H, M, d).mT / 3).view(B, H, N, M)
    p = (s + (q @ relative.mT).gather(-1, index) / 3).softmax(-1)
    return p, p @ v


def grouped(q, k, v):
    k, v = (a[:, :1].expand(B, H, *a.shape[2:]).reshape(a.shape) for a in (k, v))
    return plain(q, k, v)


def query_rows(q, k, v):
    """A copy in another order of axes before the product with the values."""
    p = torch.einsum("bhnd,bhmd->bnhm", q, k).softmax(-1)
    return p.transpose(1, 2), p.transpose(1, 2).contiguous() @ v


WAYS = [plain, baddbmm, einsum, keys_first, masked, biased, capped, cosine, sink, disentangled, grouped, query_rows]


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("attend", WAYS, ids=lambda f: f.__name__)
def test_written_by_hand(attend, grad):
    module = Written(attend)
    with torch.set_grad_enabled(grad):
        found = hw.capture(module, *(a.requires_grad_(grad) for a in qkv()))
    (layer,) = found.layers
    assert layer.proven, layer.message
    assert layer.error < 1e-6
    np.testing.assert_allclose(layer.weights(), module.weights.detach(), atol=2e-6)
    assert not layer.note


def test_parts_are_recognised():
    layers = {f.__name__: hw.capture(Written(f), *qkv()).layers[0] for f in WAYS}
    assert layers["plain"].scale == pytest.approx(0.5)
    assert (layers["plain"].bias, layers["plain"].mask) == (None, None)
    assert layers["capped"].softcap == pytest.approx(1.5)
    assert layers["masked"].bias is None
    assert layers["masked"].mask.first.shape == (B, 1, N)
    assert layers["biased"].bias.shape == (1, H, N, M)
    np.testing.assert_allclose(layers["sink"].sinks, [[0.5, -1, 2]], atol=1e-5)
    assert layers["sink"].bias is None
    assert layers["grouped"].k.shape == (B, 1, M, d)
    q, k, v = qkv()
    for name in ("plain", "keys_first", "query_rows"):
        layer = layers[name]
        s = layer.q @ layer.k.mT * layer.scale
        expected = q @ k.mT / (1 if name == "query_rows" else 2)
        np.testing.assert_allclose(s, expected, atol=1e-5)
        np.testing.assert_array_equal(layer.v, v)


@pytest.mark.parametrize("attend", [plain, masked, sink], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions(attend, dtype):
    def cast(q, k, v):
        p, _ = attend(q, k, v)
        return p, p.to(dtype) @ v

    module = Written(cast)
    layer = hw.capture(module, *qkv(dtype)).layers[0]
    assert layer.proven, layer.message
    assert layer.precision == str(dtype).removeprefix("torch.")
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(layer.weights(), module.weights.double(), atol=1e-12 if eps < 1e-10 else 8 * eps)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 0.3},
        {"attn_mask": torch.arange(N)[:, None] + 2 >= torch.arange(M)},
        {"attn_mask": torch.randn(H, N, M, generator=torch.Generator().manual_seed(1))},
        {"attn_mask": torch.zeros(B, 1, N, M).masked_fill(torch.arange(M) > 4, float("-inf"))},
        {"attn_mask": torch.ones(B, 1, N, M, dtype=torch.bool).tril(-1)},
        {"is_causal": True},
    ],
    ids=["plain", "scale", "boolean", "bias", "padding", "empty-row", "causal"],
)
def test_scaled_dot_product_attention(arguments):
    q, k, v = qkv()
    layer = hw.capture(F.scaled_dot_product_attention, q, k, v, **arguments).layers[0]
    reference = F.scaled_dot_product_attention(q, k, torch.eye(M).expand(B, H, M, M), **arguments)
    assert layer.proven, layer.message
    np.testing.assert_allclose(layer.weights(), reference, atol=2e-6)
    np.testing.assert_allclose(layer.weights(rows=[-1, 1]), reference[:, :, [-1, 1]], atol=2e-6)


def test_three_axes_and_grouped_heads():
    q, k, v = qkv()
    layer = hw.capture(F.scaled_dot_product_attention, q[:, 0], k[:, 0], v[:, 0]).layers[0]
    assert layer.shape == (B, 1, N, M)
    wide = torch.cat([q, q + 1], dim=1)
    layer = hw.capture(F.scaled_dot_product_attention, wide, k, v, enable_gqa=True).layers[0]
    assert (layer.shape, layer.k.shape) == ((B, 2 * H, N, M), (B, H, M, d))
    assert layer.proven


def test_flex_attention():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    q, k, v = qkv()
    blocks = flex.create_block_mask(lambda b, h, i, j: (j <= i + 2) & (j != b), B, None, N, M, device="cpu")

    def modify(score, b, h, i, j):
        return score + h * 0.1 * (i - j)

    layer = hw.capture(flex.flex_attention, q, k, v, score_mod=modify, block_mask=blocks).layers[0]
    assert layer.proven, layer.message
    i, j = torch.arange(N)[:, None], torch.arange(M)
    s = q @ k.mT / 2 + torch.arange(H)[:, None, None] * 0.1 * (i - j)
    hidden = ~((j <= i + 2) & (j != torch.arange(B)[:, None, None, None]))
    np.testing.assert_allclose(layer.weights(), s.masked_fill(hidden, float("-inf")).softmax(-1), atol=2e-6)


def encoder_and_decoder():
    torch.manual_seed(0)
    kwargs = {"d_model": 12, "nhead": 3, "dim_feedforward": 10, "batch_first": True}
    encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(**kwargs), 2, enable_nested_tensor=False)
    decoder = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(**kwargs), 2)
    return encoder.eval(), decoder.eval(), torch.randn(2, 7, 12), torch.randn(2, 5, 12)


def heads_of(module, *args, **kwargs):
    """Weights of every MultiheadAttention of a model, as torch itself returns them."""
    found = []

    def again(own, given, named, _):
        named = {**named, "need_weights": True, "average_attn_weights": False}
        found.append(own.forward(*given, **named)[1])

    hooks = [
        m.register_forward_hook(again, with_kwargs=True)
        for m in module.modules()
        if isinstance(m, torch.nn.MultiheadAttention)
    ]
    module(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("grad", [True, False])
def test_torch_encoder_and_decoder(grad):
    encoder, decoder, source, target = encoder_and_decoder()
    causal = torch.nn.Transformer.generate_square_subsequent_mask(5)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[1, 5:] = True
    with torch.set_grad_enabled(grad):
        first = hw.capture(encoder, source, src_key_padding_mask=padding)
        second = hw.capture(decoder, target, source, tgt_mask=causal, tgt_is_causal=True)
        expected = heads_of(encoder, source, src_key_padding_mask=padding)
        expected += heads_of(decoder, target, source, tgt_mask=causal, tgt_is_causal=True)
    layers = (*first.layers, *second.layers)
    assert [layer.name for layer in second.layers][:2] == ["layers.0.self_attn", "layers.0.multihead_attn"]
    assert [layer.kind for layer in layers] == ["self", "self", "self", "cross", "self", "cross"]
    for layer, weights in zip(layers, expected, strict=True):
        assert layer.proven, layer.message
        np.testing.assert_allclose(layer.weights(), weights.detach(), atol=1e-5)


def test_model_is_left_as_it_was():
    encoder, _, source, _ = encoder_and_decoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    modes = [module.training for module in encoder.modules()]
    expected = encoder(source)
    found = hw.capture(encoder, source)
    torch.testing.assert_close(found.output, expected, rtol=0, atol=1e-6)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert modes == [module.training for module in encoder.modules()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks


class Shared(torch.nn.Module):
    """One attention module called three times, and a router that is no attention."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)
        self.router = torch.nn.Linear(12, 4)

    def forward(self, x):
        for _ in range(3):
            share = self.router(x).softmax(-1)
            x = x + self.attention(x, x, x, need_weights=False)[0] * share.max(-1, keepdim=True).values
        experts = self.router(x).flatten(0, 1).topk(2).values.softmax(-1)
        return x * experts[torch.arange(len(experts)), 0].view(*x.shape[:2], 1)


def test_repeated_calls_and_routers():
    found = hw.capture(Shared().eval(), torch.randn(2, 5, 12))
    assert [(layer.name, layer.call, layer.index) for layer in found.layers] == [("attention", n, n) for n in range(3)]
    assert found.weights().shape == (2, 3, 3, 5, 5)
    assert len(found.ignored) == 2
    assert "linear layer" in found.ignored[0]
    assert "multiplied with no values" in found.ignored[1]


def test_chosen_layers():
    encoder, decoder, source, target = encoder_and_decoder()
    found = hw.capture(decoder, target, source, layers=[-1, "layers.0.*"])
    assert [layer.index for layer in found.layers] == [0, 1, 3]
    assert [layer.name for layer in hw.capture(encoder, source, layers=1).layers] == ["layers.1.self_attn"]
    with pytest.raises(DataError, match=r"layers: .* 0 to 1 .*layers.0.self_attn.*; got 7"):
        hw.capture(encoder, source, layers=7)

    class Own(torch.nn.Module):
        def forward(self, x, layers):
            return F.scaled_dot_product_attention(x, x, x) * layers

    with pytest.raises(DataError, match="bind it with functools"):
        hw.capture(Own(), source, layers=2)
    assert hw.capture(functools.partial(Own(), layers=2), source).layers[0].proven


@pytest.mark.filterwarnings("ignore")
def test_compiled_module():
    encoder, _, source, _ = encoder_and_decoder()
    found = hw.capture(torch.compile(encoder), source)
    assert [layer.name for layer in found.layers] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert found.proven


@pytest.mark.filterwarnings("ignore")
def test_scripted_function():
    def attend(q, k, v):
        return torch.softmax(q @ k.mT, -1) @ v

    assert hw.capture(torch.jit.script(attend), *qkv()).proven


@pytest.mark.filterwarnings("ignore")
def test_quantised_linear_layers():
    _, _, source, _ = encoder_and_decoder()

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = torch.nn.Linear(12, 36)

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, dim=-1)
            return F.scaled_dot_product_attention(q, k, v)

    model = torch.ao.quantization.quantize_dynamic(Own(), {torch.nn.Linear})
    layer = hw.capture(model, source).layers[0]
    assert layer.proven
    assert layer.kind == "self"


def test_dropout_is_not_hidden():
    torch.manual_seed(1)

    def dropped(q, k, v):
        p = (q @ k.mT).softmax(-1)
        return p, F.dropout(p, 0.5) @ v

    layer = hw.capture(Written(dropped), *qkv()).layers[0]
    assert not layer.proven
    assert "dropout" in layer.note
    q, k, v = qkv()
    layer = hw.capture(F.scaled_dot_product_attention, q, k, v, dropout_p=0.5).layers[0]
    assert not layer.proven
    assert "dropout" in layer.message


def mixed(q, k, v):
    p = (q @ k.mT).softmax(-1) * torch.linspace(0, 2, M)
    return p, p @ v


def test_changes_after_the_softmax_are_named():
    """Weights whose rows sum to more than one are no softmax's: they cannot be recorded as such."""
    layer = hw.capture(Written(mixed), *qkv()).layers[0]
    assert not layer.proven
    assert "changed by mul" in layer.message


def test_mistakes_are_named():
    """A layer whose kernel ignored the mask, or used another scale, says so."""
    q, k, v = qkv()
    causal = hw.capture(F.scaled_dot_product_attention, q, k[:, :, :N], v[:, :, :N], is_causal=True).layers[0]
    free = hw.capture(F.scaled_dot_product_attention, q, k[:, :, :N], v[:, :, :N]).layers[0]
    assert "causal-missing" in replace(causal, output=free.output).message
    unscaled = hw.capture(F.scaled_dot_product_attention, q, k, v, scale=1.0).layers[0]
    scaled = hw.capture(F.scaled_dot_product_attention, q, k, v).layers[0]
    assert "scale-missing" in replace(scaled, output=unscaled.output).message
    assert "No mistake" in replace(scaled, output=scaled.output + 1).message


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (torch.nn.Linear(4, 4), "calls no attention"),
        (torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Softmax(-1)), "linear layer, as for classes"),
    ],
)
def test_models_without_attention(model, reason):
    with pytest.raises(CaptureError, match=reason):
        hw.capture(model, torch.zeros(2, 4))


def test_attention_that_cannot_be_followed():
    class Half(torch.nn.Module):
        def forward(self, q, k, v):
            p = (q @ k.mT).softmax(-1).sort(-1).values * 2
            return F.scaled_dot_product_attention(q, k, v) + p @ v

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.part = Half()

        def forward(self, *qkv):
            return self.part(*qkv)

    with pytest.raises(CaptureError, match="cannot be followed: the softmax in part"):
        hw.capture(Outer(), *qkv())


def test_long_sequences_need_no_square_array():
    """At 32,768 tokens all weights of one head are 4 GB; one layer and two of its rows need a fraction of that."""
    n = 32768
    q, k, v = torch.randn(3, 1, 1, n, 16, generator=torch.Generator().manual_seed(0))

    class Layers(torch.nn.Module):
        def forward(self, q, k, v):
            for _ in range(2):
                q = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return q

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        (layer,) = hw.capture(Layers(), q, k, v, layers=1).layers
    p = layer.weights(rows=[7, n - 1])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 400e6
    assert p.shape == (1, 1, 2, n)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-4)
    assert (p[0, 0, 0, 8:] == 0).all()


@pytest.mark.parametrize(("n", "m", "kind"), [(5, 5, "self"), (5, 7, "cross")])
def test_kind_of_bare_functions_follows_from_their_sizes(n, m, kind):
    q, k = torch.randn(1, 1, n, 4), torch.randn(1, 1, m, 4)
    assert hw.capture(F.scaled_dot_product_attention, q, k, k).layers[0].kind == kind


def test_cross_attention_over_as_many_tokens():
    """Queries and keys from different tensors of one length."""
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    x, y = torch.randn(1, 5, 12), torch.randn(1, 5, 12)
    assert hw.capture(attention, x, y, y).layers[0].kind == "cross"
    assert hw.capture(attention, x, x, x, need_weights=False).layers[0].kind == "self"


def test_errors_of_the_model_are_its_own():
    class Broken(torch.nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        hw.capture(Broken(), torch.zeros(1))
    assert not torch.nn.modules.module._global_forward_hooks


def test_one_query_without_heads():
    def attend(x, w):
        q, k, v = (x @ part for part in w)
        return torch.softmax(q[0] @ k.T, dim=-1) @ v

    x, w = torch.randn(2, 7, 4)[0], torch.randn(3, 4, 4)
    layer = hw.capture(attend, x, w).layers[0]
    assert (layer.shape, layer.proven, layer.note) == ((1, 1, 1, 7), True, "")
    np.testing.assert_allclose(layer.weights()[0, 0, 0], torch.softmax((x @ w[0])[0] @ (x @ w[1]).T, -1), atol=1e-6)


def test_modules_without_values_and_bare_parameters_are_named():
    module = torch.nn.MultiheadAttention(8, 2, device="meta")
    x = torch.zeros(3, 1, 8)
    with pytest.raises(DataError, match="no values"):
        hw.capture(module, x, x, x)
    with pytest.raises(DataError, match=r"got OrderedDict\. Parameters alone cannot run: load them into their module"):
        hw.capture(torch.nn.MultiheadAttention(8, 2).state_dict(), x)

"""Small random timm and torchvision models under their default kernels, against the same model unfused."""

import numpy as np
import pytest

import headwise as hw

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

SMALL = {"embed_dim": 24, "depth": 2, "num_heads": 3}
VIT = {**SMALL, "img_size": 32, "patch_size": 8}
SWIN = {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": (1, 2), "num_heads": (2, 4)}
PYRAMID = {"embed_dims": (8, 16), "num_heads": (1, 2), "sr_ratios": (2, 1), "mlp_ratios": (2, 2)}
CROSS = {"img_size": 48, "embed_dim": (12, 24), "num_heads": (3, 3), "depth": ((1, 1, 0),), "mlp_ratio": (2, 2, 1)}
MODELS = {
    "vit_tiny_patch16_224": VIT,
    "vit_small_patch14_reg4_dinov2": VIT,
    "vit_base_patch16_siglip_224": VIT,
    "vit_base_patch16_clip_224": VIT,
    "deit3_small_patch16_224": VIT,
    "deit_tiny_distilled_patch16_224": VIT,
    "beit_base_patch16_224": VIT,
    "eva02_tiny_patch14_224": VIT,
    "vit_relpos_small_patch16_224": VIT,
    "swin_tiny_patch4_window7_224": SWIN,
    "swinv2_tiny_window8_256": SWIN,
    "levit_128s": {"img_size": 64, "embed_dim": (16, 16), "key_dim": 8, "num_heads": (2, 2), "depth": (1, 1)},
    "xcit_nano_12_p16_224": {"img_size": 32, **SMALL},
    "pvt_v2_b0": {**PYRAMID, "depths": (1, 1)},
    "twins_svt_small": {**PYRAMID, "depths": (1, 2), "wss": (4, 4)},
    "crossvit_tiny_240": {**CROSS, "img_scale": (1.0, 0.5), "patch_size": (8, 8)},
    "pit_ti_224": {"img_size": 64, "base_dims": (8, 8), "depth": (1, 1), "heads": (2, 2), "stride": 8},
    "visformer_tiny": {"img_size": 64, "embed_dim": 24, "depth": (0, 1, 1), "num_heads": 3},
}


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def recorded(model, images):
    """Weights as the model's own code computes them when it is not fused: results of every softmax in attention."""
    found = []
    original = torch.Tensor.softmax

    def softmax(tensor, *args, **kwargs):
        found.append(original(tensor, *args, **kwargs))
        return found[-1]

    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    torch.Tensor.softmax = softmax
    try:
        output = model(images)
    finally:
        torch.Tensor.softmax = original
    return found, output


@pytest.mark.parametrize("name", MODELS)
def test_timm(name, images):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model(name, **MODELS[name]).eval()
    size = MODELS[name].get("img_size", 64)
    with torch.no_grad():
        found = hw.capture(model, images[..., :size, :size])
        expected, output = recorded(model, images[..., :size, :size])
    torch.testing.assert_close(found.output, output, atol=1e-4, rtol=1e-4)
    assert len(found.layers) == len(expected) > 0
    for layer, weights in zip(found.layers, expected, strict=True):
        assert layer.proven, layer.message
        assert not layer.note
        b, h, n, m = layer.shape
        ours = layer.weights().reshape(b * h, n, m)
        np.testing.assert_allclose(ours, weights.reshape(b * h, n, m), atol=1e-5)


def test_kinds_and_heads(images):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    with torch.no_grad():
        pooled = hw.capture(timm.create_model("vit_base_patch16_siglip_224", **VIT).eval(), images[..., :32, :32])
        swin = hw.capture(
            timm.create_model("swin_tiny_patch4_window7_224", **MODELS["swin_tiny_patch4_window7_224"]).eval(),
            images[..., :32, :32],
        )
    assert [layer.kind for layer in pooled.layers] == ["self", "self", "cross"]
    assert pooled.layers[-1].shape == (2, 3, 1, 16)
    assert [layer.shape for layer in swin.layers] == [(2 * 4, 2, 16, 16), (2, 4, 16, 16), (2, 4, 16, 16)]
    assert swin.layers[0].bias.shape == (1, 2, 16, 16)


def test_weights_mixed_between_heads_are_not_verified(images):
    """They are not those that multiply the values, nor those of any softmax."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    with torch.no_grad():
        layer = hw.capture(
            timm.create_model("cait_xxs24_224", img_size=32, **SMALL).eval(), images[..., :32, :32]
        ).layers[0]
    assert not layer.proven
    assert "after its softmax the weights were changed by" in layer.message


def test_gated_positions_are_part_of_the_weights(images):
    """A sum of two softmaxes whose rows sum to one again is recorded as it multiplies the values."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("convit_tiny", img_size=32, local_up_to_layer=1, **SMALL).eval()
    with torch.no_grad():
        layer = hw.capture(model, images[..., :32, :32]).layers[0]
    assert layer.proven
    assert "these are the changed ones" in layer.note
    np.testing.assert_allclose(layer.weights().sum(axis=-1), 1, atol=1e-5)


def test_torchvision(images):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(32, 8, 2, 3, 24, 32).eval()
    blocks = [module for module in model.modules() if isinstance(module, torch.nn.MultiheadAttention)]
    expected = []

    def again(own, given, named, _):
        expected.append(own.forward(*given, **{**named, "need_weights": True, "average_attn_weights": False})[1])

    with torch.no_grad():
        found = hw.capture(model, images[..., :32, :32])
        hooks = [block.register_forward_hook(again, with_kwargs=True) for block in blocks]
        model(images[..., :32, :32])
    for hook in hooks:
        hook.remove()
    assert [layer.name for layer in found.layers] == [
        f"encoder.layers.encoder_layer_{n}.self_attention" for n in range(2)
    ]
    for layer, weights in zip(found.layers, expected, strict=True):
        assert layer.proven, layer.message
        np.testing.assert_allclose(layer.weights(), weights, atol=1e-5)

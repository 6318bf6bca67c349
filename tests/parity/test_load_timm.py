"""Loaded models against timm: features, scores, attention weights and gradients."""

import numpy as np
import pytest

import headwise as hw

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm", reason="timm builds the models to compare with: make parity-vision")
pytestmark = pytest.mark.parity

SMALL = {"img_size": 35, "patch_size": 7, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 5}
CASES = {
    "vit_tiny_patch16_224": {},
    "vit_small_patch16_224": {"qkv_bias": False, "global_pool": "avg", "qk_norm": True},
    "vit_base_patch16_224": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "vit_base_patch16_clip_224": {},
    "vit_base_patch32_clip_quickgelu_224": {"num_classes": 0},
    "vit_small_patch14_reg4_dinov2": {"init_values": 0.3},
    "vit_giant_patch14_dinov2": {},
    "vit_base_patch16_siglip_224": {"num_classes": 0},
    "vit_so400m_patch16_siglip_256": {"num_classes": 0},
    "vit_base_patch16_rpn_224": {},
    "vit_medium_patch16_gap_240": {},
    "deit_tiny_distilled_patch16_224": {},
    "deit3_small_patch16_224": {"img_size": (35, 49), "init_values": 0.5},
}


def build(name, folder, **options):
    model = timm.create_model(name, **(SMALL | CASES[name] | options)).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1 and ("norm" in label or "ls" in label):
                parameter.add_(0.2 * noise)
            else:
                parameter.copy_(1.5 * noise / (parameter.shape[-1] if parameter.ndim > 1 else 24) ** 0.5)
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    return model


def weights(model, images):
    """The attention weights of each block, from its fused product replaced by an explicit one."""
    found = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, args, output: found.append(output))
    model(images)
    return [array.detach().numpy() for array in found]


@pytest.mark.parametrize("name", CASES)
def test_features_scores_weights_and_gradients(name, tmp_path):
    reference = build(name, tmp_path).double()
    size = SMALL["img_size"] if isinstance(CASES[name].get("img_size"), type(None)) else CASES[name]["img_size"]
    size = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(1)
    images = rng.normal(size=(2, 3, *size))
    pixels = torch.from_numpy(images).requires_grad_()
    features, scores = reference.forward_features(pixels), reference(pixels)
    model = hw.load(tmp_path, dtype=np.float64)
    ours, cache = model.forward(pixel_values=images)
    kind = "logits" if "logits" in ours else "pooler_output"
    np.testing.assert_allclose(ours.last_hidden_state, features.detach(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours[kind], scores.detach(), rtol=0, atol=1e-9)

    dscores = rng.normal(size=scores.shape)
    (scores * torch.from_numpy(dscores)).sum().backward()
    grads = model.backward({kind: dscores}, cache)
    np.testing.assert_allclose(grads.inputs["pixel_values"], pixels.grad, rtol=0, atol=1e-8)
    for label, parameter in reference.named_parameters():
        if parameter.grad is not None:
            np.testing.assert_allclose(grads.tensors[label], parameter.grad, rtol=0, atol=1e-7, err_msg=label)

    record = model.record(pixel_values=images)
    expected = weights(reference, torch.from_numpy(images))
    for layer, theirs in zip(record.layers, expected, strict=False):
        np.testing.assert_allclose(layer.weights(), theirs, rtol=0, atol=1e-9)


def test_another_image_size_with_timms_interpolation(tmp_path):
    reference = build("vit_small_patch14_reg4_dinov2", tmp_path, dynamic_img_size=True)
    images = np.random.default_rng(2).normal(size=(2, 3, 49, 21)).astype(np.float32)
    with torch.no_grad():
        expected = reference.forward_features(torch.from_numpy(images)).numpy()
    ours = hw.load(tmp_path)(pixel_values=images).last_hidden_state
    assert np.abs(ours - expected).max() < 2e-5 * np.abs(expected).max()

"""Attribution maps against torch: AttnLRP with LXT's rules, Captum's integrated gradients, Quantus' curves and ROAD."""

import importlib.util
import sys
import types
from functools import partial

import numpy as np
import pytest

from headwise import load
from headwise.attribution import attn_lrp, decompose_logit, differentiable
from headwise.attribution.maps import IG_STEPS
from headwise.metrics import deletion_curve, integrated_gradients
from headwise.models import TokenGame, ViT, ViTConfig
from headwise.models.inpainting import inpaint
from headwise.models.vit import vit_params
from helpers.pretrained import CASES, build, inputs

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="transformers builds the models to compare with: make parity")
pytestmark = pytest.mark.parity

SCORED = [case for case in CASES if any(part in case.model for part in ("CausalLM", "LMHead", "Classification"))
          and "Token" not in case.model]  # fmt: skip
COMPARED = [case for case in CASES if case.name in
            ("vit", "bert-sequence-relu", "gpt2", "llama", "qwen3", "dinov2-gated", "mistral-window")]  # fmt: skip
TARGET = 1


def rules(name):
    """Stop the gradient, the identity rule of an activation, and a gradient divided."""
    if name == "lxt":
        return lxt_rules()

    def identity(f, x):
        return x * (f(x) / x).detach()

    def divide(x, n):
        return x / n + (x - x / n).detach()

    return torch.Tensor.detach, identity, divide


def lxt_rules():
    """LXT's rules alone: its package imports models that transformers 5 has no longer."""
    found = importlib.util.find_spec("lxt")
    if found is None:
        pytest.skip("LXT is not installed: pip install --no-deps lxt")
    package = types.ModuleType("lxt.efficient")
    package.__path__ = [f"{found.submodule_search_locations[0]}/efficient"]
    sys.modules.setdefault("lxt.efficient", package)
    module = importlib.import_module("lxt.efficient.rules")
    return module.stop_gradient, module.identity_rule_implicit, module.divide_gradient


def patch(model, monkeypatch, stop, identity, divide):
    """Make the gradient of a model of transformers, times its input, its relevance by AttnLRP."""

    def layer_norm(self, x):
        mean = x.mean(-1, keepdim=True)
        std = (((x - mean) ** 2).mean(-1, keepdim=True) + self.eps).sqrt()
        return (x - mean) / stop(std) * self.weight + self.bias

    def rms_norm(self, x):
        return self.weight * (x * stop(torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)))

    def gated(self, x):
        return self.down_proj(divide(self.act_fn(self.gate_proj(x)) * self.up_proj(x), 2))

    def attention(original, module, query, key, value, *args, **kwargs):
        return original(module, divide(query, 4), divide(key, 4), divide(value, 2), *args, **kwargs)

    activations = ("GELUActivation", "NewGELUActivation", "SiLUActivation", "SiLU", "ReLU", "Tanh", "GELU", "GELUTanh")
    for module in model.modules():
        name = type(module).__name__
        if name == "LayerNorm":
            module.forward = partial(layer_norm, module)
        elif name.endswith("RMSNorm"):
            module.forward = partial(rms_norm, module)
        elif name in activations:
            module.forward = partial(identity, module.forward)
        elif name in ("LlamaMLP", "Qwen3MLP", "MistralMLP", "Dinov2SwiGLUFFN"):
            module.forward = partial(gated, module)
    source = sys.modules[type(model).__module__]
    monkeypatch.setattr(source, "eager_attention_forward", partial(attention, source.eager_attention_forward))


def subject(case, folder):
    """A model of transformers and ours, in float64, one input, and the torch function of its continuous part."""
    theirs = build(case, folder).double()
    arrays = {name: array[:1] for name, array in inputs(case, np.float64).items() if name != "attention_mask"}
    function = differentiable(load(folder, dtype=np.float64), arrays)
    x = torch.tensor(function.x[None], requires_grad=True)

    def score(x):
        logits = theirs(**{function.name: x}).logits
        return logits[:, TARGET] if logits.ndim == 2 else logits[:, -1, TARGET]

    return theirs, function, x, score


@pytest.mark.parametrize("kind", ["written out", "lxt"])
@pytest.mark.parametrize("case", COMPARED, ids=lambda case: case.name)
def test_attn_lrp_is_gradient_times_input_of_the_patched_model(case, kind, tmp_path, monkeypatch):
    theirs, function, x, score = subject(case, tmp_path)
    patch(theirs, monkeypatch, *rules(kind))
    score(x).sum().backward()
    expected = function.by_token((x.grad * x)[0].detach().numpy())
    np.testing.assert_allclose(
        attn_lrp(function, TARGET), expected, rtol=1e-4, atol=2e-6
    )  # rotary positions are float32 there


@pytest.mark.parametrize("case", COMPARED[:3], ids=lambda case: case.name)
def test_integrated_gradients_are_captums(case, tmp_path):
    attr = pytest.importorskip("captum.attr", reason="pip install captum")
    _, function, x, score = subject(case, tmp_path)
    expected = attr.IntegratedGradients(score).attribute(x, 0 * x, n_steps=IG_STEPS, method="gausslegendre")
    values = integrated_gradients(
        lambda points: function.gradient(points, TARGET), function.x, function.baseline, IG_STEPS
    )
    np.testing.assert_allclose(values, expected[0].detach().numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", SCORED, ids=lambda case: case.name)
def test_the_terms_of_a_logit_sum_to_it_in_every_family(case, tmp_path):
    build(case, tmp_path)
    arrays = {name: array[:1] for name, array in inputs(case).items()}
    terms = decompose_logit(load(tmp_path, dtype=np.float64), arrays)
    assert terms.remainder == pytest.approx(0, abs=1e-9 * max(1, abs(terms.logit)))


def test_deletion_is_quantus_pixel_flipping(rng):
    quantus = pytest.importorskip("quantus", reason="pip install quantus")
    config = ViTConfig("pixels", (4, 5), d_model=6, n_layers=1, n_heads=2, d_ff=7, n_classes=3)
    vit = ViT(config, vit_params(config, rng), ablation="black")
    image, values = rng.random((4, 5)).astype(np.float32), rng.random(20)
    image[0, 0] = 0  # Quantus' black is the least value of the image

    class Module(torch.nn.Module):
        def forward(self, x):
            return torch.tensor(np.stack([vit.predict(image) for image in x[:, 0].numpy()]))

    flipping = quantus.PixelFlipping(
        perturb_baseline="black", features_in_step=1, disable_warnings=True, display_progressbar=False
    )
    (theirs,) = flipping(
        Module().eval(), image[None, None], np.array([TARGET]), values.reshape(1, 1, 4, 5), softmax=True, device="cpu"
    )
    curve = deletion_curve(TokenGame(vit, image, TARGET), np.argsort(-values))
    np.testing.assert_allclose(curve[1:], theirs, rtol=1e-5)


def test_imputation_is_roads_without_noise(rng):
    functions = pytest.importorskip("quantus.functions.perturb_func", reason="pip install quantus")
    image, known = rng.random((7, 11)), rng.random((7, 11)) > 0.4
    theirs = functions.noisy_linear_imputation(image[None], np.flatnonzero(~known), noise=0.0)
    np.testing.assert_allclose(inpaint(image, known[None], 0.5)[0], theirs.reshape(7, 11), rtol=1e-9)

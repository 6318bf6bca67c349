"""torch modules and ONNX files under the Model protocol, opened from objects and paths."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError, ShapeError
from headwise.models import Model, open_model

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


class SmallViT(torch.nn.Module):
    """2 × 3 patches of 4 × 4 pixels, then a class token, then two layers: the prefix token is the last."""

    def __init__(self, prefix_last=False):
        super().__init__()
        self.embedding = torch.nn.Conv2d(3, 12, 4, 4)
        self.cls_token = torch.nn.Parameter(torch.randn(1, 1, 12))
        layer = torch.nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = torch.nn.Linear(12, 5)
        self.prefix_last = prefix_last

    def forward(self, pixels):
        x = self.embedding(pixels).flatten(2).transpose(1, 2)
        token = self.cls_token.expand(len(x), 1, 12)
        x = torch.cat([x, token] if self.prefix_last else [token, x], dim=1)
        return self.head(self.layers(x)[:, -1 if self.prefix_last else 0])


@pytest.fixture(params=["torch", "onnx"])
def made(request, tmp_path):
    torch.manual_seed(0)
    module = SmallViT().eval()
    pixels = torch.randn(1, 3, 8, 12)
    if request.param == "torch":
        return open_model(module), module, pixels
    pytest.importorskip("onnx")
    torch.onnx.export(
        module, (pixels,), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17, input_names=["pixels"]
    )
    return open_model(str(tmp_path / "m.onnx")), module, pixels


def test_protocol(made):
    model, module, pixels = made
    image = pixels[0].numpy()
    assert isinstance(model, Model)
    tokens = model.tokens(image)
    assert (tokens.kind, tokens.prefix.tolist(), tokens.grid) == ("image", [True] + [False] * 6, (2, 3))
    assert tokens.labels == ("[CLS]", "1,1", "1,2", "1,3", "2,1", "2,2", "2,3")
    assert tokens.locations[[1, 3, 4]].tolist() == [[0, 0, 4, 4], [0, 8, 4, 4], [4, 0, 4, 4]]
    assert model.look(image).proven
    assert model.look({"pixels": pixels}).weights().shape == (1, 2, 3, 7, 7)
    np.testing.assert_allclose(model.predict(image), module(pixels)[0].detach(), atol=1e-5)
    keep = np.ones((2, 7), bool)
    keep[1, [0, 3]] = False  # the class token is kept all the same
    changed = pixels.clone()
    changed[..., :4, 8:] = 0
    np.testing.assert_allclose(model.predict(image, keep)[1], module(changed)[0].detach(), atol=1e-5)
    with pytest.raises(ShapeError, match="keep"):
        model.predict(image, keep[:, 1:])


def test_prefix_tokens_wherever_they_are():
    tokens = open_model(SmallViT(prefix_last=True).eval()).tokens(np.ones((3, 8, 12), np.float32))
    assert tokens.prefix.tolist() == [False] * 6 + [True]
    assert tokens.labels[-2:] == ("2,3", "[CLS]")
    assert tokens.locations[-2:].tolist() == [[4, 8, 4, 4], [0, 0, 0, 0]]


def test_what_is_missing_has_a_reason(tmp_path):
    pytest.importorskip("onnx")
    module = SmallViT().eval()
    torch.onnx.export(module, (torch.randn(1, 3, 8, 12),), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17)
    model = open_model(tmp_path / "m.onnx")
    assert model.capabilities == {"tokens", "look", "predict"}
    assert "onnxruntime" in model.missing["gradients"]
    with pytest.raises(DataError, match="onnxruntime computes no gradients"):
        model.gradients(np.ones((3, 8, 12), np.float32), 0)
    with pytest.raises(DataError, match="preprocess: expected a way to prepare images"):
        model.tokens(np.zeros((8, 12, 3), np.uint8))
    with pytest.raises(DataError, match="tokenizer: expected one"):
        model.look("a text")


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["ViT", "Llama"])
def test_gradients_are_those_of_eager_attention(family, implementation):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 8}
    if family == "ViT":
        module = transformers.ViTForImageClassification(
            transformers.ViTConfig(**sizes, image_size=10, patch_size=5, num_labels=7)
        )
        input, name = np.random.default_rng(1).normal(size=(3, 10, 10)).astype(np.float32), "pixel_values"
    else:
        config = transformers.LlamaConfig(**sizes, num_key_value_heads=1, vocab_size=50)
        module, input, name = transformers.LlamaForCausalLM(config), np.arange(3, 10), "input_ids"
    module = module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.set_attn_implementation(implementation)
    gradients = open_model(module).gradients(input, 4)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in module.parameters())
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    module.set_attn_implementation("eager")
    output = module(**{name: torch.from_numpy(input)[None]}, output_attentions=True)
    score = output.logits[0, 4] if family == "ViT" else output.logits[0, -1, 4]
    for gradient, expected in zip(gradients, torch.autograd.grad(score, output.attentions), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=2e-6 * float(expected.abs().max()))


def test_gradients_inside_multihead_attention():
    """To first order, scaling the values of a layer scales its weights."""
    torch.manual_seed(0)
    module = SmallViT().eval().double()
    image = np.random.default_rng(2).normal(size=(3, 8, 12))
    model = open_model(module)
    gradients, weights = model.gradients(image, 3), model.look(image).weights()[0]
    attention, sides = module.layers.layers[1].self_attn, []
    for factor in (1 + 1e-6, 1 - 1e-6):
        with torch.no_grad():
            for parameter in (attention.in_proj_weight, attention.in_proj_bias):
                parameter[24:] *= factor
            sides.append(module(torch.from_numpy(image)[None])[0, 3].item())
            for parameter in (attention.in_proj_weight, attention.in_proj_bias):
                parameter[24:] /= factor
    expected = (sides[0] - sides[1]) / 2e-6
    assert float((gradients[1][0] * weights[1]).sum()) == pytest.approx(expected, rel=1e-6)


class Words(torch.nn.Module):
    """A classifier of token ids without a mask, and a recurrent order of its arguments."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 12)
        self.layer = torch.nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)
        self.head = torch.nn.Linear(12, 4)

    def forward(self, ids):
        return self.head(self.layer(self.embedding(ids)).mean(1))


def tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat"]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return made


@pytest.mark.parametrize("kind", ["tokenizers", "transformers", "function"])
def test_texts(kind):
    torch.manual_seed(0)
    module = Words().eval()
    chosen = tokenizer()
    if kind == "transformers":
        transformers = pytest.importorskip("transformers")
        chosen = transformers.PreTrainedTokenizerFast(
            tokenizer_object=chosen, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", mask_token="[MASK]"
        )
    if kind == "function":
        model = open_model(module, tokenizer=lambda text: [4 + len(word) for word in text.split()])
        assert model.tokens("a cat").labels == ("5", "7")
        with pytest.raises(DataError, match="no mask, unknown or padding token"):
            model.predict("a cat", np.array([[True, False]]))
        return
    model = open_model(module, tokenizer=chosen)
    tokens = model.tokens("the cat sat")
    assert (tokens.kind, tokens.labels) == ("text", ("[CLS]", "the", "cat", "sat", "[SEP]"))
    assert [tokens.text[a:b] for a, b in tokens.locations] == ["", "the", "cat", "sat", ""]
    assert tokens.prefix.tolist() == [True, False, False, False, True]
    pair = model.tokens(("the cat", "sat"))
    assert [pair.text[a:b] for a, b in pair.locations] == ["", "the", "cat", "", "sat", ""]
    scores = model.predict("the cat sat", np.array([[False, True, False, True, False]]))
    np.testing.assert_allclose(scores[0], module(torch.tensor([[1, 4, 3, 6, 2]]))[0].detach(), atol=1e-6)
    assert model.tokens(np.array([1, 5, 2])).labels == ("[CLS]", "cat", "[SEP]")


def test_masked_texts_and_next_tokens():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
    config = transformers.BertConfig(**sizes, vocab_size=50)
    model = open_model(transformers.BertForSequenceClassification(config).eval())
    ids = np.arange(3, 10)
    keep = np.arange(7)[None] < 5
    np.testing.assert_allclose(model.predict(ids, keep)[0], model.predict(ids[:5]), atol=1e-5)
    with_mask = {"input_ids": ids[None], "attention_mask": np.ones((1, 7), np.int64)}
    np.testing.assert_allclose(model.predict(with_mask, keep)[0], model.predict(ids[:5]), atol=1e-5)
    with pytest.raises(DataError, match="expected scores of classes"):
        open_model(transformers.BertForMaskedLM(config).eval()).predict(ids)
    causal = open_model(transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, vocab_size=50)).eval())
    np.testing.assert_allclose(causal.predict(ids, keep)[0], causal.predict(ids[:5]), atol=1e-5)
    pooled = open_model(transformers.BertModel(config).eval(), scores=lambda output: output.pooler_output)
    assert pooled.predict(ids).shape == (12,)
    with pytest.raises(DataError, match="expected a module in evaluation mode"):
        open_model(torch.nn.Linear(2, 2).train())


class Windows(torch.nn.Module):
    """Attention within two halves of an image."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = torch.nn.Conv2d(3, 12, 4, 4), torch.nn.Linear(12, 5)
        self.attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, pixels):
        x = self.embedding(pixels).flatten(2).transpose(1, 2).reshape(-1, 3, 12)
        return self.head(self.attention(x, x, x, need_weights=False)[0].reshape(len(pixels), -1, 12).mean(1))


def test_images_through_transforms_and_windows():
    pil = pytest.importorskip("PIL.Image")
    torch.manual_seed(0)
    module = SmallViT().eval()

    class Transform:
        """As torchvision composes one."""

        transforms = (type("Resize", (), {"size": [10]})(), type("CenterCrop", (), {"size": (8, 12)})())

        def __call__(self, image):
            image = image.resize((15, 10)).crop((1, 1, 13, 9))
            return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    model = open_model(module, preprocess=Transform())
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    tokens = model.tokens(photo)  # the middle 32 × 48 pixels
    assert tokens.locations[[1, 6]].tolist() == [[4, 4, 16, 16], [20, 36, 16, 16]]
    expected = module(Transform()(pil.fromarray(photo))[None])[0]
    np.testing.assert_allclose(model.predict(pil.fromarray(photo)), expected.detach(), atol=1e-6)
    with pytest.raises(DataError, match=r"attends within 2 groups of tokens"):
        open_model(Windows().eval()).tokens(np.zeros((3, 8, 12), np.float32))
    with pytest.raises(DataError, match=r"expected an image \(C, Y, X\) .* got \(8, 12, 3\)\. Channels last\?"):
        model.predict(np.zeros((8, 12, 3), np.float32))


class Series(torch.nn.Module):
    """Pairs of steps as tokens after a token of its own."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = torch.nn.Linear(4, 12), torch.nn.Linear(12, 3)
        self.cls_token = torch.nn.Parameter(torch.randn(1, 1, 12))
        self.layer = torch.nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)

    def forward(self, series):
        x = self.embedding(series.reshape(len(series), -1, 4))
        return self.head(self.layer(torch.cat([self.cls_token.expand(len(x), 1, 12), x], 1))[:, 0])


def test_series():
    torch.manual_seed(0)
    module = Series().eval()
    model = open_model(module)
    series = np.random.default_rng(1).normal(size=(10, 2)).astype(np.float32)
    tokens = model.tokens(series)
    assert (tokens.kind, tokens.labels) == ("series", ("[CLS]", "0", "2", "4", "6", "8"))
    assert tokens.locations[:3].tolist() == [[0, 0], [0, 2], [2, 4]]
    keep = np.array([[True, True, False, True, True, True]])
    changed = series.copy()
    changed[2:4] = 0
    np.testing.assert_allclose(
        model.predict(series, keep)[0], module(torch.from_numpy(changed)[None])[0].detach(), atol=1e-6
    )


def test_paths(tmp_path):
    (tmp_path / "mine.py").write_text("import torch\nmodel = torch.nn.TransformerEncoderLayer(12, 3, 10).eval()\n")
    assert open_model(f"{tmp_path / 'mine.py'}:model").look(np.ones((5, 12), np.float32)).layers[0].name == "self_attn"
    for where, message in ((tmp_path / "mine.py", "name the object"), (tmp_path / "no.onnx", "no such file")):
        with pytest.raises(DataError, match=message):
            open_model(where)
    with pytest.raises(DataError, match="model: expected a path"):
        open_model(3)


def test_modules_without_values_or_source_are_refused():
    with torch.device("meta"):
        empty = SmallViT().eval()
    with pytest.raises(DataError, match="device meta"):
        open_model(empty)
    with pytest.raises(DataError, match="TorchScript"):
        open_model(torch.jit.trace(SmallViT().eval(), torch.zeros(1, 3, 8, 12)))


def test_an_error_of_the_model_says_what_it_was_called_with():
    model = open_model(SmallViT().eval())
    with pytest.raises(DataError, match=r"called with pixels \(1, 5, 8, 12\), it raised RuntimeError: Given groups=1"):
        model.predict(np.zeros((5, 8, 12), np.float32))


def test_what_a_model_cannot_be_called_with_or_returns_is_named():
    image = np.zeros((3, 8, 12), np.float32)
    module = SmallViT().eval()
    model = open_model(module)
    with pytest.raises(DataError, match=r"target: expected 0 to [0-9]+; got -1"):
        model.gradients(image, -1)
    with pytest.raises(DataError, match="input: expected arrays by name; label is none"):
        model.predict({"pixels": image[None], "label": "cat"})
    with pytest.raises(DataError, match="input: expected numbers; got bool"):
        model.predict(image > 0)
    with pytest.raises(DataError, match="model: expected a tensor of scores; got dict"):
        open_model(Returning(module, {"scores": "none"}).eval()).predict(image)
    with pytest.raises(DataError, match=r"preprocess: expected pixels .* as floats; got int64 of"):
        open_model(module, preprocess=lambda photo: np.zeros((3, 8, 12), int)).tokens(np.zeros((8, 12, 3), np.uint8))
    with pytest.raises(DataError, match="tokenizer: expected a function that returns token ids; it returned float64"):
        open_model(Words().eval(), tokenizer=lambda text: [0.5]).tokens("a cat")


class Returning(torch.nn.Module):
    """A module that returns something else."""

    def __init__(self, module, output):
        super().__init__()
        self.module, self.output = module, output

    def forward(self, pixels):
        self.module(pixels)
        return self.output


@pytest.mark.parametrize("wrong", [3, None, ["one", "two"], [None]])
def test_inputs_of_another_kind_are_refused(wrong):
    with pytest.raises(DataError, match="expected one text, one image"):
        open_model(SmallViT().eval()).tokens(wrong)
    with pytest.raises(DataError, match="expected one image; got 2"):
        open_model(SmallViT().eval()).tokens(np.zeros((2, 3, 8, 12), np.float32))


def test_prefix_tokens_of_a_quantised_model_are_found_by_their_names():
    module = torch.ao.quantization.quantize_dynamic(SmallViT().eval(), {torch.nn.Linear}, dtype=torch.qint8)
    tokens = open_model(module).tokens(np.random.default_rng(0).normal(size=(3, 8, 12)).astype(np.float32))
    assert tokens.labels[:2] == ("[CLS]", "1,1")
    assert tokens.grid == (2, 3)


def test_an_encoder_decoder_predicts_the_first_token_after_a_text():
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(
        d_model=24, d_kv=8, num_layers=2, num_heads=3, d_ff=32, vocab_size=50, decoder_start_token_id=7
    )
    module = transformers.T5ForConditionalGeneration(config).eval()
    ids = np.arange(3, 10)
    expected = module(input_ids=torch.tensor(ids[None]), decoder_input_ids=torch.tensor([[7]])).logits[0, 0]
    np.testing.assert_allclose(open_model(module).predict(ids), expected.detach(), atol=1e-6)


class Pooled(torch.nn.Module):
    """One layer of attention over vectors, of whose outputs some are averaged; then attention pooling."""

    def __init__(self, read, causal=False):
        super().__init__()
        self.read, self.causal = read, causal
        self.attention = torch.nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = torch.nn.Linear(6, 3)

    def forward(self, x):
        mask = torch.full((x.shape[1],) * 2, -torch.inf).triu(1) if self.causal else None
        x = x + self.attention(x, x, x, attn_mask=mask)[0]
        return self.head(x[:, self.read].mean(dim=1))


@pytest.mark.parametrize("read", [[0], [4], [0, 1, 2, 3, 4], [1, 3]])
def test_maps_use_the_rows_that_the_score_depends_on(read):
    from headwise.attribution.run import ModelRun

    torch.manual_seed(0)
    run = ModelRun(open_model(Pooled(read).eval()), np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32))
    np.testing.assert_allclose(run.readout, np.isin(np.arange(5), read) / len(read))


def test_the_tokenizer_in_the_folder_of_an_onnx_file_is_used(tmp_path):
    pytest.importorskip("onnx")
    tokenizers = pytest.importorskip("tokenizers")

    class Words(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(5, 12)
            self.layer = torch.nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)

        def forward(self, input_ids):
            return self.layer(self.words(input_ids)).mean(dim=1)

    ids = torch.tensor([[1, 2, 3]])
    torch.onnx.export(
        Words().eval(), (ids,), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17, input_names=["input_ids"]
    )
    with pytest.raises(DataError, match="tokenizer: expected one"):
        open_model(tmp_path / "m.onnx").tokens("a b c")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "a": 1, "b": 2, "c": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert open_model(tmp_path / "m.onnx").tokens("a b c").labels == ("a", "b", "c")
    for where in (tmp_path, str(tmp_path / "tokenizer.json")):
        assert open_model(Words().eval(), tokenizer=where).tokens("a b c").labels == ("a", "b", "c")
    with pytest.raises(DataError, match=r"tokenizer: .*no such file"):
        open_model(Words().eval(), tokenizer=tmp_path / "nowhere")


def test_images_have_the_size_that_a_model_of_timm_was_made_for():
    module = SmallViT().eval()
    module.pretrained_cfg = {"input_size": (3, 80, 120), "crop_mode": "squash", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    photo = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for size in ((80, 120), (8, 12)):
        [pixels] = open_model(module).reader.read(photo).arrays.values()
        assert pixels.shape == (1, 3, *size)
        module.patch_embed = torch.nn.Identity()
        module.patch_embed.img_size = (8, 12)


def test_an_onnx_file_in_half_precision(tmp_path):
    pytest.importorskip("onnx")
    module = SmallViT().eval()
    pixels = torch.randn(1, 3, 8, 12)
    expected = module(pixels)[0].detach()
    torch.onnx.export(module.half(), (pixels.half(),), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17)
    model = open_model(tmp_path / "m.onnx")
    scores = model.predict(pixels[0].numpy())
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-2)
    assert model.look(pixels[0].numpy()).layers


def test_missing_values_that_reach_the_attention_are_named():
    from headwise.explanation import explain

    series = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    series[3] = np.nan
    with pytest.raises(DataError, match=r"missing values \(NaN\), which the model passes on"):
        explain(Pooled([0]).eval(), series)


def test_calls_for_parts_of_the_values_are_one_layer():
    from headwise.explanation import record_input

    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 8}
    config = transformers.DiffLlamaConfig(**sizes, vocab_size=50, num_key_value_heads=4)
    model = open_model(transformers.DiffLlamaForCausalLM(config).eval())
    arrays = {"input_ids": np.arange(3, 10)[None]}
    layers = model.look(arrays).layers
    record = record_input(model, arrays)
    assert (len(layers), len(record.weights), record.other_layers) == (4, 2, 0)
    np.testing.assert_array_equal(record.weights, np.concatenate([layers[i].weights() for i in (0, 2)]))
    halves = [np.linalg.norm(layers[i].v[0], axis=-1) for i in (2, 3)]
    expected = np.repeat(np.hypot(*halves), 4 // len(halves[0]), axis=0)
    np.testing.assert_allclose(record.value_norms[1], expected, rtol=1e-5)


def test_hidden_states_are_no_scores():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
    config = transformers.LlamaConfig(**sizes, vocab_size=50)
    with pytest.raises(DataError, match=r"last_hidden_state.*no scores\. In Python, .*open_model\(model, scores="):
        open_model(transformers.LlamaModel(config).eval()).predict(np.arange(7))

    class Backbone(torch.nn.Module):  # returns a tensor (B, N, D), narrower than its vocabulary
        def __init__(self):
            super().__init__()
            self.model = transformers.LlamaModel(config)

        def forward(self, input_ids):
            return self.model(input_ids).last_hidden_state

    with pytest.raises(DataError, match="expected scores of classes"):
        open_model(Backbone().eval()).predict(np.arange(7) + 20)


def test_a_stated_patch_size_is_not_replaced_by_another():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
    config = transformers.ViTMAEConfig(
        **sizes, image_size=32, patch_size=8
    )  # three quarters of the patches are dropped
    image = np.random.default_rng(0).normal(size=(3, 32, 32)).astype(np.float32)
    with pytest.raises(DataError, match="has 16 tokens of 8 x 8 pixels; the first layer has 4"):
        open_model(transformers.ViTMAEModel(config).eval()).tokens(image)
    with pytest.raises(DataError, match="has 12 tokens of 2 x 4 pixels; the first layer has 6"):
        open_model(SmallViT().eval(), patch=(2, 4)).tokens(image[:, :8, :12])


def test_models_of_keras_and_flax_are_refused_with_the_alternative():
    keras, nn = pytest.importorskip("keras"), pytest.importorskip("flax.linen")
    if isinstance(keras.layers.Dense(1), torch.nn.Module):
        pytest.skip("Keras runs on torch")
    for model in (keras.Sequential([keras.layers.Dense(1)]), nn.MultiHeadDotProductAttention(2)):
        for run in (open_model, lambda model: hw.capture(model, np.zeros((1, 3, 4)))):
            with pytest.raises(DataError, match=r"save their attention weights .* `headwise caption`"):
                run(model)

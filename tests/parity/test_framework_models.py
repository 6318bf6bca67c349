"""torch modules and ONNX files under the Model protocol."""

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.models.base import Model
from headwise.models.frameworks import onnx_model, torch_model

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


class SmallViT(torch.nn.Module):
    """A class token, 2 × 3 patches of 4 × 4 pixels, one layer."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Conv2d(3, 12, 4, 4)
        self.token = torch.nn.Parameter(torch.randn(1, 1, 12))
        self.layer = torch.nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)
        self.head = torch.nn.Linear(12, 5)

    def forward(self, pixels):
        x = self.embedding(pixels).flatten(2).transpose(1, 2)
        return self.head(self.layer(torch.cat([self.token, x], dim=1))[:, 0])


@pytest.fixture(params=["torch", "onnx"])
def made(request, tmp_path):
    torch.manual_seed(0)
    module = SmallViT().eval()
    pixels = torch.randn(1, 3, 8, 12)
    if request.param == "torch":
        return torch_model(module), module, pixels
    pytest.importorskip("onnx")
    torch.onnx.export(
        module, (pixels,), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17, input_names=["pixels"]
    )
    return onnx_model(tmp_path / "m.onnx"), module, pixels


def test_protocol(made):
    model, module, pixels = made
    given = {"pixels": pixels.numpy()}
    assert isinstance(model, Model)
    assert model.capabilities == {"tokens", "look", "predict"}
    tokens = model.tokens(given)
    assert (tokens.kind, tokens.prefix.tolist()) == ("image", [True] + [False] * 6)
    assert tokens.locations[[1, 3, 4]].tolist() == [[0, 0, 4, 4], [0, 8, 4, 4], [4, 0, 4, 4]]
    assert model.look(given).proven
    assert model.look(given).weights().shape == (1, 1, 3, 7, 7)
    np.testing.assert_allclose(model.predict(given), module(pixels)[0].detach(), atol=1e-5)
    keep = np.ones((2, 7), bool)
    keep[1, [0, 3]] = False  # the class token is kept all the same
    pixels[..., :4, 8:] = 0
    scores = model.predict(given | {"pixels": given["pixels"].copy()}, keep)
    np.testing.assert_allclose(scores[1], module(pixels)[0].detach(), atol=1e-5)
    with pytest.raises(DataError, match="gradients: not available"):
        model.gradients(given, 0)


def test_sequences_and_errors():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
    config = transformers.BertConfig(**sizes, vocab_size=50)
    model = torch_model(transformers.BertForSequenceClassification(config).eval())
    given = {"input_ids": np.arange(3, 10)[None], "attention_mask": np.ones((1, 7), np.int64)}
    keep = np.arange(7)[None] < 5
    shorter = {"input_ids": given["input_ids"][:, :5]}
    np.testing.assert_allclose(model.predict(given, keep)[0], model.predict(shorter), atol=1e-5)
    assert len(model.tokens(given)) == 7
    with pytest.raises(DataError, match="keep: expected an input with an attention_mask"):
        model.predict({"input_ids": given["input_ids"]}, keep)
    with pytest.raises(DataError, match="expected scores of shape"):
        torch_model(transformers.BertModel(config).eval()).predict(given)
    with pytest.raises(DataError, match="expected a module in evaluation mode"):
        torch_model(torch.nn.Linear(2, 2).train())

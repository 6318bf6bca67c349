"""Whether the keys of a torch model's first layer are the parts of an image that a figure draws them on."""

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.explanation import explain
from headwise.models import open_model

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
IMAGE = np.random.default_rng(0).normal(size=(3, 48, 48)).astype(np.float32)


class Attention(torch.nn.Module):
    """Queries are the cells of a map of features (1, D, Y, X), keys what `keys` makes of it, (1, M, D)."""

    def __init__(self, keys, width=12):
        super().__init__()
        self.keys, self.projections = keys, torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(3))

    def forward(self, features):
        q, k, v = self.projections
        tokens, keys = features.flatten(2).transpose(1, 2), self.keys(features)
        split = [x.unflatten(2, (3, -1)).transpose(1, 2) for x in (q(tokens), k(keys), v(keys))]
        mixed = torch.nn.functional.scaled_dot_product_attention(*split)
        return features + mixed.transpose(1, 2).flatten(2).transpose(1, 2).reshape(features.shape)


class Channels(torch.nn.Module):
    """Attention between channels, as many as a grid of patches may have."""

    def forward(self, features):
        x = features.flatten(2).unsqueeze(1)
        return torch.nn.functional.scaled_dot_product_attention(x, x, x).reshape(features.shape)


def cells(features):
    return features.flatten(2).transpose(1, 2)


def regions(features):
    return cells(torch.nn.functional.avg_pool2d(features, 2))


def runs(features):
    return torch.nn.functional.avg_pool1d(features.flatten(2), 4).transpose(1, 2)


def columns_first(features):
    return cells(features.transpose(2, 3))


def conv(channels, kernel, stride, width=12):
    return torch.nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2 if kernel == 3 else 0)


def deep():
    """Convolutions after which each cell depends on most of the image."""
    steps = [step for _ in range(6) for step in (conv(12, 3, 1), torch.nn.GELU())]
    return torch.nn.Sequential(conv(3, 3, 2), torch.nn.GELU(), conv(12, 3, 2), torch.nn.GELU(), *steps)


class Classifier(torch.nn.Module):
    def __init__(self, *stages, width=12):
        super().__init__()
        self.stages, self.head = torch.nn.Sequential(*stages), torch.nn.Linear(width, 5)

    def forward(self, pixels):
        return self.head(self.stages(pixels).mean((2, 3)))


def opened(*stages, width=12):
    torch.manual_seed(0)
    return open_model(Classifier(*stages, width=width).eval())


@pytest.mark.parametrize("stem", [lambda: conv(3, 4, 4), deep])
def test_pooled_keys_are_regions_or_refused(stem):
    torch.manual_seed(1)
    assert opened(stem(), Attention(cells)).tokens(IMAGE).grid == (12, 12)
    tokens = opened(stem(), Attention(regions)).tokens(IMAGE)
    assert tokens.grid == (6, 6)
    assert tokens.locations[-1].tolist() == [40, 40, 8, 8]
    for keys in (runs, columns_first):
        with pytest.raises(DataError, match=r"the \d+ keys of stages\.1 .* do not depend on the parts that a grid"):
            opened(stem(), Attention(keys)).tokens(IMAGE)


@pytest.mark.parametrize("width", [16, 18])
def test_attention_between_channels_is_named(width):
    with pytest.raises(DataError, match=f"the {width} keys of stages.1 .* attention between channels"):
        opened(conv(3, 4, 4, width), Channels(), width=width).tokens(IMAGE)


def test_overlapping_patches_and_stages_with_other_tokens():
    model = opened(conv(3, 8, 6), Attention(cells), conv(12, 3, 2), Attention(cells), Attention(cells))
    tokens = model.tokens(IMAGE)  # 7 × 7 patches of 8 pixels, 6 apart
    assert tokens.grid == (7, 7)
    assert tokens.locations[[0, 8, -1]].tolist() == [[0, 0, 7, 7], [7, 7, 7, 7], [41, 41, 7, 7]]
    stage = model.restrict("stages.[34]")
    assert [layer.name for layer in stage.look(IMAGE).layers] == ["stages.3", "stages.4"]
    assert stage.tokens(IMAGE).grid == (4, 4)
    assert [gradient.shape for gradient in stage.gradients(IMAGE, 2)] == [(1, 3, 16, 16)] * 2
    record = explain(model, IMAGE, layers="stages.[34]", figure="maps", test=False).record
    assert (record.weights.shape, record.other_layers) == ((2, 3, 16, 16), 1)


class Padded(torch.nn.Module):
    """Tokens padded to the size of a window, as in SAM, after a class token."""

    def __init__(self):
        super().__init__()
        self.embedding, self.attention = conv(3, 16, 16), torch.nn.MultiheadAttention(12, 3, batch_first=True)
        self.cls_token = torch.nn.Parameter(torch.ones(1, 1, 12))

    def forward(self, pixels):
        x = torch.cat([self.cls_token, torch.nn.functional.pad(self.embedding(pixels), (0, 1, 0, 1)).flatten(2).mT], 1)
        return self.attention(x, x, x, need_weights=False)[0].mean(1)


def test_padding_is_no_prefix_token():
    torch.manual_seed(0)
    tokens = open_model(Padded().eval()).tokens(IMAGE)
    assert tokens.grid == (3, 3)
    assert tokens.labels[:6] == ("[CLS]", "1,1", "1,2", "1,3", "[PAD]", "2,1")
    assert tokens.labels[-4:] == ("[PAD]",) * 4

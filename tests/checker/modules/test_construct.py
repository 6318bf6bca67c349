"""Making an instance of a class whose arguments are known by their names."""

from dataclasses import dataclass

import pytest

import headwise as hw
from headwise.checker.modules.construct import construct, parse_arguments
from headwise.errors import DataError


def first(cls, **init):
    return next(iter(construct(cls, init)))


class Named:
    def __init__(self, d_model, n_heads, dropout=0.1, bias=True):
        self.values = d_model, n_heads, dropout, bias


class Large:
    def __init__(self, embed_dim: int = 768, num_heads: int = 12, kv_dim=None):
        self.values = embed_dim, num_heads, kv_dim


@dataclass
class Config:
    n_embd: int = 768
    n_head: int = 12
    block_size: int = 1024
    bias: bool = False


class Configured:
    def __init__(self, config: Config):
        assert config.n_embd % config.n_head == 0
        self.values = config.n_embd, config.n_head, config.block_size, config.bias


class Loose:
    def __init__(self, cfg):
        self.values = cfg.hidden_size, cfg["num_attention_heads"], getattr(cfg, "flavour", None), cfg.get("taste", 7)


class Widths:
    def __init__(self, ch, dim_visual):
        self.values = ch, dim_visual


class Picky:
    def __init__(self, d_model, flavour):
        self.values = d_model, flavour


class FullAttention:
    def __init__(self, dropout=0.1):
        self.dropout = dropout


class AroundAttention:
    def __init__(self, attention, d_model):
        self.values = attention, d_model


def test_an_attention_that_is_asked_for_is_one_of_the_same_file():
    attention, _ = first(AroundAttention).values
    assert isinstance(attention, FullAttention)


def test_sizes_follow_from_names():
    width, heads, dropout, bias = first(Named).values
    assert width % heads == 0
    assert heads > 1
    assert 0 < dropout < 1
    assert bias


def test_large_defaults_are_made_small():
    width, heads, context = first(Large).values
    assert width < 100
    assert width % heads == 0
    assert context is None


class Windows:
    """Windows of 14 × 14 tokens, with a side, with both, and a window of a sequence, which is no grid."""

    def __init__(self, dim=12, window_size=(14, 14), resolution=14, window=(128, 0)):
        self.table = (2 * resolution - 1) ** 2
        self.window_size, self.resolution, self.window = window_size, resolution, window


def test_of_large_grids_few_tokens_are_tried():
    made = first(Windows)
    assert (made.window_size, made.resolution, made.window) == ((2, 3), 4, (128, 0))
    assert first(Windows, resolution=14).resolution == 14


def test_a_dataclass_of_settings_is_made():
    width, heads, length, bias = first(Configured).values
    assert width % heads == 0
    assert length < 100
    assert bias is False


def test_settings_without_a_class_are_read_as_attributes_or_items():
    width, heads, absent, default = first(Loose).values
    assert width % heads == 0
    assert (absent, default) == (None, 7)


def test_widths_under_other_names_are_guessed():
    own, of_images = first(Widths).values
    assert own == first(Named).values[0]
    assert of_images != own


def test_arguments_can_be_given():
    assert first(Picky, flavour="sweet", d_model=20).values == (20, "sweet")


def test_an_argument_whose_name_says_nothing_is_asked_for():
    with pytest.raises(DataError, match="flavour"):
        first(Picky)


def test_an_argument_that_there_is_not():
    with pytest.raises(DataError, match="no argument colour"):
        first(Named, colour=1)


def test_arguments_are_read_from_text():
    assert parse_arguments("d_model=12, window=(3, 3), name='a'") == {"d_model": 12, "window": (3, 3), "name": "a"}


@pytest.mark.parametrize(
    "text", ["12", "d_model=", "d_model=open('x')", "a b", "**x", "1)+(2", "a={[]: 1}", "a=" + "-" * 5000 + "1"]
)
def test_text_that_is_no_list_of_arguments(text):
    with pytest.raises(DataError, match="init"):
        parse_arguments(text)


@pytest.mark.parity
def test_other_sizes_are_listed_where_they_are_not_tried():
    what = "other numbers of heads and features"
    everyday = pytest.importorskip("layers.everyday_layers")
    assert what not in hw.check(everyday.Fused).untested
    assert what in hw.check(everyday.Fused, init="d_model=12, n_heads=3").untested
    assert what in hw.check(everyday.Fused(12, 3)).untested

"""Models under one protocol: loaded from disk, run by other frameworks, or of this package."""

from headwise.models.adapters import SeriesTransformer, SetTransformer, TableTransformer, ViT
from headwise.models.any_model import find_model, open_model
from headwise.models.base import CAPABILITIES, Capability, Model, Tokens
from headwise.models.frameworks import FrameworkModel
from headwise.models.loaded_model import Gradients, LoadedModel
from headwise.models.loader import FAMILIES, load
from headwise.models.series import SeriesTransformerConfig
from headwise.models.sets import SetTransformerConfig
from headwise.models.tabular import TableTransformerConfig
from headwise.models.token_ablation import ABLATIONS, TokenGame
from headwise.models.two_towers import TwoTowers
from headwise.models.vit import ViTConfig

__all__ = [
    "ABLATIONS",
    "CAPABILITIES",
    "FAMILIES",
    "Capability",
    "FrameworkModel",
    "Gradients",
    "LoadedModel",
    "Model",
    "SeriesTransformer",
    "SeriesTransformerConfig",
    "SetTransformer",
    "SetTransformerConfig",
    "TableTransformer",
    "TableTransformerConfig",
    "TokenGame",
    "Tokens",
    "TwoTowers",
    "ViT",
    "ViTConfig",
    "find_model",
    "load",
    "open_model",
]

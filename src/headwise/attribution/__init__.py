"""What a prediction depends on: attribution maps of any model, next to its attention."""

from headwise.attribution.ablations import ABLATIONS, PlayerGame, ablation_names, player_game
from headwise.attribution.attribute import ATTENTION, Attribution, attribute
from headwise.attribution.decomposition import LogitDecomposition, decompose_logit
from headwise.attribution.differentiable import Differentiable, differentiable, is_differentiable
from headwise.attribution.maps import MAPS, AttributionMap, available_maps, cheap_maps, compute_map
from headwise.attribution.players import Players, group_tokens
from headwise.attribution.recommendation import Recommendation, model_fingerprint, recommended_map
from headwise.attribution.relevance import attn_lrp
from headwise.attribution.run import ModelRun

__all__ = [
    "ABLATIONS",
    "ATTENTION",
    "MAPS",
    "Attribution",
    "AttributionMap",
    "Differentiable",
    "LogitDecomposition",
    "ModelRun",
    "PlayerGame",
    "Players",
    "Recommendation",
    "ablation_names",
    "attn_lrp",
    "attribute",
    "available_maps",
    "cheap_maps",
    "compute_map",
    "decompose_logit",
    "differentiable",
    "group_tokens",
    "is_differentiable",
    "model_fingerprint",
    "player_game",
    "recommended_map",
]

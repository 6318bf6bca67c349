"""Measures of attention weights and of maps: arrays in, numbers out, independent of any model."""

from headwise.metrics.concentration import (
    class_token_weight,
    drop_class_token,
    effective_number,
    entropy,
    normalize_rows,
    self_weight,
)
from headwise.metrics.contributions import alti, attention_contributions, compose, contribution_norms
from headwise.metrics.faithfulness import CONFIDENCE_BAND, Faithfulness, faithfulness, spearman
from headwise.metrics.flow import flow
from headwise.metrics.gradients import gradient_rollout, gradient_weighted, head_importance, integrated_gradients
from headwise.metrics.head_agreement import head_agreement
from headwise.metrics.head_roles import HeadRoles, TokenRoles, head_roles
from headwise.metrics.permutation import holm, permutation_test, sign_flip_test
from headwise.metrics.perturbation import (
    ValueFunction,
    aopc,
    auc,
    comprehensiveness,
    deletion_curve,
    insertion_curve,
    leave_one_out,
    random_orders,
    rank_tokens,
    sufficiency,
)
from headwise.metrics.positions import position_similarity
from headwise.metrics.roles import ROLES
from headwise.metrics.rollout import residual_mixture, rollout
from headwise.metrics.row_sums import ROW_SUM_TOLERANCE, check_attention_weights
from headwise.metrics.shapley import EXACT_UP_TO, ShapleyEstimate, TabulatedGame, coalitions, sampled_shapley, shapley
from headwise.metrics.spatial import (
    Distances,
    attention_distance,
    attention_distances,
    foreground_fraction,
    to_pixels,
    token_centers,
    weight_on_foreground,
)

__all__ = [
    "CONFIDENCE_BAND",
    "EXACT_UP_TO",
    "ROLES",
    "ROW_SUM_TOLERANCE",
    "Distances",
    "Faithfulness",
    "HeadRoles",
    "ShapleyEstimate",
    "TabulatedGame",
    "TokenRoles",
    "ValueFunction",
    "alti",
    "aopc",
    "attention_contributions",
    "attention_distance",
    "attention_distances",
    "auc",
    "check_attention_weights",
    "class_token_weight",
    "coalitions",
    "compose",
    "comprehensiveness",
    "contribution_norms",
    "deletion_curve",
    "drop_class_token",
    "effective_number",
    "entropy",
    "faithfulness",
    "flow",
    "foreground_fraction",
    "gradient_rollout",
    "gradient_weighted",
    "head_agreement",
    "head_importance",
    "head_roles",
    "holm",
    "insertion_curve",
    "integrated_gradients",
    "leave_one_out",
    "normalize_rows",
    "permutation_test",
    "position_similarity",
    "random_orders",
    "rank_tokens",
    "residual_mixture",
    "rollout",
    "sampled_shapley",
    "self_weight",
    "shapley",
    "sign_flip_test",
    "spearman",
    "sufficiency",
    "to_pixels",
    "token_centers",
    "weight_on_foreground",
]

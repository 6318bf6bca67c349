"""Two models on one input: the first step in which they differ, and the mistake that explains it."""

from headwise.models.comparison.compare import ModelComparison, compare_models
from headwise.models.comparison.variants import VARIANTS, Variant

__all__ = ["VARIANTS", "ModelComparison", "Variant", "compare_models"]

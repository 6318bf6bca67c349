"""The explorer: an interactive page of a model's attention, in one file without external parts."""

from headwise.explanation.explorer.content import to_fixed_point
from headwise.explanation.explorer.explorer import STATIC, Explorer, explore

__all__ = ["STATIC", "Explorer", "explore", "to_fixed_point"]

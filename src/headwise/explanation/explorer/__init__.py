"""The explorer: an interactive page of a model's attention, in one file without external parts."""

from headwise.explanation.explorer.content import MEASURES, build_views, image_content, to_fixed_point
from headwise.explanation.explorer.explorer import Explorer, explore

__all__ = ["MEASURES", "Explorer", "build_views", "explore", "image_content", "to_fixed_point"]

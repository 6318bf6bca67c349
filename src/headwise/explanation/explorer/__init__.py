"""The explorer: an interactive page of a model's attention, in one file without external parts."""

from headwise.explanation.explorer.explorer import SCRIPTS, Explorer, ExplorerInput
from headwise.explanation.explorer.fixed_point import to_fixed_point
from headwise.explanation.explorer.measures import MEASURES
from headwise.explanation.explorer.views import build_views, choose_opening

__all__ = ["MEASURES", "SCRIPTS", "Explorer", "ExplorerInput", "build_views", "choose_opening", "to_fixed_point"]

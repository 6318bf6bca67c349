"""Figures of attention with measured captions, and what other plots share with them: style, panels and colours."""

from headwise.figures.caption import Caption, to_statements
from headwise.figures.gallery import CaptionedFigure, figure_names, select_figures
from headwise.figures.kinds import FIGURES, FigureKind
from headwise.figures.panels import COLUMN, PAGE
from headwise.figures.record import AttentionRecord
from headwise.figures.record_files import load_arrays
from headwise.figures.save import check_figure_path, new_figure, save_figure, save_one, style, svg_data_uri
from headwise.figures.view import SCALES, View

__all__ = [
    "COLUMN",
    "FIGURES",
    "PAGE",
    "SCALES",
    "AttentionRecord",
    "Caption",
    "CaptionedFigure",
    "FigureKind",
    "View",
    "check_figure_path",
    "figure_names",
    "load_arrays",
    "new_figure",
    "save_figure",
    "save_one",
    "select_figures",
    "style",
    "svg_data_uri",
    "to_statements",
]

"""Rows or patches: a long study of the same transformer on whole rows, 7 × 7 and 4 × 4 pixels, and its record."""

from headwise.coursework.rows_or_patches.plan import Cell, RowsPlan, cells
from headwise.coursework.rows_or_patches.run import Difference, RowsRecord, load_record, run

__all__ = ["Cell", "Difference", "RowsPlan", "RowsRecord", "cells", "load_record", "run"]

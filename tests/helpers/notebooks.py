"""Notebooks in the style of public courses, in ``tests/notebooks``, and small ones made of a test's own cells."""

import json
from pathlib import Path

__all__ = ["NOTEBOOKS", "write_notebook"]

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def write_notebook(path, *cells):
    """Write code cells as a notebook, and return its path."""
    code = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": cell} for cell in cells
    ]
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path

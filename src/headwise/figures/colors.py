"""The colours of all figures and pages, readable in greyscale and to colour-blind readers."""

from __future__ import annotations

HEATMAP = "Blues"  # Matplotlib's colour map for weights: white for none, dark blue for the most
SIGNED = "RdBu"  # for signed values: red for negative ones, white for zero, blue for positive ones
ACCENT = "#1f4e8c"  # measured values
PALE_ACCENT = "#7a9cc6"  # their less important companion
MARK = "#c2571a"  # token boundaries, the chosen token, and the series compared with ACCENT
AVERAGE = "#111111"  # a mean drawn through points
REFERENCE = "#8a8a8a"  # what a measure is compared with: zero, or uniform attention
RANDOM = "#7a828c"  # the mean over random orders
BAND = "#d5d9de"  # a confidence band
GRID = "#dddddd"  # grid lines
MISSING = "#dddddd"  # cells without a value
OUTLINE = "#333333"  # the outline of the ink
# lines and markers with a legend
CATEGORIES = (
    "#1b4f8a", "#c2571a", "#3f8f5b", "#8a5aa8", "#5b9bd5", "#b8860b", "#2f9aa0", "#c44e7a",
)  # fmt: skip

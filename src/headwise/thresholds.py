"""The thresholds of the captions' rules, each with what it decides."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BACKGROUND", "INK", "THRESHOLDS", "Threshold"]

INK = 0.5  # a pixel above this is ink
BACKGROUND = 0.1  # and one below this is background; a picture that is half background is a drawing


class Threshold(NamedTuple):
    """A threshold, and what a caption says where a measure passes it."""

    threshold: float
    decides: str


THRESHOLDS = {
    "ink_level": Threshold(INK, "A pixel is ink if it is brighter than this, the background being 0."),
    "background": Threshold(
        BACKGROUND,
        "A pixel is background if it is darker than this. An image of which less than half is background is no "
        "drawing: "
        "its caption says nothing of ink.",
    ),
    "even": Threshold(0.9, "A head is nearly uniform if its effective number of tokens is at least this share of all."),
    "on_ink": Threshold(
        1.25,
        "A head looks at ink if it puts at least this many times as much weight on ink as an even spread would, and "
        "away "
        "from it at one over it.",
    ),
    "changed": Threshold(
        1.1,
        "Depth changes a measure if the last layer has at least this many times the first's, or at most one over it.",
    ),
    "local": Threshold(
        0.7, "A head is local if its mean attention distance is at most this share of an even spread's."
    ),
    "alike": Threshold(0.7, "Two heads agree if one less the Jensen–Shannon distance of their maps is at least this."),
    "asking": Threshold(
        0.25, "In a head all tokens look alike if who asks decides at most this many bits of where it looks."
    ),
    "ordered": Threshold(
        0.3,
        "Positions are ordered by distance if the rank correlation of cosine and distance is beyond this, either way.",
    ),
    "chance": Threshold(
        0.95,
        "A map is better than chance, as tokens are taken away or put in, if it beats at least this share of random "
        "orders.",
    ),
    "follows": Threshold(
        0.5, "A map follows the tokens' Shapley values if its rank correlation with them is at least this."
    ),
}

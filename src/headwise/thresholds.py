"""The thresholds that captions and findings use, each with the decision it makes."""

from __future__ import annotations

from typing import NamedTuple

INK = 0.5  # a pixel above this is ink
BACKGROUND = 0.1  # a pixel below this is background


class Threshold(NamedTuple):
    """A threshold and the decision that it makes."""

    value: float
    decision: str


THRESHOLDS = {
    "ink_level": Threshold(INK, "A pixel is ink if it is brighter than this; the background is 0."),
    "background": Threshold(
        BACKGROUND,
        "A pixel is background if it is darker than this. If less than half of an image is background, it is not a "
        "drawing, and its caption does not mention ink.",
    ),
    "typicality": Threshold(
        0.01,
        "An image looks unlike the digits that the model was made for if less than this share of MNIST's test digits "
        "is at least as far from the mean features of the nearest class.",
    ),
    "near_uniform": Threshold(
        0.9, "A head is nearly uniform if its effective number of tokens is at least this fraction of all tokens."
    ),
    "ink_ratio": Threshold(
        1.25,
        "A head favours ink if it puts at least this many times as much weight on ink as uniform attention would, and "
        "avoids ink if it puts at most the reciprocal.",
    ),
    "depth_ratio": Threshold(
        1.1,
        "A measure changes with depth if its value in the last layer is at least this many times its value in the "
        "first, or at most the reciprocal, and if it is correlated with depth.",
    ),
    "depth_correlation": Threshold(
        0.6, "A measure grows or shrinks with depth if the rank correlation with the layer is at least this in size."
    ),
    "local": Threshold(
        0.7, "A head is local if its mean attention distance is at most this fraction of that of uniform attention."
    ),
    "role": Threshold(0.25, "A head has a role if its score for it is at least this, and significantly above chance."),
    "role_ratio": Threshold(4.0, "The score of a role must also be at least this many times its chance level."),
    "alignment": Threshold(0.4, "A head aligns two parts of an input if its score for it is at least this."),
    "agreement": Threshold(
        0.7, "Two heads agree if one minus the Jensen–Shannon distance between their maps is at least this."
    ),
    "map_agreement": Threshold(
        0.5, "Attention and the map of what a prediction depends on agree if their rank correlation is at least this."
    ),
    "query_dependence": Threshold(
        0.25,
        "A head's pattern does not depend on the query if the mutual information between query and attended token is "
        "at most this many bits.",
    ),
    "position_correlation": Threshold(
        0.3,
        "Position embeddings are ordered by distance if the rank correlation between cosine and distance is at least "
        "this in absolute value.",
    ),
    "beats_random": Threshold(
        0.95,
        "A map is better than chance at deletion or insertion if it beats at least this fraction of random orders.",
    ),
    "shapley_correlation": Threshold(
        0.5, "A map follows the tokens' Shapley values if its rank correlation with them is at least this."
    ),
}


def thresholds_page() -> str:
    """The page of the documentation that lists the thresholds, in Markdown."""
    rows = [f"| `{name}` | {value:g} | {decision} |" for name, (value, decision) in THRESHOLDS.items()]
    return "\n".join(
        [
            "# Thresholds",
            "",
            "The rules that select the sentences of captions and findings compare measured numbers with these",
            "thresholds, which are in `headwise.thresholds`. A caption states those that it uses.",
            "",
            "This page is made by `python -m headwise.thresholds > docs/thresholds.md`.",
            "",
            "| name | value | decision |",
            "|---|---:|---|",
            *rows,
        ]
    )


if __name__ == "__main__":
    print(thresholds_page())

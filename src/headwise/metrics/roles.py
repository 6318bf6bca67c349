"""The roles that an attention head can have: what is measured for each, and its source."""

from __future__ import annotations

from typing import NamedTuple


class Role(NamedTuple):
    """A role: how it is called, what is measured, and where it is described."""

    phrase: str
    statistic: str
    source: str


ROLES = {  # the narrower, the earlier
    "induction": Role(
        "induction",
        "weight on the token after the previous occurrence of the query, on random tokens that are repeated once",
        "Olsson et al., arXiv 2209.11895 (2022)",
    ),
    "alignment": Role(
        "alignment of two parts",
        "share of tokens of the shorter part that have a partner in the other, each with its largest weight there on "
        "the other; in one direction, the rank correlation of queries with their largest weights",
        "Schwaller et al., Science Advances 7 (2021), eabe4166",
    ),
    "previous": Role("previous token", "weight on the token before", "Voita et al., arXiv 1905.09418 (2019)"),
    "next": Role("next token", "weight on the token after", "Voita et al., arXiv 1905.09418 (2019)"),
    "same": Role(
        "same token", "weight on other occurrences of the same token", "Clark et al., arXiv 1906.04341 (2019)"
    ),
    "self": Role("itself", "weight on itself", "Clark et al., arXiv 1906.04341 (2019)"),
    "offset": Role(
        "fixed offset",
        "weight on the token at one offset, the best of all that are near",
        "Cordonnier et al., arXiv 1911.03584 (2019)",
    ),
    "local": Role(
        "local window",
        "weight on tokens within two steps, or on a patch and its eight neighbours",
        "Raganato & Tiedemann, BlackboxNLP (2018)",
    ),
    "delimiter": Role("delimiters", "weight on separators and punctuation", "Clark et al., arXiv 1906.04341 (2019)"),
    "first": Role("first token", "weight on the first token", "Xiao et al., arXiv 2309.17453 (2023)"),
    "outlier": Role(
        "outlier token", "as a sink, on a token of the input itself", "Darcet et al., arXiv 2309.16588 (2023)"
    ),
    "sink": Role(
        "sink",
        "mean weight on one key, the one that receives most, from all other queries",
        "Xiao et al., arXiv 2309.17453 (2023)",
    ),
    "uniform": Role(
        "uniform",
        "effective number of tokens, as a fraction of the visible ones; it is the absence of a pattern, so it is not "
        "tested against chance",
        "Clark et al., arXiv 1906.04341 (2019)",
    ),
}

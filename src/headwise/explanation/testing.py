"""The faithfulness test of figures: the model runs again with tokens removed in the order of a figure's ranking."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.figures import CaptionedFigure
from headwise.metrics.faithfulness import faithfulness
from headwise.metrics.perturbation import ValueFunction
from headwise.metrics.shapley import EXACT_UP_TO, TabulatedGame, coalitions
from headwise.metrics.spatial import foreground_fraction
from headwise.models import Model, TokenGame
from headwise.shapes import BoolArray

__all__ = ["FaithfulnessTest"]

_ORDERS, _FEWER_ORDERS, _FEWEST_ORDERS = 1000, 100, 20  # random orders to compare with
_QUICK = 20.0  # seconds that a test may take without being requested


class FaithfulnessTest:
    """A test of figures of one input.

    Parameters
    ----------
    model : Model
        One that predicts.
    input
        What it takes.
    """

    def __init__(self, model: Model, input: Any) -> None:
        self._model, self._input = model, input

    @cached_property
    def tokens(self) -> int:
        """N, the tokens that can be removed."""
        return int((~self._model.tokens(self._input).prefix).sum())

    @cached_property
    def seconds_per_set(self) -> float:
        """How long a prediction for one set of tokens takes."""
        keep: BoolArray = np.random.default_rng(0).random((4, self.tokens)) < 0.5
        self._tokens_game(keep[:1])
        start = time.perf_counter()
        self._tokens_game(keep)
        return (time.perf_counter() - start) / len(keep)

    @property
    def is_quick(self) -> bool:
        """Whether the test, with few random orders at least, takes seconds."""
        if self.tokens <= EXACT_UP_TO and self.seconds_per_set * 2**self.tokens <= _QUICK:
            return True
        try:
            return self.seconds_per_set * 2 * (self.tokens + 1) * (_FEWEST_ORDERS + 2) <= _QUICK
        except DataError:  # a model that cannot leave out tokens of this input
            return False

    @cached_property
    def orders(self) -> int:
        """How many random orders a ranking is compared with: fewer for a slow model."""
        if self._is_exact:
            return _ORDERS
        affordable = int(_QUICK / max(self.seconds_per_set * 2 * (self.tokens + 1), 1e-9)) - 2
        return max(_FEWEST_ORDERS, min(_FEWER_ORDERS, affordable))

    def apply(self, figure: CaptionedFigure) -> CaptionedFigure:
        """Return the figure with the score and curves of its ranking; a figure without a ranking is unchanged."""
        ranking, record = figure.ranking, figure.record
        if ranking is None:
            return figure
        ink = foreground_fraction(record.ink, record.boxes) if record.kind == "image" else np.zeros(self.tokens)
        rng = np.random.default_rng(0)
        score, curves = faithfulness(self._game, ranking.astype(np.float64), ink, orders=self.orders, rng=rng)
        return replace(figure, record=replace(record, ranking=ranking, faithfulness=score, curves=curves))

    @property
    def _is_exact(self) -> bool:
        """Whether every set of tokens is evaluated."""
        return self.tokens <= EXACT_UP_TO and (self.tokens <= 10 or self.seconds_per_set * 2**self.tokens <= 3 * _QUICK)

    @cached_property
    def _game(self) -> ValueFunction:
        """The probability of the predicted class by the tokens that remain; tabulated if all sets can be."""
        game = self._tokens_game
        return TabulatedGame(game(coalitions(self.tokens))) if self._is_exact else game

    @cached_property
    def _tokens_game(self) -> TokenGame:
        return TokenGame(self._model, self._input, int(self._model.predict(self._input).argmax()))

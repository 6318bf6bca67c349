"""The faithfulness test of figures: the model runs again with tokens removed in the order of a figure's ranking."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.figures import CaptionedFigure
from headwise.metrics.faithfulness import Faithfulness, faithfulness
from headwise.metrics.perturbation import ValueFunction
from headwise.metrics.shapley import EXACT_UP_TO, TabulatedGame, coalitions
from headwise.metrics.spatial import foreground_fraction
from headwise.models import Model, TokenGame, ViT
from headwise.shapes import Array, BoolArray

_ORDERS, _FEWER_ORDERS, _FEWEST_ORDERS = 1000, 100, 20  # random orders to compare with
_EXACT_UP_TO_OTHERS = 10  # tokens, up to which every set is evaluated by models that are not this package's
QUICK = 20.0  # seconds that a test may take without being requested


class FaithfulnessTest:
    """A test of figures of one input.

    Parameters
    ----------
    model : Model
        One that predicts.
    input
        What it takes.
    causal : bool
        Whether it predicts from the last token. That one stays, unless there are special tokens that do.
    """

    def __init__(self, model: Model, input: Any, *, causal: bool = False) -> None:
        self._model, self._input, self._causal = model, input, causal
        self._results: dict[bytes, tuple[Faithfulness, Array]] = {}

    @cached_property
    def tokens(self) -> int:
        """How many tokens are removed."""
        return int((~self._prefix).sum()) - self._keeps_last

    @cached_property
    def seconds_per_set(self) -> float:
        """How long a prediction for one set of tokens takes."""
        keep: BoolArray = np.random.default_rng(0).random((4, self.tokens)) < 0.5
        self._value(keep[:1])
        start = time.perf_counter()
        self._value(keep)
        return (time.perf_counter() - start) / len(keep)

    @cached_property
    def obstacle(self) -> str:
        """Why the test is not run without a request: its duration, or that no tokens can be removed; empty if it is."""
        if self._is_small:
            return ""
        try:
            self._value(np.zeros((1, self.tokens), bool))
        except DataError as error:
            return f"it removes all tokens in the end; {error}"
        sets = 2**self.tokens if self._is_exact else 2 * (self.tokens + 1) * (self.orders + 2)
        seconds = self.seconds_per_set * sets
        if seconds <= QUICK:
            return ""
        duration = timedelta(seconds=round(seconds))
        return f"it would take about {duration} (h:mm:ss); test=True or --figure deletion runs it"

    @property
    def orders(self) -> int:
        """How many random orders a ranking is compared with; the result does not depend on how fast a machine is."""
        if self._is_exact:
            return _ORDERS
        return _FEWER_ORDERS if self._is_small else _FEWEST_ORDERS

    def apply(self, figure: CaptionedFigure) -> CaptionedFigure:
        """Return the figure with the score and curves of its ranking; a figure without a ranking is unchanged."""
        ranking, record = figure.ranking, figure.record
        if ranking is None:
            return figure
        key = ranking.tobytes()
        if key not in self._results:
            ink = foreground_fraction(record.ink, record.boxes) if record.kind == "image" else np.zeros(self.tokens)
            rng, values = np.random.default_rng(0), ranking[: self.tokens].astype(np.float64)
            exact = self.tokens if self._is_exact else 0
            self._results[key] = faithfulness(self._game, values, ink, orders=self.orders, rng=rng, exact_up_to=exact)
        score, curves = self._results[key]
        return replace(figure, record=replace(record, ranking=ranking, faithfulness=score, curves=curves))

    @property
    def _is_exact(self) -> bool:
        """Whether every set of tokens is evaluated."""
        return self.tokens <= (EXACT_UP_TO if self._is_small else min(EXACT_UP_TO, _EXACT_UP_TO_OTHERS))

    @property
    def _is_small(self) -> bool:
        """Whether the model is one of this package's, which evaluate thousands of sets in a second."""
        return isinstance(self._model, ViT)

    @cached_property
    def _game(self) -> ValueFunction:
        """The probability of the predicted class by the tokens that remain; tabulated if all sets can be."""
        return TabulatedGame(self._value(coalitions(self.tokens))) if self._is_exact else self._value

    def _value(self, keep: BoolArray) -> Array:
        """Probabilities (S,) for sets (S, N) of the tokens that are removed."""
        last = np.ones((len(keep), self._keeps_last), bool)
        return self._tokens_game(np.concatenate([keep, last], axis=1))

    @cached_property
    def _tokens_game(self) -> TokenGame:
        return TokenGame(self._model, self._input, int(self._model.predict(self._input).argmax()))

    @cached_property
    def _prefix(self) -> BoolArray:
        return self._model.tokens(self._input).prefix

    @property
    def _keeps_last(self) -> int:
        return int(self._causal and not self._prefix.any())

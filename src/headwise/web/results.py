"""What the page of texts and images shows of one input: the prediction, what it depends on, and every head."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.explanation import measure_dependence, name_scores, record_input
from headwise.explanation.explorer import Explorer, ExplorerInput, to_fixed_point
from headwise.figures import AttentionRecord, CaptionedFigure, select_figures
from headwise.models import Model
from headwise.text import as_html

DECIMALS = 3  # of weights and probabilities
_MAX_TOKENS = 512
_TOP = 5  # predictions that are listed
_SECONDS = 60.0  # that a map of what the prediction depends on may take
_MAX_BYTES = 500_000_000  # of weights that are kept for later requests


@dataclass(frozen=True, eq=False)
class InputResult:
    """A model's record of one input, and the key under which a page can request more of it."""

    key: str
    name: str
    model: Model
    input: Any
    record: AttentionRecord

    def content(self) -> dict[str, Any]:
        """Prediction and the short caption, as JSON types."""
        record = self.record
        (figure,) = select_figures(record, "auto")
        return {
            "key": self.key,
            "decimals": DECIMALS,
            "tokens": record.weights.shape[-1],
            "next_token": record.next_token,
            "prediction": _prediction(self.model, record),
            "caption": " ".join(map(as_html, figure.caption.short)),
        }

    def dependence(self) -> dict[str, Any]:
        """What the prediction depends on: a value for each key, from −1 to 1, and the short caption.

        Raises DataError if it cannot be computed, or would take more than a minute.
        """
        dependence = measure_dependence(self.model, self.input, self.record, max_seconds=_SECONDS)
        record = replace(self.record, dependence=dependence)
        values = np.zeros(len(record.is_prefix))
        values[record.content] = dependence.values_by_token
        caption = CaptionedFigure(record, "dependence").caption
        opening = f"By {dependence.map}: blue counts for the prediction, red against it. "
        opening += "It is compared with attention, a mean over all layers and heads."
        untested = "Whether it explains the prediction was not tested."
        return {
            "map": dependence.map,
            "values": to_fixed_point(values / (np.abs(values).max() or 1), DECIMALS),
            "players": dependence.players.tolist(),
            "caption": " ".join([opening, *map(as_html, caption.short[2:-1]), untested]),
        }


def compute_result(key: str, name: str, model: Model, input: Any) -> InputResult:
    """Run a named model on one input and record its attention.

    Raises DataError if the input has too many tokens, or the model cannot be recorded on it.
    """
    count = len(model.tokens(input))
    if count > _MAX_TOKENS:
        raise DataError(
            f"input: at most {_MAX_TOKENS} tokens on this page; got {count}. `headwise explain` takes any number."
        )
    return InputResult(key, name, model, input, record_input(model, input))


def compare_results(results: Sequence[InputResult]) -> dict[str, Any]:
    """Every head of the models, and what differs between them, for the explorer."""
    inputs = (ExplorerInput(item.record, "the input", item.name) for item in results)
    return Explorer("", tuple(inputs)).content()


class ResultStore:
    """The most recent results by their keys, up to a number of bytes; the newest is always kept."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._results: OrderedDict[str, InputResult] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def key(model: str, body: bytes) -> str:
        """The key of the result of a named model to the body of a request."""
        return hashlib.sha256(model.encode() + b"\0" + body).hexdigest()[:24]

    def add(self, new: InputResult) -> InputResult:
        """Keep a result, and drop the oldest ones beyond the limit."""
        with self._lock:
            self._results[new.key] = new
            self._results.move_to_end(new.key)
            total = sum(item.record.weights.nbytes for item in self._results.values())
            while len(self._results) > 1 and total > self._max_bytes:
                total -= self._results.popitem(last=False)[1].record.weights.nbytes
        return new

    def find(self, key: str) -> InputResult | None:
        """The result with this key, if it is still kept."""
        with self._lock:
            return self._results.get(key)


def _prediction(model: Model, record: AttentionRecord) -> list[list[Any]]:
    """Name and probability of the most probable classes, or next tokens."""
    top = np.argsort(-record.probabilities, kind="stable")[:_TOP]
    names = name_scores(model, top, len(record.probabilities)).names
    shares = to_fixed_point(record.probabilities[top], DECIMALS)
    return [[name or f"class {i}", share] for name, i, share in zip(names, top.tolist(), shares, strict=True)]

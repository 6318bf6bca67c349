"""What the page of texts and images shows of one input: prediction, heads by role, weights of one head, dependence."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.explanation import measure_dependence, name_scores, record_input
from headwise.explanation.explorer import to_fixed_point
from headwise.figures import AttentionRecord, CaptionedFigure, select_figures
from headwise.models import Model
from headwise.shapes import Array
from headwise.text import as_html

__all__ = ["Answer", "AnswerStore", "answer"]

DECIMALS = 3  # of weights and probabilities
_MAX_TOKENS = 512
_TOP = 5  # predictions that are listed
_SECONDS = 60.0  # that a map of what the prediction depends on may take
_MAX_BYTES = 500_000_000  # of weights that are kept for later requests
_POSITIONAL = ("sink", "outlier", "first", "uniform")  # roles that say little about one input


@dataclass(frozen=True, eq=False)
class Answer:
    """A model's record of one input, and the key under which a page asks for more of it."""

    key: str
    model: Model
    input: Any
    record: AttentionRecord

    def content(self) -> dict[str, Any]:
        """Tokens, prediction, heads by role and the short caption, as JSON types."""
        record = self.record
        layers, heads = record.weights.shape[:2]
        (figure,) = select_figures(record, "auto")
        *shown, query = _opening(record)
        return {
            "key": self.key,
            "decimals": DECIMALS,
            "kind": record.kind,
            "labels": [record.word(key) for key in range(record.weights.shape[-1])],
            "prefix": record.is_prefix.tolist(),
            "places": record.boxes.tolist(),
            "text": record.text,
            **_image(record),
            "heads": [
                {"layer": layer, "head": head, "role": record.role_phrase((layer, head))}
                for layer in range(layers)
                for head in range(heads)
            ],
            "shown": shown,
            "query": query,
            "next_token": record.next_token,
            "prediction": _prediction(self.model, record),
            "caption": " ".join(map(as_html, figure.caption.short)),
        }

    def weights(self, layer: int, head: int) -> dict[str, Any]:
        """The attention weights (T, M) of one head, in reading order.

        Raises
        ------
        DataError
            If there is no such head.
        """
        layers, heads = self.record.weights.shape[:2]
        if not (0 <= layer < layers and 0 <= head < heads):
            raise DataError(
                f"head: expected layers 0 to {layers - 1} and heads 0 to {heads - 1}; got layer {layer}, head {head}."
            )
        return {"weights": to_fixed_point(self.record.weights[layer, head].ravel(), DECIMALS)}

    def dependence(self) -> dict[str, Any]:
        """What the prediction depends on: a value for each token of the input, from −1 to 1, and the short caption.

        Raises
        ------
        DataError
            If it cannot be computed, or would take more than a minute.
        """
        dependence = measure_dependence(self.model, self.input, self.record, max_seconds=_SECONDS)
        record = replace(self.record, dependence=dependence)
        values = dependence.values_by_token
        caption = CaptionedFigure(record, "dependence").caption
        opening = f"By {dependence.map}: blue speaks for the prediction, red against it. "
        opening += "It is compared with attention, a mean over all layers and heads."
        untested = "Whether it explains the prediction was not tested."
        return {
            "map": dependence.map,
            "values": to_fixed_point(values / (np.abs(values).max() or 1), DECIMALS),
            "players": dependence.players.tolist(),
            "caption": " ".join([opening, *map(as_html, caption.short[2:-1]), untested]),
        }


def answer(key: str, model: Model, input: Any) -> Answer:
    """Run a model on one input and record its attention.

    Raises
    ------
    DataError
        If the input has too many tokens, or the model cannot be recorded on it.
    """
    count = len(model.tokens(input))
    if count > _MAX_TOKENS:
        raise DataError(
            f"input: at most {_MAX_TOKENS} tokens on this page; got {count}. `headwise explain` takes any number."
        )
    return Answer(key, model, input, record_input(model, input))


class AnswerStore:
    """The most recent answers by their keys, up to a number of bytes; the newest is always kept."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def key(model: str, body: bytes) -> str:
        """The key of the answer of a named model to the body of a request."""
        return hashlib.sha256(model.encode() + b"\0" + body).hexdigest()[:24]

    def add(self, new: Answer) -> Answer:
        """Keep an answer, and drop the oldest ones beyond the limit."""
        with self._lock:
            self._answers[new.key] = new
            self._answers.move_to_end(new.key)
            while len(self._answers) > 1 and self._num_bytes() > self._max_bytes:
                self._answers.popitem(last=False)
        return new

    def find(self, key: str) -> Answer | None:
        """The answer with this key, if it is still kept."""
        with self._lock:
            return self._answers.get(key)

    def _num_bytes(self) -> int:
        return sum(kept.record.weights.nbytes for kept in self._answers.values())


def _prediction(model: Model, record: AttentionRecord) -> list[list[Any]]:
    """Name and probability of the most probable classes, or next tokens."""
    top = np.argsort(-record.probabilities, kind="stable")[:_TOP]
    names = name_scores(model, top, len(record.probabilities)).names
    shares = to_fixed_point(record.probabilities[top], DECIMALS)
    return [[name or f"class {i}", share] for name, i, share in zip(names, top.tolist(), shares, strict=True)]


def _opening(record: AttentionRecord) -> tuple[int, int, int]:
    """Layer, head and query to begin with: the largest weight on a token of the input that is no sink of the head.

    Heads with a role are preferred. Of an image the query is the class token, if there is one.
    """
    of_class = record.kind == "image" and record.has_class_token
    queries = np.zeros(1, int) if of_class else record.content
    weights = record.weights[:, :, :, record.content].astype(np.float64)
    weights[:, :, record.content, np.arange(len(record.content))] = 0  # on themselves
    np.put_along_axis(weights, weights.mean(axis=2).argmax(axis=-1)[:, :, None, None], 0, axis=-1)
    largest = weights[:, :, queries].max(axis=-1)  # (L, H, queries)
    shown = np.isin(record.roles.main, [i for i, name in enumerate(record.roles.names) if name not in _POSITIONAL])
    score = largest.mean(axis=-1) + (0 if of_class else shown)
    layer, head = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
    return layer, head, int(queries[int(largest[layer, head].argmax())])


def _image(record: AttentionRecord) -> dict[str, Any]:
    """The image as the model sees it, as a data address, and its height and width."""
    if record.kind != "image":
        return {}
    return {"image": f"data:image/png;base64,{_png(record.image)}", "size": list(record.size)}


def _png(image: Array) -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()

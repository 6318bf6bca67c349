"""What vectors of distances do that none does: of tables of a layer that is right without them, and no design explains.

Where all tokens have the same queries and keys, pairs of tokens at the same distance have the same logits, and pairs of
pixels that are as many rows and columns from each other. Their products are with queries, also where there are others
with keys (Shaw et al., 2018; He et al., 2021).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headwise.checker.modules.call import Call, CallError
from headwise.checker.modules.calls import takes_any_count
from headwise.checker.modules.more_keys import tables_of_heads
from headwise.checker.modules.projections import Reading
from headwise.checker.modules.select import draw_weights
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import image_sides
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_OF_DISTANCES = re.compile(r"rel|rpe|dist|(^|[._])er$", re.IGNORECASE)
_OF_POSITIONS = re.compile(r"pos|(^|[._])r(_net|_proj)?\.weight$", re.IGNORECASE)  # or their projections
_CLOSE = 1e-4  # a layer may compute in float32
_HIDDEN = 1e-6  # of a weight


def contradiction(call: Call, reading: Reading, tables: Mapping[str, Array]) -> str:
    """What the outputs show that no vectors of distances do, in a sentence; empty if they show none of it.

    `tables`: all that the layer has, with random numbers; they are zero afterwards.
    """
    sizes = reading.sizes
    fitting = {name: a for name, a in tables.items() if [*tables_of_heads(a, sizes.heads, sizes.width)]}
    vectors = {name: a for name, a in fitting.items() if _OF_DISTANCES.search(name)}
    others = {name: a for name, a in fitting.items() if _OF_POSITIONS.search(name)}
    empty = {name: np.zeros_like(array) for name, array in tables.items()}
    of_context = call.takes_context and sizes.context != sizes.model
    if not (vectors or others) or of_context or call.latents or reading.sliced or not takes_any_count(call, sizes):
        return ""
    try:
        return next(_Layer(call, reading, empty).contradictions(vectors, others), "")
    except (CallError, ValueError):
        return ""
    finally:
        call.layer.write(empty)


class _Layer:
    """A layer whose queries and keys are made from the first half of the features, and its values from the others."""

    def __init__(self, call: Call, reading: Reading, empty: Mapping[str, Array]) -> None:
        self.call, self.reading, self.empty = call, reading, empty
        self.half = reading.sizes.model // 2
        rng = np.random.default_rng(11)
        self.weights = draw_weights(reading, rng)
        for name in ("Wq", "Wk"):
            self.weights[name][:, self.half :] = 0
        self.weights["Wv"][:, : self.half] = 0
        self.weights["Wv"][reading.sizes.values :] = 0  # of the first head alone
        self.token = rng.normal(size=reading.sizes.model)
        self.X = np.tile(self.token, (call.batch, call.rows, 1))

    def contradictions(self, vectors: Mapping[str, Array], others: Mapping[str, Array]) -> Iterator[str]:
        """Sentences on what the layer does with vectors, by the names of their tables, and with others of positions."""
        tables = {**vectors, **others}
        if np.nanmax(np.abs(np.diff(self._logits({}), axis=1)), initial=0) > _CLOSE:  # it does more than this knows
            return
        if self._depends_on_other_queries(tables):
            yield f"The products of {' and '.join(tables)} are not with the query of the token that attends."
        logits = self._logits(vectors)
        if _residual(logits, self._places()) > _CLOSE:
            yield f"The logits with {' and '.join(vectors)} differ between pairs of tokens at the same distance."
        for name, array in vectors.items():
            if not self._changes({name: array}, without="k") and self._changes({name: array}, without="q"):
                yield f"The products of {name} are with the keys alone, and not with the queries."
        own = logits - np.diagonal(logits)[:, None]
        if np.isnan(own).any() or np.abs(own - own.T).max() > _CLOSE:
            return
        for name, array in vectors.items():
            if self._has_unused_half({name: array}):
                yield f"{name} is the same for keys before and after a query, and half of it has no use."

    def _places(self) -> Any:
        """The places of the tokens (N, 1), or those of pixels (N, 2)."""
        rows, axes = self.call.rows, self.call.axes
        sides = image_sides(rows) if "H" in axes else (rows,)
        return np.indices(sides).reshape(len(sides), -1).T

    def _depends_on_other_queries(self, tables: Mapping[str, Array]) -> bool:
        """Whether the query of a token has an influence on the output of another, where all keys are zero."""
        X = self.X.copy()
        for place in range(X.shape[1]):  # values that differ
            X[:, place, self.half :] = np.roll(X[:, place, self.half :], place, axis=-1)
        output = self._output(tables, X, without="k")
        for place in range(len(output)):
            other = X.copy()
            other[:, place, : self.half] = X[:, place, : self.half][:, ::-1]
            rows = [np.delete(some, place, 0) for some in (output, self._output(tables, other, without="k"))]
            if difference(*rows) > _CLOSE:
                return True
        return False

    def _has_unused_half(self, table: Mapping[str, Array]) -> bool:
        ((name, array),) = table.items()
        changed = np.array(array)
        entries = np.moveaxis(changed, -2, 0)
        entries[: len(entries) // 2] *= -1
        outputs = [self._output({name: values}, self.X) for values in (array, changed)]
        return len(entries) % 2 == 1 and len(entries) > 1 and difference(*outputs) < _CLOSE

    def _changes(self, vectors: Mapping[str, Array], without: str) -> bool:
        """Whether vectors have an influence where all queries, or all keys, are zero."""
        X = np.random.default_rng(9).normal(size=self.X.shape)
        return difference(*(self._output(some, X, without) for some in (vectors, {}))) > _CLOSE

    def _logits(self, vectors: Mapping[str, Array]) -> Array:
        """The logits of the first head (N, N), less a constant of each row; NaN for keys that are hidden."""
        inputs = [self.X]
        for place in range(self.call.rows):  # another order of some features, so that a norm of the tokens is the same
            inputs.append(self.X.copy())
            inputs[-1][:, place, self.half :] = self.X[:, place, self.half :][:, ::-1]
        outputs = np.array([self._output(vectors, X) - self._output(vectors, X, without="v") for X in inputs])
        parts = outputs[1:] - outputs[0]  # (M, N, D')
        direction = parts.sum(axis=(0, 1))
        p = (parts @ direction / (direction @ direction)).T
        return np.where(p > _HIDDEN, np.log(np.maximum(p, _HIDDEN)), np.nan)

    def _output(self, vectors: Mapping[str, Array], X: Array, without: str = "") -> Array:
        """The output (N, D') of the first item; `without`: the part that is zero."""
        zero = {name: np.zeros_like(a) for name, a in self.weights.items() if without and name[1:] == without}
        self.call.layer.write({**self.reading.stored({**self.weights, **zero}), **self.empty, **vectors})
        return np.asarray(self.call(X)[0])


def _residual(logits: Array, places: Any) -> float:
    """How far logits (N, N), less a constant of each row, are from those that depend on the distance alone."""
    rows, columns = np.nonzero(~np.isnan(logits))
    _, distance = np.unique(places[columns] - places[rows], axis=0, return_inverse=True)
    terms = np.hstack([np.eye(len(logits))[rows], np.eye(len(rows))[distance]])
    values = logits[rows, columns]
    return float(np.abs(terms @ np.linalg.lstsq(terms, values)[0] - values).max(initial=0))

"""The arrays behind an attention figure and its caption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError
from headwise.figures.dependence import Dependence
from headwise.figures.record_files import TEST, check_layout, is_record, load_arrays, pack, unpack
from headwise.figures.token_roles import measure_roles
from headwise.files import atomic_write
from headwise.metrics import ROLES, Faithfulness, HeadRoles, token_centers
from headwise.metrics.row_sums import ROW_SUM_TOLERANCE
from headwise.representation import brief_repr
from headwise.shapes import Array, BoolArray, IntArray, bind
from headwise.thresholds import BACKGROUND, INK, THRESHOLDS

InputKind = Literal["image", "text", "series", "other"]


@dataclass(frozen=True)
class AttentionRecord:
    """What a model attends to in one input: everything that figures show and captions state.

    Letters: L layers, H heads, T queries, M keys, N tokens of the input. Keys that are no tokens of the input are
    prefix tokens, such as class tokens, registers and separators.

    Attributes
    ----------
    image : ndarray of shape (Y, X) or (Y, X, 3)
        As the model sees it, from 0 to 1: light ink on a dark background for a drawing, or colours; all zero if there
        is none. The values (S, V) of a series; empty for a text.
    boxes : ndarray of int of shape (N, 4) or (N, 2)
        Top, left, height and width of each token in pixels; for a text or a series its first character or step, and
        one past its last.
    weights : ndarray of shape (L, H, T, M)
        Attention weights of every layer and head.
    probabilities : ndarray of shape (C,)
        Class probabilities; empty if they are unknown.
    label : int
        The true class; −1 if it is unknown.
    head_width : int
        d if the weights are softmax(Q Kᵀ / √d), with or without a mask; 0 if they are not, or that is unknown.
    positions : ndarray of shape (N, D)
        Position embeddings of the tokens of the input; empty if they are unknown.
    dropped_weight : float
        Mean weight, over all rows, of tokens that had been removed from the arrays.
    pixels_permuted : bool
        Whether the pixels were permuted before the image was divided into tokens.
    unverified : bool
        Whether nothing shows that the weights are those with which the model computed its output.
    curves : ndarray of shape (2, 5, N + 1)
        The probability of the predicted class while tokens are deleted, and while they are inserted: in the order of
        `ranking`, in the order of ink, and for random orders the mean and both bounds of the central 95%. Empty if
        they were not measured; one point less if the last token stays, from which the model predicts.
    ranking : ndarray of shape (N,)
        The map whose faithfulness was tested; empty if none was.
    faithfulness : Faithfulness or None
        The result of that test.
    kind : {"image", "text", "series", "other"}
        What the input is.
    prefix : ndarray of bool of shape (M,)
        Which keys are prefix tokens; empty if they are the first M − N.
    words : tuple of str
        A name for each key, such as its text; empty if there are none.
    query_words : tuple of str
        A name for each query of cross-attention; empty for self-attention, in which queries and keys are the same.
    text : str
        The text that `boxes` refer to.
    segments : ndarray of int of shape (M,)
        0 and 1 for the tokens of the first and second part of the input, −1 for others; empty if it has no parts.
    visible : ndarray of bool of shape (T, M) or (L, T, M)
        Which keys each query may attend to, in every layer or by layer; empty if all.
    value_norms : ndarray of shape (L, H, M)
        Length of the value vector of each key; empty if unknown.
    probe : ndarray of shape (L, H, 2 R, 2 R)
        Attention weights for R random tokens that are repeated once; empty if they were not measured.
    top_names : tuple of str
        Names of the two most probable classes; empty if they have only numbers.
    next_token : bool
        Whether the classes are the next tokens of a text.
    other_layers : int
        How many attention calls of the model are left out: they have another shape, or others were chosen.
    typicality : float
        Share of the test digits of MNIST that look at least as unusual to the model; −1 if it is unknown.
    dependence : Dependence or None
        What the prediction depends on; None if it was not computed.
    """

    image: Array
    boxes: IntArray
    weights: Array
    probabilities: Array
    label: int = -1
    head_width: int = 0
    positions: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    dropped_weight: float = 0.0
    pixels_permuted: bool = False
    unverified: bool = False
    curves: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    ranking: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    faithfulness: Faithfulness | None = None
    kind: InputKind = "image"
    prefix: BoolArray = field(default_factory=lambda: np.zeros(0, bool))
    words: tuple[str, ...] = ()
    query_words: tuple[str, ...] = ()
    text: str = ""
    segments: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    visible: BoolArray = field(default_factory=lambda: np.zeros((0, 0), bool))
    value_norms: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    probe: Array = field(default_factory=lambda: np.zeros((0, 0, 0, 0), np.float32))
    top_names: tuple[str, ...] = ()
    next_token: bool = False
    other_layers: int = 0
    typicality: float = -1.0
    dependence: Dependence | None = None

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        channels = " 3" if self.kind == "image" and self.image.ndim == 3 else ""
        bind(f"Y X{channels}", image=self.image)
        ends = 4 if self.kind == "image" else 2
        sizes = bind(f"N {ends}", boxes=self.boxes).bind("C", probabilities=self.probabilities)
        queries = len(self.query_words) if self.query_words else "M"
        keys = bind(f"L H {queries} M", weights=self.weights)["M"]
        layers, heads, rows, _ = self.weights.shape
        tokens = int((~self.prefix).sum()) if self.prefix.size else sizes["N"] + (keys == sizes["N"] + 1)
        if self.prefix.size and tokens != sizes["N"]:
            raise ShapeError(f"boxes: expected {tokens}, one for each key that is no prefix token; got {sizes['N']}.")
        if not self.prefix.size and keys != tokens:
            raise ShapeError(f"weights: expected {sizes['N']} keys, one more with a class token; got {keys}.")
        optional = {
            "positions": "N D",
            "curves": f"2 5 {self.num_removed + 1}",
            "prefix": f"{keys}",
            "segments": f"{keys}",
            "visible": f"{rows} {keys}" if self.visible.ndim == 2 else f"{layers} {rows} {keys}",
            "value_norms": f"{layers} {heads} {keys}",
            "probe": f"{layers} {heads} S S",
        }
        for name, shape in optional.items():
            if (array := getattr(self, name)).size:
                sizes.bind(shape, **{name: array})
        if self.words:
            bind(f"{keys}", words=np.empty(len(self.words)))
        if self.faithfulness is not None:
            sizes.bind("N", ranking=self.ranking)
        if self.dependence is not None:
            sizes.bind("N", players=self.dependence.players)

    @property
    def num_tokens(self) -> int:
        """N, the number of tokens of the input."""
        return len(self.boxes)

    @property
    def num_removed(self) -> int:
        """How many tokens a faithfulness test removes; the last one of a text may stay, to predict from."""
        return self.num_tokens - (self.kind != "image" and self.curves.shape[-1] == self.num_tokens)

    @property
    def read_characters(self) -> int:
        """How many characters of a text there are up to the end of its last token."""
        return int(self.boxes[:, 1].max(initial=0))

    @property
    def is_cut(self) -> bool:
        """Whether a text goes on after its last token, with more than special ones: the model reads no more."""
        special = {word for word, prefix in zip(self.words, self.is_prefix, strict=False) if prefix}
        return self.kind == "text" and not set(self.text[self.read_characters :].split()) <= special

    @cached_property
    def is_prefix(self) -> BoolArray:
        """(M,): which keys are prefix tokens."""
        keys = self.weights.shape[-1]
        return self.prefix if self.prefix.size else np.arange(keys) < keys - self.num_tokens

    @cached_property
    def content(self) -> IntArray:
        """(N,): the indices of the keys that are tokens of the input."""
        return np.flatnonzero(~self.is_prefix)

    @cached_property
    def row_sums(self) -> tuple[float, float]:
        """The least and the largest sum of a row; rows whose query may attend to nothing are left out."""
        attends = np.broadcast_to(self.counts[:, None] > 0, self.weights.shape[:3])
        sums = self.weights.sum(axis=-1, dtype=np.float64)[attends]
        return (float(sums.min()), float(sums.max())) if sums.size else (1.0, 1.0)

    @property
    def rows_sum_to_one(self) -> bool:
        """Whether all rows do, to the tolerance of arrays from elsewhere."""
        return bool(np.allclose(self.row_sums, 1, atol=ROW_SUM_TOLERANCE))

    @property
    def is_self_attention(self) -> bool:
        """Whether queries and keys are the same tokens."""
        return not self.query_words

    @property
    def is_atypical(self) -> bool:
        """Whether the image looks unlike those that the model was made for."""
        return 0 <= self.typicality < THRESHOLDS["typicality"].value

    @property
    def prediction_name(self) -> str:
        """What the probabilities are of: a class or the next token."""
        return "predicted next token" if self.next_token else "predicted class"

    @property
    def has_class_token(self) -> bool:
        """Whether the first token is a class token, whose attention is shown."""
        return bool(self.is_self_attention and self.is_prefix[0] and not self.is_causal)

    @cached_property
    def is_causal(self) -> bool:
        """Whether no query may attend to a later token."""
        t, m = self.weights.shape[2:]
        return bool(self.visible.size and t == m and t > 1 and not np.triu(self.visible, 1).any())

    @cached_property
    def visible_by_layer(self) -> BoolArray:
        """(L, T, M): which keys each query may attend to."""
        layers, _, t, m = self.weights.shape
        return np.broadcast_to(self.visible if self.visible.size else np.ones((t, m), bool), (layers, t, m))

    @cached_property
    def counts(self) -> IntArray:
        """(L, T): how many keys each query may attend to."""
        return np.asarray(self.visible_by_layer.sum(axis=2))

    @cached_property
    def token_distances(self) -> Array:
        """(N, N): distances between the tokens of the input: of their centres in pixels, or of their places."""
        if self.kind == "image":
            centers = token_centers(self.boxes)
            return np.asarray(np.sqrt(((centers[:, None] - centers) ** 2).sum(axis=-1)))
        places = self.boxes.mean(axis=1) if self.kind == "series" else np.arange(self.num_tokens, dtype=np.float64)
        return np.asarray(np.abs(places[:, None] - places))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def ink(self) -> BoolArray:
        """(Y, X): the pixels that are ink; none unless the image is a drawing, at least half of it background."""
        if self.kind != "image" or self.image.ndim == 3:
            return np.zeros(self.image.shape[:2], bool)
        return (self.image > INK) & bool((self.image < BACKGROUND).mean() >= INK)

    @cached_property
    def roles(self) -> HeadRoles:
        """The roles of all heads, measured once."""
        return measure_roles(self)

    def role_phrase(self, head: tuple[int, int]) -> str:
        """The main role of a head in words; empty for none."""
        name = self.roles.name(*head)
        if name == "offset":
            return f"offset {_offset_text(self.roles.offsets[head].tolist())}"
        if name == "induction":  # it is measured on the probe; here the head may attend elsewhere
            return "induction, on repeated text"
        if name in ("sink", "outlier") and self.words and self.kind != "image":
            return f"{self.role_name(name)}: {self.word(int(self.roles.sinks[head])).strip()}"
        return self.role_name(name) if name else ""

    def role_name(self, name: str) -> str:
        """A role in words; the first token of an image is its class token."""
        if name == "alignment" and not self.is_self_attention:
            return "alignment with the queries"
        is_class = name == "first" and self.kind == "image" and self.has_class_token
        return "class token" if is_class else ROLES[name].phrase

    @property
    def reader(self) -> int | None:
        """The query whose attention `maps` shows: the class token, or the last token of a causal model."""
        if self.has_class_token:
            return 0
        return self.weights.shape[2] - 1 if self.is_causal else None

    @property
    def maps(self) -> Array:
        """(L, H, N): the weights of `reader` on the tokens of the input; without a reader, the mean over all rows."""
        rows = self.weights.mean(axis=2) if self.reader is None else self.weights[:, :, self.reader]
        return np.asarray(rows[..., self.content])

    @property
    def last_layer_map(self) -> Array:
        """(N,): the last layer's maps, averaged over heads."""
        return np.asarray(self.maps[-1].mean(axis=0))

    def was_tested(self, ranking: Array) -> bool:
        """Whether `faithfulness` is the score of this map, (N,)."""
        return self.faithfulness is not None and bool(np.allclose(ranking, self.ranking, rtol=1e-4))

    def row(self, token: int) -> Array:
        """(L, H, N): one token's weights on the tokens of the input.

        Parameters
        ----------
        token : int
            From 1 to N, or 0 for the class token.

        Raises
        ------
        DataError
            If there is no such token.
        """
        return self.weights[:, :, self.index(token)][..., self.content]

    def index(self, token: int) -> int:
        """The position in the weights of a token, 1 to N or 0 for the class token."""
        if not 1 - self.has_class_token <= token <= self.num_tokens or not self.is_self_attention:
            zero = (
                "0 for the class token, or " if self.has_class_token else "these arrays have no class token; expected "
            )
            raise DataError(f"token: {zero}1 to {self.num_tokens} in reading order; got {token}.")
        return int(self.content[token - 1]) if token else 0

    def word(self, key: int) -> str:
        """The name of a key; its number, from 1, if it has none."""
        return self.words[key] if self.words else str(1 + key - int(self.is_prefix[:key].sum()))

    def save(self, path: Path, *, others: Path | None = None) -> None:
        """Write the arrays to an .npz file; only those of the faithfulness test if the file `others` has the others."""
        names = TEST if others else [f.name for f in fields(self)]
        arrays = pack({name: getattr(self, name) for name in names}, others)
        with atomic_write(path) as tmp_path:
            np.savez(tmp_path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> AttentionRecord:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If there is no such file, it cannot be read, or it holds other arrays.
        """
        return cls.from_arrays(load_arrays(path))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> AttentionRecord:
        """Build a record from the arrays of a file, by name.

        Raises
        ------
        DataError
            If an array is missing or is not what `save` writes.
        ShapeError
            If the arrays do not fit together.
        """
        record = cls(**unpack(arrays))
        check_layout(record.kind, record.image, record.boxes)
        return record

    is_record = staticmethod(is_record)


def _offset_text(offset: list[int]) -> str:
    """An offset in tokens, or in patches down and to the right."""
    if len(offset) == 1:
        return f"{offset[0]:+d}".replace("-", "−")
    down, right = offset
    parts = [f"{abs(down)} {'down' if down > 0 else 'up'}"] * bool(down)
    return ", ".join(parts + [f"{abs(right)} {'right' if right > 0 else 'left'}"] * bool(right))

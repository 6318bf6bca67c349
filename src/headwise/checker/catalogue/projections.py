"""Mistakes with the matrices: which is used for what, and in which orientation."""

from __future__ import annotations

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.state import Stage, Trace

__all__ = ["ENTRIES"]

PROJECTION = "Q = X Wqᵀ + bq,  K = X Wkᵀ + bk,  V = X Wvᵀ + bv"


def transposed(which: str) -> Stage:
    def project(t: Trace) -> None:
        if t.of_tokens:
            t.q, t.k, t.v = (t.X @ (t.W[x] if x in which else t.W[x].T) + t.b.get(x, 0) for x in "qkv")

    return project


def exchanged(first: str, second: str) -> Stage:
    def exchange(t: Trace) -> None:
        if t.of_tokens:
            places = {first: second, second: first}
            t.W = {places.get(x, x): w for x, w in t.W.items()}
            t.b = {places.get(x, x): b for x, b in t.b.items()}
        else:
            a, b = getattr(t, first), getattr(t, second)
            setattr(t, first, b)
            setattr(t, second, a)

    return exchange


def exchanged_once_rotated(first: str, second: str) -> Stage:
    """Queries, keys or values exchanged after the rotary positions are put in."""

    def exchange(t: Trace) -> None:
        if not t.of_tokens:
            exchanged(first, second)(t)

    return exchange


def keys_times_queries(t: Trace) -> None:
    t.s = t.k @ t.q.swapaxes(-1, -2) * t.scale


def values_are_inputs(t: Trace) -> None:
    if t.of_tokens:
        t.v = t.X


def without(which: str) -> Stage:
    def drop(t: Trace) -> None:
        if t.of_tokens:
            t.b = {x: b for x, b in t.b.items() if x not in which}

    return drop


def nothing(t: Trace) -> None:
    """Do nothing: the stage is left out."""


def unprojected(t: Trace) -> None:
    t.o = t.o + t.b.get("o", 0) if t.of_tokens else t.o


def transposed_output(t: Trace) -> None:
    if t.of_tokens and "o" in t.W:
        t.o = t.o @ t.W["o"] + t.b.get("o", 0)


ENTRIES = (
    Mistake(
        "weights-transposed",
        "The tokens are multiplied by a weight matrix instead of by its transpose.",
        PROJECTION,
        "A row of W is an output feature, as in torch.nn.Linear; square matrices hide the difference in the shapes.",
        "Write X @ W.T instead of X @ W (with tokens as columns, W @ X).",
        ("projection",),
        tuple({"project": transposed(which)} for which in ("qkv", "q", "k", "v", "qk")),
        reported_in=("AutoGPTQ#139", "NVIDIA/DeepLearningExamples#528"),
    ),
    Mistake(
        "qk-swapped",
        "Queries and keys change places: the logits are K Qᵀ.",
        "S = Q Kᵀ / √d,  P = softmax(S)",
        "Row n of the weights then says who looks at token n, not what token n looks at.",
        "Write Q @ K.T, queries first: one row of logits for each query.",
        ("logits", "projection"),
        ({"logits": keys_times_queries},),
    ),
    Mistake(
        "qv-swapped",
        "Wq and Wv change places.",
        PROJECTION,
        "The queries are made with the value matrix, and the values with the query matrix.",
        "Use Wq for the queries and Wv for the values; look at the order of the arguments too.",
        ("projection", "mix"),
        ({"+arrange": exchanged("q", "v")}, {"+rotate": exchanged_once_rotated("q", "v")}),
        reported_in=("mlxcel#928",),
    ),
    Mistake(
        "kv-swapped",
        "Wk and Wv change places.",
        PROJECTION,
        "The keys are made with the value matrix, and the values with the key matrix.",
        "Use Wk for the keys and Wv for the values; look at the order of the arguments too.",
        ("projection", "mix"),
        ({"+arrange": exchanged("k", "v")}, {"+rotate": exchanged_once_rotated("k", "v")}),
        reported_in=("mlxcel#928",),
    ),
    Mistake(
        "values-are-inputs",
        "The weights mix the input tokens themselves instead of the values.",
        "O = P V  with  V = X Wvᵀ",
        "Wv has no influence on the output.",
        "Multiply the weights with V = X @ Wv.T, not with X.",
        ("mix", "projection"),
        ({"+project": values_are_inputs},),
    ),
    Mistake(
        "output-projection-missing",
        "The given output matrix Wo is not used.",
        "O = concat(head₀ … head_{H−1}) Woᵀ + bo",
        "Changing Wo changes nothing.",
        "Multiply the concatenated heads by Wo.T at the end.",
        ("output", "merge", "return"),
        ({"output": unprojected}, {"output": nothing}),
    ),
    Mistake(
        "output-projection-transposed",
        "The heads are multiplied by Wo instead of by its transpose.",
        "O = concat(head₀ … head_{H−1}) Woᵀ + bo",
        "A row of Wo is an output feature, as of the other matrices.",
        "Write concat @ Wo.T.",
        ("output", "return"),
        ({"output": transposed_output},),
    ),
    Mistake(
        "bias-missing",
        "A bias that was given is not added.",
        "Q = X Wqᵀ + bq  and likewise K, V and the output;  S = Q Kᵀ/√d + bias",
        "Changing the bias changes nothing.",
        "Add the bias: to the projection that it belongs to, or to the logits before the softmax.",
        ("bias", "projection", "logits"),
        (*({"+arrange": without(which)} for which in ("qkvo", "q", "v", "qkv", "o", "qk", "vo")), {"bias": nothing}),
    ),
)

"""Mistakes with the matrices: which is used for what, and in which orientation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.reference.definition import project as project_all
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

__all__ = ["ENTRIES"]

PROJECTION = "Q = X Wqᵀ + bq,  K = X Wkᵀ + bk,  V = X Wvᵀ + bv"


@configurable
def transposed(t: Trace, which: str) -> None:
    if t.of_tokens:
        t.q, t.k, t.v = (t.X @ (t.W[x] if x in which else t.W[x].T) + t.b.get(x, 0) for x in "qkv")


@configurable
def exchanged(t: Trace, first: str, second: str) -> None:
    if t.of_tokens:
        places = {first: second, second: first}
        t.W = {places.get(x, x): w for x, w in t.W.items()}
        t.b = {places.get(x, x): b for x, b in t.b.items()}
    else:
        a, b = getattr(t, first), getattr(t, second)
        setattr(t, first, b)
        setattr(t, second, a)


@configurable
def exchanged_once_rotated(t: Trace, first: str, second: str) -> None:
    """Queries, keys or values exchanged after the rotary positions are put in."""
    if not t.of_tokens:
        exchanged(first, second)(t)


def keys_times_queries(t: Trace) -> None:
    t.s = t.k @ t.q.swapaxes(-1, -2) * t.scale


def values_are_inputs(t: Trace) -> None:
    if t.of_tokens:
        t.v = t.source("v")


@configurable
def inputs_as(t: Trace, of: str) -> None:
    """The tokens themselves in place of queries or keys."""
    if t.of_tokens:
        for x in of:
            setattr(t, x, t.source(x))


def inputs_once_scaled(t: Trace) -> None:
    """The tokens as queries and keys, scaled by the width that the queries would have."""
    if t.of_tokens:
        t.q, t.k = (a.reshape(*a.shape[:2], t.heads, -1).swapaxes(1, 2) for a in (t.source("q"), t.source("k")))


def values_are_keys(t: Trace) -> None:
    if t.of_tokens:
        t.v = t.k


def values_are_given_keys(t: Trace) -> None:
    if not t.of_tokens:
        t.v = t.k


def values_are_first_features_of_keys(t: Trace) -> None:
    """As many features of the keys as the values have."""
    if not t.of_tokens:
        t.v = t.k[..., : t.v.shape[-1]]


@configurable
def reused(t: Trace, /, **used: str) -> None:
    """Which matrix, with its bias, is used for the queries, keys or values."""
    if t.of_tokens:
        t.W = {x: t.W[used.get(x, x)] for x in t.W}
        t.b = {x: t.b[used.get(x, x)] for x in t.W if used.get(x, x) in t.b}


@configurable
def output_matrix_of(t: Trace, which: str) -> None:
    """The matrix of the queries, keys or values in place of that of the output."""
    if t.of_tokens and "o" in t.W:
        t.W = {**t.W, "o": t.W[which]}


@configurable
def bias_of(t: Trace, which: str) -> None:
    """The bias of the queries, keys or values for all three."""
    if t.of_tokens and which in t.b:
        t.b = {**t.b, **dict.fromkeys("qkv", t.b[which])}


@configurable
def regrouped(t: Trace, order: str) -> None:
    """A fused matrix in the order (3, H, d) read as (H, 3, d) or (H, d, 3), or one in (H, 3, d) as (3, H, d)."""
    if t.of_tokens:
        t.W = {**t.W, **_read_again([t.W[x] for x in "qkv"], t.heads, order)}
        if all(x in t.b for x in "qkv"):
            t.b = {**t.b, **_read_again([t.b[x] for x in "qkv"], t.heads, order)}


def _read_again(parts: list[Array], heads: int, order: str) -> dict[str, Array]:
    fused = np.stack([a.reshape(heads, -1, *a.shape[1:]) for a in parts])  # (3, H, d, ...)
    shape = fused.shape
    if order == "3Hd":
        fused = fused.swapaxes(0, 1).reshape(shape)
    elif order == "H3d":
        fused = fused.reshape(heads, 3, *shape[2:]).swapaxes(0, 1)
    else:
        fused = np.moveaxis(fused.reshape(*shape[1:3], 3, *shape[3:]), 2, 0)
    return dict(zip("qkv", fused.reshape(3, -1, *shape[3:]), strict=True))


@configurable
def activated(t: Trace, parts: str, function: Callable[[Array], Array]) -> None:
    """A function of each number of the queries, keys, values or output, as a layer with an activation has it."""
    if t.of_tokens:
        for x in parts:
            setattr(t, x, function(getattr(t, x)))


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _sigmoid(a: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-a)))


def _gelu(a: Array) -> Array:
    return np.asarray(a / 2 * (1 + np.vectorize(math.erf, otypes=[float])(a / 2**0.5)))


def _gelu_by_tanh(a: Array) -> Array:
    return np.asarray(a / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (a + 0.044715 * a**3))))


def _silu(a: Array) -> Array:
    return a * _sigmoid(a)


def _activations() -> Iterator[Change]:
    for function in (_relu, np.tanh, _sigmoid, _gelu, _gelu_by_tanh, _silu):
        usual = function in (_relu, np.tanh, _sigmoid)
        for parts in ("qkv", "qk", "q", "k", "v") if usual else ("qkv", "v"):
            yield {"+project": activated(parts, function)}
        yield {"+output": activated("o", function)}
        if usual:
            yield {"+project": activated("qkv", function), "+output": activated("o", function)}


def keys_and_values_of_inputs(t: Trace) -> None:
    t.context = None


def values_of_key_input(t: Trace) -> None:
    t.values = None


def keys_of_value_input(t: Trace) -> None:
    t.context = t.context if t.values is None else t.values


def inputs_exchanged(t: Trace) -> None:
    if t.values is not None:
        t.context, t.values = t.values, t.context


@configurable
def of_inputs(t: Trace, which: str) -> None:
    """Keys or values, made from as many tokens of x as the context has."""
    if t.of_tokens and t.context is not None:
        first = t.X[:, : t.context.shape[1]]
        t.q, t.k, t.v = ((first if x in which else t.source(x)) @ t.W[x].T + t.b.get(x, 0) for x in "qkv")
    else:
        project_all(t)


def queries_of_context(t: Trace) -> None:
    if t.of_tokens and t.context is not None:
        t.X, t.context = t.context, t.X
    project_all(t)


@configurable
def without(t: Trace, which: str) -> None:
    if t.of_tokens:
        t.b = {x: b for x, b in t.b.items() if x not in which}


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
        "Row n of the weights then holds which tokens attend to token n, not what token n attends to.",
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
        "logits-of-inputs",
        "The logits are products of the input tokens themselves instead of queries and keys.",
        "S = Q Kᵀ / √d  with  Q = X Wqᵀ,  K = X Wkᵀ",
        "Wq or Wk has no influence on the output.",
        "Multiply queries Q = X @ Wq.T with keys K = X @ Wk.T, not with X.",
        ("logits", "projection"),
        (*({"+project": inputs_as(of)} for of in ("q", "k", "qk")), {"+scale": inputs_once_scaled}),
    ),
    Mistake(
        "values-are-keys",
        "The weights mix the keys instead of the values.",
        "O = P V  with  V = X Wvᵀ",
        "Changing the values changes nothing.",
        "Make the values with Wv, and multiply the weights with the values, not with the keys.",
        ("values", "mix", "projection"),
        (
            {"+project": values_are_keys},
            *({after: values_are_given_keys} for after in ("+arrange", "+rotate")),
            {"+rotate": values_are_first_features_of_keys},
        ),
        reported_in=("InfiniGen#5",),
    ),
    Mistake(
        "weights-reused",
        "One matrix, or one bias, is used for two or more of the queries, keys, values and output.",
        PROJECTION,
        "Changing the matrix that is never used changes nothing. With Wq for the keys too, the logits are symmetric.",
        "Use each of Wq, Wk, Wv and Wo, with its bias, for its own projection.",
        ("projection",),
        tuple(
            {"+arrange": reused(**used)}
            for used in (
                {"k": "q"},
                {"q": "k"},
                {"v": "q"},
                {"q": "v"},
                {"k": "v"},
                {"v": "k"},
                *({"q": x, "k": x, "v": x} for x in "qkv"),
            )
        )
        + tuple({"+arrange": stage(x)} for stage in (output_matrix_of, bias_of) for x in "qkv"),
        reported_in=("Khaliladib11/Transformer-from-scratch#1", "Transformer_Timeseries#2"),
    ),
    Mistake(
        "qkv-interleaved",
        "A fused matrix is read in the wrong order: (H, 3, d) instead of (3, H, d), or the other way.",
        "rows of Wqkv in the order (3, H, d): Wq of all heads, Wk, Wv;  in the order (H, 3, d): head by head",
        "With one head both orders are the same; with several, queries of one head serve as keys of another.",
        "Reshape to the order in which the matrix was made: reshape(N, 3, H, d) or reshape(N, H, 3, d).",
        ("split", "projection"),
        tuple({"+arrange": regrouped(order)} for order in ("H3d", "3Hd", "Hd3")),
        reported_in=("sglang#34529", "tt-metal#52818", "awslabs/slapo#46"),
    ),
    Mistake(
        "projection-activated",
        "An activation (ReLU, GELU, tanh, …) follows the projection to queries, keys or values, or of the output.",
        PROJECTION,
        "After a ReLU no query, key or value is negative, so that no logit is either; the weights come out too even.",
        "Leave out the activation of these layers: the projections of attention are linear.",
        ("projection",),
        tuple(_activations()),
        reported_in=("CyberZHG/keras-multi-head#8", "DeepGraphLearning/RecommenderSystems#21", "tf-nlp-blocks#1"),
    ),
    Mistake(
        "context-ignored",
        "Keys or values are made from x and not from the context.",
        "Q = X Wqᵀ,  K = C Wkᵀ,  V = C Wvᵀ",
        "Changing the context changes nothing, or only the weights, or only what is mixed.",
        "Project the context for the keys and for the values.",
        ("projection",),
        ({"+arrange": keys_and_values_of_inputs}, {"project": of_inputs("k")}, {"project": of_inputs("v")}),
        reported_in=("DNA-Diffusion#235", "ml-cvnets#81"),
    ),
    Mistake(
        "context-swapped",
        "The queries are made from the context, and the keys and values from x.",
        "Q = X Wqᵀ,  K = C Wkᵀ,  V = C Wvᵀ",
        "There is an output for each token of the context, not for each token of x.",
        "Project x for the queries and the context for the keys and values; look at the order of the arguments too.",
        ("projection",),
        ({"project": queries_of_context},),
    ),
    Mistake(
        "inputs-exchanged",
        "Keys are made from the input that is given for the values, or values from the one that is given for the keys.",
        "Q = query Wqᵀ,  K = key Wkᵀ,  V = value Wvᵀ",
        "In self-attention, and wherever keys and values come from the same tokens, it makes no difference.",
        "Project the argument of the keys with Wk, and the argument of the values with Wv.",
        ("values", "projection"),
        tuple({"+arrange": stage} for stage in (values_of_key_input, keys_of_value_input, inputs_exchanged)),
    ),
    Mistake(
        "output-projection-missing",
        "The given output matrix Wo is not used.",
        "O = concat(head₀ … head_{H−1}) Woᵀ + bo",
        "Changing Wo changes nothing.",
        "Multiply the concatenated heads by Wo.T at the end.",
        ("return",),
        ({"output": nothing}, {"output": unprojected}),
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

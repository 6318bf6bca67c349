"""Which kind of attention a module is that is not softmax attention between tokens, measured on its outputs."""

from __future__ import annotations

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.measurement.recovery import is_softmax, recover_weights, trace_of
from headwise.checker.probes import first_probe
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_MOST_TOKENS = 48
_FEWER = 0.75  # dimensions than tokens, at most
_VANISHED = 1e-9  # singular values of what has fewer dimensions, of the largest
_CLOSE = 1e-6
_MOST_UNKNOWN = 600


def other_kind(convention: CallingConvention) -> str:
    """The kind of attention, in a sentence; empty if it is none of the known ones."""
    case = first_probe(convention.interface).case
    sizes = convention.interface.sizes
    if sizes is None or "X" not in case or "context" in case or sizes.sliced or sizes.queries or not sizes.heads:
        return ""
    if any(code == "registers" for code, _ in convention.design):
        return ""
    if _mixes_features(convention, case):
        return (
            "it attends between the features of each head and not between tokens (channel attention, as in XCiT): the"
            " weights between features, recovered from its outputs, sum to one in each row"
        )
    if factor := _difference_of_two(convention, case):
        return (
            f"it is differential attention: the weights of one softmax less {factor:.3g} times those of another, each"
            " of one half of the features of a head"
        )
    rank, count, is_fixed = (0, 0, False) if sizes.tokens else _rank(convention, case)
    if is_fixed:
        return (
            f"it attends to {rank} mixtures of the {count} tokens, the same ones whatever the queries and keys are"
            " (pooled or projected keys and values, as in PVT and Linformer)"
        )
    if rank:
        return (
            f"it is linear attention: with {count} tokens, the weights recovered from its outputs sum to one in"
            f" each row and are a product of {rank} features of queries and of keys, and no softmax of q · k"
        )
    return ""


def _rank(convention: CallingConvention, case: Case) -> tuple[int, int, bool]:
    """The dimensions of the attention weights and the number of tokens, if they are many fewer; else zeros.

    Also whether the weights have the same dimensions with other matrices.
    """
    count = min(case["X"].shape[-1], _MOST_TOKENS)  # of more, the outputs do not determine the weights
    like = {**case, "X": np.resize(case["X"], (1, count, case["X"].shape[-1])), "Wq": 2 * case["Wq"]}
    runs = [
        recover_weights(convention, {**like, "Wk": Wk}, np.random.default_rng(29)) for Wk in (case["Wk"], -case["Wk"])
    ]
    weights = [run.weights[0] for run in runs if run is not None and is_softmax(run)]  # (H, N, N)
    if len(weights) < 2 or {"causal", "window"} & convention.interface.implicit.keys():
        return 0, 0, False
    rank, both = _dimensions(weights[0]), _dimensions(np.concatenate(weights, axis=1))
    return (rank, count, both == rank) if 1 < rank <= _FEWER * count else (0, 0, False)


def _dimensions(weights: Array) -> int:
    values = np.linalg.svd(weights, compute_uv=False)  # (H, N)
    return int((values > _VANISHED * values[:, :1]).sum(axis=-1).max())


def _mixes_features(convention: CallingConvention, case: Case) -> bool:
    """Whether each output of a head is A v of its own token, with rows of A that are positive and sum to one."""
    rng = np.random.default_rng(31)
    trace, zero = trace_of(case, convention), convention.call(case | {"Wv": np.zeros_like(case["Wv"])}).output
    if trace is None or zero is None or not np.isfinite(zero).all():
        return False
    heads, width = trace.v.shape[1], trace.v.shape[-1]
    if width < 2 or heads * width**2 > _MOST_UNKNOWN:
        return False
    equations, outputs = [], []
    for _ in range(2 + heads * width**2 // zero[0].size):
        random_values = case | {"Wv": rng.normal(size=case["Wv"].shape)}
        trace, output = trace_of(random_values, convention), convention.call(random_values).output
        if trace is None or output is None or output.shape != zero.shape or not np.isfinite(output).all():
            return False
        blocks = (
            trace.W["o"].reshape(-1, heads, width)
            if "o" in trace.W
            else np.eye(heads * width).reshape(-1, heads, width)
        )
        equations.append(np.einsum("ohi,hnj->nohij", blocks, trace.v[0]).reshape(-1, heads * width**2))
        outputs.append((output - zero)[0].ravel())
    matrix, right = np.concatenate(equations), np.concatenate(outputs)
    if len(matrix) != len(right):  # its axes are others
        return False
    solved, _, rank, _ = np.linalg.lstsq(matrix, right, rcond=None)
    weights = solved.reshape(heads, width, width)
    sums = np.abs(weights.sum(axis=-1) - 1).max() < _CLOSE
    explains = np.abs(matrix @ solved - right).max() < _CLOSE * np.abs(right).max()
    mixes = np.abs(weights - np.eye(width)).max() > _CLOSE  # else each token attends to itself alone
    return bool(rank == heads * width**2 and explains and sums and mixes and weights.min() > -_CLOSE)


def _difference_of_two(convention: CallingConvention, case: Case) -> float:
    """The factor λ of softmax(q₁ k₁ᵀ) − λ softmax(q₂ k₂ᵀ), whatever norm of each head comes after it; 0 for others."""
    output, trace = convention.call(case).output, trace_of(case, convention)
    if output is None or trace is None or trace.q.shape[-1] % 2 or trace.v.shape[-1] < 4 or "o" not in trace.W:
        return 0.0
    if not np.isfinite(output).all() or output.shape[-1] != len(trace.W["o"]):
        return 0.0
    solved, _, rank, _ = np.linalg.lstsq(trace.W["o"], (output - trace.b.get("o", 0)).reshape(-1, output.shape[-1]).T)
    if rank < trace.W["o"].shape[1]:
        return 0.0
    heads = solved.T.reshape(*output.shape[:2], trace.v.shape[1], -1).swapaxes(1, 2)
    halves = zip(np.split(trace.q, 2, axis=-1), np.split(trace.k, 2, axis=-1), strict=True)
    first, second = (_softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5) @ trace.v for q, k in halves)
    for centred in (False, True):
        if factor := _common_factor(*(_centred(a) if centred else a for a in (heads, first, second))):
            return factor
    return 0.0


def _common_factor(heads: Array, first: Array, second: Array) -> float:
    """The λ with which each vector of `heads` is a multiple of first − λ second; 0 if there is none."""
    columns = np.stack([heads, second], axis=-1)  # (B, H, N, e, 2)
    solved = np.linalg.pinv(columns) @ first[..., None]
    residual = np.abs(columns @ solved - first[..., None]).max()
    factors = solved[..., 1, 0]
    constant = np.abs(factors - factors.mean()).max() < _CLOSE
    return float(factors.mean()) if residual < _CLOSE and constant and abs(factors.mean()) > _CLOSE else 0.0


def _centred(a: Array) -> Array:
    return np.asarray(a - a.mean(axis=-1, keepdims=True))


def _softmax(s: Array) -> Array:
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))

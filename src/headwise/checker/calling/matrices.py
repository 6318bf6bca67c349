"""How the matrices of projections are presented to a function: their orientation, in one piece or one for each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwise.checker.arguments.packed import in_order
from headwise.checker.arguments.roles import FUSED, is_matrix
from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

if TYPE_CHECKING:
    from headwise.checker.calling.invocation import CallingConvention

# how Wq, Wk and Wv are presented, and how Wo is
WEIGHTS = {
    "matrix": ("matrix", "matrix"),
    "stack": ("stack", "matrix"),
    "list": ("list", "matrix"),
    "stack-output": ("stack", "stack"),  # before dense ones: lists that are too long are cut off by `zip`
    "list-output": ("list", "list"),
    "dense": ("dense", "dense"),
    "stack-dense": ("stack", "dense"),
    "dense-matrix": ("dense", "matrix"),
    "stack-turned": ("stack", "turned"),
}


class Layer:
    """A matrix (out, in) as a linear layer without a bias."""

    def __init__(self, weight: Any) -> None:
        self.weight, self.bias = weight, None
        self.out_features, self.in_features = weight.shape

    def __call__(self, x: Any) -> Any:
        """The tokens times the matrix."""
        return x @ self.weight.T


def present_weights(case: Case, convention: CallingConvention) -> Case:
    """The matrices and biases of a case in a function's orientation, and in one piece or many."""
    presented: Case = {}
    for role in convention.names:
        if role in FUSED:
            if any(name in case for name in FUSED[role]):
                parts = [case[x] if x in case else np.zeros(len(case[f"W{x[1:]}"])) for x in FUSED[role]]
                alike = role in ("Wqkv", "bqkv") and len({part.shape for part in parts}) == 1
                ordered = in_order(parts, convention.rows, case.get("heads", 1)) if convention.rows and alike else None
                fused = np.concatenate(parts) if ordered is None else ordered
                presented[role] = _oriented(fused, convention)
            continue
        name, _, number = role.partition("#")
        if name not in case or not is_matrix(name):
            continue
        array = case[name]
        heads = case.get("heads", 1)
        if number:
            presented[role] = _oriented(np.split(array, heads)[int(number) - 1], convention)
        else:
            n = case["key_heads"] if "key_heads" in case and name[1:] in ("k", "v") else heads
            presented[role] = _by_head(name, array, n, convention)
    return presented


def _by_head(name: str, array: Array, heads: int, convention: CallingConvention) -> Any:
    """A matrix as a function wants it: in one piece, or a piece for each head, in a stack or a list."""
    how = WEIGHTS[convention.weights][name == "Wo"] if name != "bo" else "matrix"
    if how == "matrix" or (heads == 1 and convention.interface.key_heads == 1):
        return _oriented(array, convention)
    if how == "dense":
        return _dense(name, array, heads)
    pieces = [_oriented(part, convention) for part in np.split(array, heads, axis=1 if name == "Wo" else 0)]
    if how == "turned":
        return np.stack(pieces).swapaxes(-1, -2)
    return np.stack(pieces) if how == "stack" else pieces


def _dense(name: str, array: Array, heads: int) -> Array:
    """A matrix with a head axis in the middle, (D, H, d); the output matrix (H, d, D)."""
    if array.ndim == 1:
        return array if name == "bo" else array.reshape(heads, -1)
    if name == "Wo":
        return np.asarray(array.reshape(len(array), heads, -1).transpose(1, 2, 0))
    return np.asarray(array.reshape(heads, -1, array.shape[-1]).transpose(2, 0, 1))


def _oriented(array: Any, convention: CallingConvention) -> Array:
    if array.ndim == 1:
        return np.asarray(array[:, None] if convention.bias_column else array)
    return np.asarray(array.T if convention.matrices == "in-out" else array)

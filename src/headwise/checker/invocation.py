"""Calling somebody's function: what goes in as which argument, and what comes back.

What a function returns is not trusted: it is copied into a plain float64 array before anything looks at it, its
arguments are copies, and its warnings and prints are kept quiet.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from headwise.checker.numpy_guard import np, unchanged_numpy
from headwise.checker.probes import Interface
from headwise.checker.state import Case
from headwise.shapes import Array

__all__ = ["CallingConvention", "Response"]

_MATRICES = ("Wq", "Wk", "Wv", "Wo", "bq", "bk", "bv", "bo")


@dataclass(frozen=True, slots=True)
class Response:
    """What a function answered, in the reference's layout; `error` in words where it raised or gave no array."""

    output: Array | None
    weights: Array | None = None
    dtype: str = ""
    changed: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class CallingConvention:
    """One way of calling a function.

    Attributes
    ----------
    function : callable
        The function, or its adapter around it.
    face : Face
        What it can be asked.
    names : mapping
        From the reference's names to the function's; an int is a place among positional arguments.
    columns : bool
        Whether tokens are columns.
    transposed : bool
        Whether it says that its matrices are (in, out).
    convert : callable
        What a copy of an array is turned into first: nothing for NumPy, a tensor for torch.
    """

    function: Callable[..., Any]
    face: Interface
    names: Mapping[str, str | int]
    columns: bool = False
    transposed: bool = False
    convert: Callable[[Array], Any] = np.asarray

    def ask(self, case: Case) -> Response:
        """Call the function on one case; a mask is offered in the other shapes in use if its first is refused."""
        reply = Response(None, error="there was no way to put the arguments")
        for arguments in self._presentations(case):
            reply = self._call(arguments, case)
            if reply.output is not None:
                break
        return reply

    def shown(self, case: Case) -> Case:
        """The arguments of a case as the function is given them, by the function's own names."""
        arguments = next(self._presentations(case))
        return {
            name if isinstance(self.names[name], int) else str(self.names[name]): value
            for name, value in arguments.items()
            if name != "weights?"
        }

    def _call(self, arguments: Case, case: Case) -> Response:
        own = {name: np.array(a) if isinstance(a, np.ndarray) else a for name, a in arguments.items()}
        given = {name: self.convert(a) if isinstance(a, np.ndarray) else a for name, a in own.items()}
        places = sorted((place, name) for name, place in self.names.items() if isinstance(place, int) and name in given)
        by_name = {str(self.names[name]): a for name, a in given.items() if not isinstance(self.names[name], int)}
        try:
            with _quiet():
                result = self.function(*(given[name] for _, name in places), **by_name)
                reply = self._read(result, case)
        except (Exception, SystemExit) as error:  # whatever somebody's function raises is an answer, not our failure
            return Response(None, error=f"{type(error).__name__}: {error}")
        changed = tuple(name for name, a in own.items() if isinstance(a, np.ndarray) and not _same(a, arguments[name]))
        return replace(reply, changed=changed)

    def _presentations(self, case: Case) -> Iterator[Case]:
        """The arguments as the function wants them, with the mask and the bias in each shape in use."""
        batch, heads, n, m = grid(case)
        front = self.face.lead if batch == 1 or self.face.kind == "attention" else 1
        plain = self._plain(case, front)
        seen = set()
        for shape in ("short", "full", "items"):
            shown = {
                name: _fit(case[name], shape, (batch, heads, n, m), front, self.face)
                for name in ("mask", "bias")
                if name in plain
            }
            if (key := tuple(a.shape for a in shown.values())) not in seen:
                seen.add(key)
                yield plain | shown

    def _plain(self, case: Case, front: int) -> Case:
        given = {name: value for name, value in case.items() if name in self.names}
        if "X" in case:
            X = case["X"] if front else case["X"][0]
            turned = self.columns or case.get("tokens") == "columns"
            given["X"] = X.swapaxes(-1, -2) if turned else X
            if self.transposed:
                given |= {name: given[name].T for name in _MATRICES if name in given}
        else:
            given |= {x: case[x][(0,) * (2 - front)] for x in "qkv"}
        if "lengths" in given and (front == 0 or (front == 1 and self.face.kind == "attention")):
            given["lengths"] = int(case["lengths"][0])
        widths: Case = {"weights?": True, "tokens": "rows"}
        if "X" in case:
            rows = case["Wq"].shape[0]
            widths |= {"d": rows // case.get("heads", 1), "D": case["X"].shape[-1]}
        else:
            widths |= {"d": case["q"].shape[-1], "D": case["q"].shape[-1] * case["q"].shape[1]}
        return {name: value for name, value in widths.items() if name in self.names} | given

    def _read(self, result: Any, case: Case) -> Response:
        """Turn what came back into (B, N, D') or (B, H, N, e), and weights (B, H, N, M)."""
        batch, _, n, m = grid(case)
        tokens = "X" in case
        front = self.face.lead if batch == 1 or not tokens else 1
        if isinstance(result, Mapping):
            result = tuple(result.values())
            result = result[0] if len(result) == 1 else result
        parts = [result]
        if isinstance(result, tuple) and len(result) > 1 and _bare(result[0]).ndim >= 2:
            parts = [part for part in result if _bare(part).ndim >= 2]
        if any(_bare(part).dtype.kind == "c" for part in parts):
            raise TypeError("answered with complex numbers")
        dtype = str(getattr(parts[0], "dtype", "float64")).rpartition(".")[2]
        arrays = [np.array(_bare(part), dtype=np.float64) for part in parts[:2]]
        if len(arrays) == 2 and arrays[0].shape[-2:] == (n, m) != arrays[1].shape[-2:]:
            arrays.reverse()
        output = arrays[0]
        lacking = 1 - front if tokens else 2 - front
        output = output[(None,) * lacking]
        if tokens and (self.columns or case.get("tokens") == "columns"):
            output = output.swapaxes(-1, -2)
        weights = None
        if len(arrays) == 2:
            weights = arrays[1] if (front == 2 or (tokens and front)) else arrays[1][None]
            weights = weights[:, None] if weights.ndim == 3 else weights
        return Response(output, weights, dtype)


def grid(case: Case) -> tuple[int, int, int, int]:
    """(B, H, N, M) of a case's logits."""
    if "X" in case:
        batch, n, _ = case["X"].shape
        return batch, case.get("heads", 1), n, n
    return (*case["q"].shape[:3], case["k"].shape[2])


def _fit(a: Array, shape: str, full: tuple[int, int, int, int], front: int, face: Interface) -> Array:
    """A mask or bias of the logits in one of the shapes in use."""
    batch, heads, n, m = full
    if face.key_mask and a.dtype == np.bool_ and a.shape[1:3] == (1, 1):
        return a[:, 0, 0] if front == (2 if face.kind == "attention" else 1) else a[0, 0, 0]
    if shape == "full":
        a = np.broadcast_to(a, full)
    if shape == "items" and a.shape[1] == 1:
        return np.broadcast_to(a, (batch, 1, n, m))[:, 0] if batch > 1 else a[0, 0]
    if shape == "short":
        while a.ndim > 2 and a.shape[0] == 1:
            a = a[0]
        return a
    if batch == 1 and front < (2 if face.kind == "attention" else 1):
        a = a[0]
        if heads == 1 and front == 0:
            a = a[0]
    return a


def _bare(value: Any) -> npt.NDArray[Any]:
    """A plain array of whatever came back: no subclass, whose operators could say anything."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a function prints and warns of to itself, and what it does to NumPy."""
    with (
        unchanged_numpy(),
        np.errstate(all="ignore"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield

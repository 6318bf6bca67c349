"""Multi-head self-attention of pasted arrays, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headwise.coursework.results import coursework
from headwise.coursework.steps import AttentionSteps, attention_steps
from headwise.errors import DataError
from headwise.explanation.explorer import to_fixed_point
from headwise.shapes import Array
from headwise.web.middleware import RequestRejected
from headwise.web.parsing import parse_matrix

DECIMALS = 4
_MAX_VALUE = 2**53 / 10**DECIMALS  # above it, whole multiples of the last decimal are not exact in a browser
_NAMES = ("X", "Wq", "Wk", "Wv", "Wo")


def attend_arrays(request: Mapping[str, Any]) -> dict[str, Any]:
    """Every step of multi-head self-attention of pasted arrays, as they are and with two inputs swapped."""
    arrays, heads, swap = _parse_arrays(request), request.get("heads"), request.get("swap")
    causal = request.get("causal", False)
    if type(heads) is not int or heads < 1:
        raise DataError("heads: expected a whole number, 1 or more.")
    if not (isinstance(swap, list) and len(swap) == 2 and all(type(n) is int for n in swap)):
        raise DataError("swap: expected two inputs.")
    if type(causal) is not bool:
        raise DataError("causal: expected true or false.")
    with np.errstate(all="ignore"):
        results = coursework(arrays, heads=(heads,), swap=(swap[0], swap[1]))
        order = np.arange(len(arrays["X"]))
        order[swap] = order[swap[::-1]]
        swapped = {**arrays, "X": arrays["X"][order]}
        both = {"given": arrays, "swapped": swapped}
        runs = {name: attention_steps(inputs, heads, causal=causal) for name, inputs in both.items()}
    _check_size(runs)
    (run,) = results.runs
    return {
        "decimals": DECIMALS,
        "permutations": results.permutations,
        "deviation": f"{run.causal if causal else run.equivariance.output:.1e}",
        "causal": causal,
        "swap": swap,
        **{
            name: {step: to_fixed_point(array, DECIMALS) for step, array in steps._asdict().items()}
            for name, steps in runs.items()
        },
    }


def _parse_arrays(request: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays of a request, with matrices (out, in)."""
    texts, layout = request.get("arrays"), request.get("layout", "out, in")
    if not isinstance(texts, dict):
        raise RequestRejected(400, "Expected arrays.")
    if layout not in ("out, in", "in, out"):
        raise DataError("layout: expected 'out, in' or 'in, out'.")
    arrays = {name: parse_matrix(name, texts.get(name, "")) for name in _NAMES if texts.get(name) or name != "Wo"}
    return {name: array.T.copy() if layout == "in, out" and name != "X" else array for name, array in arrays.items()}


def _check_size(runs: Mapping[str, AttentionSteps]) -> None:
    """Reject numbers that a page cannot show."""
    largest = [
        float(np.nanmax(np.abs(array)) if name == "logits" else np.abs(array).max())
        for steps in runs.values()
        for name, array in steps._asdict().items()
    ]
    if not max(largest) < _MAX_VALUE or np.isnan(largest).any():
        raise DataError(
            f"X: the output is not finite, or exceeds {_MAX_VALUE:.0e}, above which {DECIMALS} decimals cannot be "
            "shown; numbers this large overflow."
        )

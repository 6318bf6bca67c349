"""The arrays of the coursework in a notebook: which they are, how they are oriented, and what was assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from headwise.coursework.notebook.candidates import Candidate, find_candidates, head_counts
from headwise.coursework.notebook.matrices import (
    PARTS,
    MatrixSet,
    Orientation,
    complete_sets,
    convert,
    is_column_list,
    shape_text,
)
from headwise.coursework.notebook.orientation import choose_orientation, fitting_orientations
from headwise.coursework.notebook.run import NotebookRun
from headwise.errors import DataError, ShapeError
from headwise.shapes import Array

_ROLES = {
    "X": "tokens",
    "Wq": "queries",
    "Wk": "keys",
    "Wv": "values",
    "Wo": "final transformation",
    "bq": "bias of the queries",
    "bk": "bias of the keys",
    "bv": "bias of the values",
    "bo": "final bias",
    "Wqkv": "queries, keys and values",
    "bqkv": "biases of queries, keys and values",
}


class ArrayOptions(NamedTuple):
    """What the user says about the arrays; None or nothing for what is to be found in the notebook."""

    heads: int | None = None
    columns: bool | None = None
    in_out: bool | None = None
    take: Mapping[str, tuple[str, ...]] = {}


class Finding(NamedTuple):
    """One array: its name and shape in the notebook, its role, and its orientation."""

    name: str
    shape: tuple[int, ...]
    role: str
    orientation: str


@dataclass(frozen=True)
class NotebookArrays:
    """The arrays of a notebook in the library's convention, and how they were found."""

    # X (N, D) with tokens as rows, Wq, Wk, Wv, and those of Wo, bq, bk, bv, bo that there are, (out, in)
    arrays: dict[str, Array]
    heads: int  # the largest number of heads; the other is 1
    # whether the notebook's tokens are columns, and its matrices (in, out)
    columns: bool
    in_out: bool
    # the notebook's expressions by role, in the order of the heads where each head has its own
    sources: dict[str, tuple[str, ...]]
    own_heads: int  # how many heads have separate matrices; 1 if there is one matrix for all
    findings: tuple[Finding, ...]
    reason: str  # what shows the orientation; empty if it is assumed
    assumptions: tuple[str, ...]  # what could be otherwise, with the option that says so


def find_arrays(
    run: NotebookRun, options: ArrayOptions, conventions: Sequence[tuple[str, Sequence[str]]] = ()
) -> NotebookArrays:
    """Find the coursework's arrays in a notebook.

    `conventions`: the notebook's attention functions, with the conventions that the checker detected in each.
    Raises DataError if a role has no array, or several arrays that differ; the message says how to choose; ShapeError
    if the arrays do not fit one another.
    """
    run = replace(run, values=run.values | _taken(run, options.take))
    candidates = find_candidates(run.values, run.tree, options.take)
    if not complete_sets(candidates):
        candidates = find_candidates(run.values, run.tree, options.take, members=True)
    assumptions: list[str] = []
    matrices = _choose_matrices(run, candidates, assumptions)
    tokens, possible = _choose_tokens(run, candidates.get("X", ()), matrices, options, assumptions)
    orientation, reason = choose_orientation(run, tokens, matrices, possible, conventions, assumptions)
    arrays = convert(tokens, matrices, orientation)
    heads = _choose_heads(run, matrices, arrays, options, assumptions)
    if tokens.array.ndim == 3 and not tokens.listed and len(tokens.array) > 1:
        assumptions.append(f"{tokens.expression} has {len(tokens.array)} sets of tokens; the first is used.")
    sources: dict[str, tuple[str, ...]] = {"X": (tokens.expression,)}
    sources |= {role: tuple(c.expression for c in items) for role, items in matrices.members.items()}
    findings, texts = tuple(_findings(tokens, matrices, orientation)), tuple(assumptions)
    return NotebookArrays(arrays, heads, *orientation, sources, matrices.heads, findings, reason, texts)


def _taken(run: NotebookRun, take: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The values of expressions that the options name and that are not among the notebook's values."""
    taken = {}
    for role, expressions in take.items():
        if role not in _ROLES:
            raise DataError(f"--take: expected one of {', '.join(_ROLES)} before the =; got {role}.")
        for expression in expressions:
            value = run.values.get(expression)
            if value is None:
                with suppress(Exception):  # whatever the expression raises
                    value = taken[expression] = run.sandbox.evaluate(expression)
            if not isinstance(value, np.ndarray | tuple) or not np.ndim(value):
                raise DataError(f"--take: {run.path.name} has no array {expression}. {_list_arrays(run)}")
    return taken


def _choose_matrices(run: NotebookRun, candidates: Mapping[str, list[Candidate]], assumptions: list[str]) -> MatrixSet:
    """The only complete set of matrices, or the first, with the others stated."""
    sets = complete_sets(candidates)
    if not sets:
        missing = [f"W{part}" for part in PARTS if f"W{part}" not in candidates]
        raise DataError(
            f"{run.path.name}: no {' and '.join(missing) or 'matrices that belong together'} found; expected names "
            f"such as Wq, W_k or omega_v. {_list_arrays(run)} Name them with {_suggest_takes(run)}."
            f"{run.first_failure()}"
        )
    for other in sets[1:]:
        if not sets[0].same_numbers(other):
            takes = " ".join(
                f"--take {role}={','.join(c.expression for c in items)}" for role, items in other.members.items()
            )
            assumptions.append(
                f"The matrices are {sets[0].label}; the notebook also has {other.label}, which {takes} would take."
            )
    return sets[0]


def _choose_tokens(
    run: NotebookRun,
    candidates: Sequence[Candidate],
    matrices: MatrixSet,
    options: ArrayOptions,
    assumptions: list[str],
) -> tuple[Candidate, list[Orientation]]:
    """The tokens that fit the matrices, with the orientations in which they do."""
    if not candidates:
        raise DataError(
            f"{run.path.name}: no tokens X found; expected a name such as X, all_x, tokens or inputs. "
            f"{_list_arrays(run)} Name one with --take X=NAME.{run.first_failure()}"
        )
    results = [(c, *fitting_orientations(c, matrices, options.columns, options.in_out)) for c in candidates]
    fits = [(c, possible) for c, possible, _ in results if possible]
    if not fits:
        members = [candidates[0], *(c for items in matrices.members.values() for c in items)]
        shapes = ", ".join(f"{c.expression} {shape_text(c.array)}" for c in members)
        reason = next((problems[0] for _, _, problems in results if problems), "with these options")
        raise ShapeError(f"{run.path.name}: the arrays do not fit one another: {shapes} ({reason}). Use --take.")
    tokens = fits[0][0]
    entries = np.sort(tokens.array.ravel())
    for other, _ in fits[1:]:
        if np.array_equal(entries, np.sort(other.array.ravel())):
            continue
        if other.rank == tokens.rank:
            raise DataError(
                f"X: the notebook has {tokens.expression} and {other.expression}, which differ. Choose with --take "
                f"X={tokens.expression} or --take X={other.expression}."
            )
        assumptions.append(f"The tokens are {tokens.expression}; --take X={other.expression} would take the other.")
    return fits[0]


def _choose_heads(
    run: NotebookRun, matrices: MatrixSet, arrays: Mapping[str, Array], options: ArrayOptions, assumptions: list[str]
) -> int:
    """The number of heads: an option, that of the matrices, that of a variable, or an assumption."""
    rows = {len(arrays["Wq"]), len(arrays["Wv"])}

    def divides(count: int) -> bool:
        return not any(size % count for size in rows)

    if options.heads is not None:
        if not divides(options.heads):
            raise ShapeError(
                f"--heads: expected a divisor of the {min(rows)} rows of the matrices; got {options.heads}."
            )
        if matrices.heads > 1 and options.heads != matrices.heads:
            assumptions.append(
                f"The notebook has matrices for {matrices.heads} heads; --heads divides their rows among "
                f"{options.heads}."
            )
        return options.heads
    if matrices.heads > 1:
        return matrices.heads
    counts = {name: count for name, count in head_counts(run.values).items() if count > 1 and divides(count)}
    if counts:
        name, count = next(iter(counts.items()))
        others = [f"{other} = {number}" for other, number in counts.items() if number != count]
        if others:
            assumptions.append(f"The number of heads is {name} = {count}; the notebook also has {', '.join(others)}.")
        return count
    count = next((c for c in (3, 2, *range(4, min(rows) + 1)) if divides(c)), 1)
    compared = f"{count} heads are compared with one (--heads takes another number)"
    only = "its matrices allow no other number than one"
    assumptions.append(f"The notebook names no number of heads; {compared if count > 1 else only}.")
    return count


def _findings(tokens: Candidate, matrices: MatrixSet, orientation: Orientation) -> list[Finding]:
    side = "columns" if orientation.columns else "rows"
    words = "a list of columns, each a token" if is_column_list(tokens) else f"tokens as {side}"
    findings = [Finding(tokens.expression, tokens.array.shape, _ROLES["X"], words)]
    for role, items in matrices.members.items():
        for i, c in enumerate(items, 1):
            is_matrix = role.startswith("W")
            stacked = ", a matrix for each head" if c.array.ndim == 3 and is_matrix else ""
            role_words = _ROLES[role] + (f", head {i}" if len(items) > 1 else stacked)
            matrix = "(in, out)" if orientation.in_out else "(out, in)"
            findings.append(Finding(c.expression, c.array.shape, role_words, matrix if is_matrix else "a vector"))
    return findings


def _suggest_takes(run: NotebookRun) -> str:
    """Options for a list with queries, keys and values of each head, if there is one; else an example."""
    for name, value in run.values.items():
        stack = np.stack(value) if isinstance(value, tuple) and len({array.shape for array in value}) == 1 else value
        if isinstance(stack, np.ndarray) and stack.ndim == 4 and len(PARTS) in stack.shape[:2]:
            heads_first = stack.shape[1] == len(PARTS)
            heads = range(stack.shape[0 if heads_first else 1])
            takes = (
                ",".join(f"{name}[{h}][{i}]" if heads_first else f"{name}[{i}][{h}]" for h in heads)
                for i in range(len(PARTS))
            )
            options = " ".join(f'--take "W{part}={take}"' for part, take in zip(PARTS, takes, strict=True))
            return f"{options}, if {name} has queries, keys and values in this order"
    return "--take, as in --take Wq=A"


def _list_arrays(run: NotebookRun) -> str:
    names = [
        f"{name} {shape_text(np.asarray(value[0] if isinstance(value, tuple) else value))}"
        for name, value in run.values.items()
        if not isinstance(value, int)
    ]
    return f"Its arrays are {', '.join(names[:20])}{' …' if len(names) > 20 else ''}." if names else "It has no arrays."

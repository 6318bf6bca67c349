"""Matrices and biases of a notebook that belong together, and their form in the library's convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from headwise.coursework.notebook.candidates import LISTED, Candidate
from headwise.errors import ShapeError
from headwise.shapes import Array

PARTS = ("q", "k", "v")


class Orientation(NamedTuple):
    """Whether tokens are columns, and matrices (in, out)."""

    columns: bool
    in_out: bool

    def __str__(self) -> str:
        matrices = "(in, out)" if self.in_out else "(out, in)"
        return f"tokens as {'columns' if self.columns else 'rows'}, matrices {matrices}"


class MatrixSet(NamedTuple):
    """Matrices and biases that belong together: by role, one candidate, or one for each head."""

    members: dict[str, list[Candidate]]

    @property
    def label(self) -> str:
        """Its matrices in the notebook's names."""
        return ", ".join(c.expression for role in ("Wqkv", "Wq", "Wk", "Wv") for c in self.members.get(role, ()))

    @property
    def heads(self) -> int:
        """How many heads have separate matrices; 1 if there is one matrix for all."""
        items = self.members.get("Wq", ())
        return sum(len(c.array) if c.array.ndim == 3 else 1 for c in items) or 1

    def same_numbers(self, other: MatrixSet) -> bool:
        """Whether both have the same entries, in whatever arrangement."""

        def entries(members: dict[str, list[Candidate]], role: str) -> Array:
            return np.sort(np.concatenate([c.array.ravel() for c in members.get(role, ())] or [np.empty(0)]))

        roles = ("Wq", "Wk", "Wv", "Wqkv")
        return all(np.array_equal(entries(self.members, role), entries(other.members, role)) for role in roles)


def complete_sets(candidates: Mapping[str, list[Candidate]]) -> list[MatrixSet]:
    """Sets with queries, keys and values: variables before members of objects, single heads before all in one."""
    sets = []
    most = max(map(len, candidates.values()), default=0)
    for group in dict.fromkeys(c.group for items in candidates.values() for c in items):
        choices = [_members(candidates, group, None), *(_members(candidates, group, i) for i in range(most))]
        for i, members in enumerate(choices):
            if members in choices[:i]:
                continue
            complete = all(f"W{part}" in members for part in PARTS) or "Wqkv" in members
            if complete and len({len(members[r]) for r in ("Wq", "Wk", "Wv") if r in members}) <= 1:
                sets.append(MatrixSet(members))
    if not sets:  # members of several objects, such as three layers
        members = {role: items[:1] for role, items in candidates.items() if role != "X"}
        if all(f"W{part}" in members for part in PARTS):
            sets.append(MatrixSet(members))
    return sets


def _members(candidates: Mapping[str, list[Candidate]], group: str, choice: int | None) -> dict[str, list[Candidate]]:
    """The matrices and biases of one group: those of single heads, or the first, second … of all heads in one."""
    members: dict[str, list[Candidate]] = {}
    for role, items in candidates.items():
        members_of_group = [c for c in items if c.group == group]
        if not members_of_group and group == LISTED and role in ("Wo", "bo"):  # a variable next to a list of heads
            members_of_group = [c for c in items if not c.group]
        shared = [c for c in members_of_group if c.head is None]
        first_shared = shared[min(choice or 0, len(shared) - 1) :][:1]
        by_head = sorted((c for c in members_of_group if c.head is not None), key=lambda c: c.head or 0)
        final = role in ("Wo", "bo")
        picked = by_head if choice is None and not final else first_shared
        if picked and role != "X":
            members[role] = picked
    return members


def is_column_list(tokens: Candidate) -> bool:
    """Whether tokens are a list of columns, such as Prince's ``all_x``."""
    return tokens.listed and tokens.array.ndim == 3 and tokens.array.shape[-1] == 1


def convert(tokens: Candidate, matrices: MatrixSet, orientation: Orientation) -> dict[str, Array]:
    """The arrays with tokens as rows and matrices (out, in), those of the heads below one another.

    Raises ShapeError if they do not fit one another in this orientation.
    """
    arrays = {"X": _tokens(tokens, orientation.columns)}
    width = arrays["X"].shape[1]
    members = {role: items for role, items in matrices.members.items() if role not in ("Wqkv", "bqkv")}
    members |= _split_fused(matrices.members, orientation.in_out)
    for part in PARTS:
        arrays[f"W{part}"] = _matrix(members[f"W{part}"], width, orientation.in_out)
        if f"b{part}" in members:
            arrays[f"b{part}"] = _vector(members[f"b{part}"], len(arrays[f"W{part}"]))
    if arrays["Wq"].shape != arrays["Wk"].shape:
        shapes = f"{shape_text(arrays['Wq'])} and {shape_text(arrays['Wk'])}"
        raise ShapeError(f"Wq, Wk: expected queries and keys of one width; got {shapes}")
    if "Wo" in members:
        arrays["Wo"] = _final_matrix(members["Wo"][0], len(arrays["Wv"]), orientation.in_out)
        if "bo" in members:
            arrays["bo"] = _vector(members["bo"], len(arrays["Wo"]))
    return arrays


def _tokens(tokens: Candidate, columns: bool) -> Array:
    x = tokens.array
    if is_column_list(tokens):
        return np.ascontiguousarray(x[..., 0])
    if x.ndim == 3 and (len(x) == 1 or not tokens.listed):
        x = x[0]
    if x.ndim != 2:
        raise ShapeError(f"{tokens.expression}: expected a matrix of tokens; got {shape_text(tokens.array)}")
    return np.ascontiguousarray(x.T if columns else x)


def _split_fused(members: Mapping[str, list[Candidate]], in_out: bool) -> dict[str, list[Candidate]]:
    """Queries, keys and values out of one matrix, and out of one bias."""
    result: dict[str, list[Candidate]] = {}
    for fused, letter in (("Wqkv", "W"), ("bqkv", "b")):
        for item in members.get(fused, ()):
            axis = -1 if letter == "W" and in_out else 0
            if item.array.shape[axis] % 3:
                raise ShapeError(f"{item.expression}: expected three equal parts; got {shape_text(item.array)}")
            for part, array in zip(PARTS, np.split(item.array, 3, axis=axis), strict=True):
                result[f"{letter}{part}"] = [replace(item, role=f"{letter}{part}", array=array)]
    return result


def _matrix(items: Sequence[Candidate], width: int, in_out: bool) -> Array:
    """(out, in): the matrices of all heads below one another."""
    parts = [part for c in items for part in (c.array if c.array.ndim == 3 else [c.array])]
    oriented = [part.T if in_out else part for part in parts]
    for part in oriented:
        if part.ndim != 2 or part.shape[1] != width:
            raise ShapeError(f"{items[0].expression}: expected {width} inputs; got {shape_text(items[0].array)}")
    return np.concatenate(oriented)


def _final_matrix(item: Candidate, width: int, in_out: bool) -> Array:
    """(out, in): parts of single heads next to one another."""
    if item.array.ndim == 3:
        item = replace(item, array=np.concatenate(list(item.array), axis=0 if in_out else 1))
    return _matrix([item], width, in_out)


def _vector(items: Sequence[Candidate], size: int) -> Array:
    flat = np.concatenate([c.array.ravel() for c in items])
    if len(flat) != size:
        raise ShapeError(f"{items[0].expression}: expected {size} numbers; got {shape_text(items[0].array)}")
    return flat


def shape_text(array: Array) -> str:
    """A shape without the comma of a tuple of one."""
    return f"({', '.join(map(str, array.shape))})"

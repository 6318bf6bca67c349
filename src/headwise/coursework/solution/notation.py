"""The course's own names and orientation: how its arrays and functions are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.coursework.notebook import NotebookArrays
from headwise.shapes import Array

_START = ("import numpy as np", "", "np.set_printoptions(precision=4, suppress=True, linewidth=110)", "")
_PRINTED = 1500  # numbers, at most, that are written out; more are read from a file


@dataclass(frozen=True)
class Notation:
    """Names and orientation of a course."""

    # whether tokens are columns, and matrices (in, out)
    columns: bool
    in_out: bool
    names: dict[str, str]  # a variable for each of the library's names; that of queries is ``names["Wq"]``
    by_head: dict[str, tuple[str, ...]]  # the variables of single heads, where each has its own

    @classmethod
    def of(cls, arrays: Mapping[str, Array], inputs: NotebookArrays | None) -> Notation:
        """That of a notebook, or the library's own."""
        if inputs is None:
            return cls(False, False, {name: name for name in arrays}, {})
        names: dict[str, str] = {}
        by_head: dict[str, tuple[str, ...]] = {}
        for role in arrays:
            sources = inputs.sources.get(role, ())
            if len(sources) > 1 and all(source.isidentifier() for source in sources):
                by_head[role] = sources
                stem = sources[0].rstrip("0123456789").rstrip("_")
                names[role] = stem if stem.isidentifier() and stem not in names.values() else role
            else:
                is_single = inputs.own_heads == 1 or role in ("X", "Wo", "bo")
                names[role] = sources[0] if is_single and sources and sources[0].isidentifier() else role
        return cls(inputs.columns, inputs.in_out, names, by_head)

    def oriented(self, role: str, array: Array) -> Array:
        """An array of the library as the course has it."""
        if role == "X":
            return array.T if self.columns else array
        if role.startswith("W"):
            return array.T if self.in_out else array
        return array[:, None] if self.columns else array

    def definitions(self, arrays: Mapping[str, Array]) -> str:
        """Code that defines the arrays under the course's names."""
        if sum(array.size for array in arrays.values()) > _PRINTED:
            return self._loaded(arrays)
        lines = list(_START)
        for role, array in arrays.items():
            heads = self.by_head.get(role)
            if heads:
                for name, part in zip(heads, np.split(array, len(heads)), strict=True):
                    lines.append(f"{name} = {_literal(self.oriented(role, part))}")
                axis = 1 if self.in_out and role.startswith("W") else 0
                lines.append(f"{self.names[role]} = np.concatenate([{', '.join(heads)}], axis={axis})")
            else:
                lines.append(f"{self.names[role]} = {_literal(self.oriented(role, array))}")
        return "\n".join(lines)

    def _loaded(self, arrays: Mapping[str, Array]) -> str:
        lines = [*_START, 'with np.load("arrays/coursework.npz") as saved:  # tokens as rows, matrices (out, in)']
        for role in arrays:
            transposed = (role == "X" and self.columns) or (role.startswith("W") and self.in_out)
            suffix = ".T" if transposed else "[:, None]" if role.startswith("b") and self.columns else ""
            lines.append(f'    {self.names[role]} = saved["{role}"]{suffix}')
        return "\n".join(lines)


def _literal(array: Array) -> str:
    values: Any = array.tolist()
    if array.ndim == 1:
        return f"np.array({values})"
    return "np.array([\n" + "".join(f"    {row},\n" for row in values) + "])"

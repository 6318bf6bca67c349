"""From which arrays the variables of a script are computed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwise.checker.arguments.roles import FUSED, is_matrix, role_of
from headwise.checker.calling.responses import bare
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import assigned_pairs, last_name, nodes_in, single_targets

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
PARTS = ("q", "k", "v")
_TRIANGLES = {"tri", "tril", "triu"}
_MASK = re.compile(r"mask|caus|tri[lu]$|future|visib|allow|hid|keep|block|past")


@dataclass
class Flow:
    """What the statements of a script outside functions compute from what.

    A source is an array that is not computed from others, or that its name says is X or a matrix.
    """

    values: Mapping[str, Any]  # of the variables, once the script has run
    functions: Mapping[str, ast.stmt]  # that it defines
    sources: set[str] = field(default_factory=set)
    ancestors: dict[str, frozenset[str]] = field(default_factory=dict)  # the variables that each is computed from
    reads: dict[str, set[str]] = field(default_factory=dict)  # the variables that each is computed from directly
    sizes: set[str] = field(default_factory=set)  # the variables that are computed from the sizes of others
    triangles: set[str] = field(default_factory=set)  # the variables that are causal masks
    outside: dict[str, None] = field(default_factory=dict)  # the variables that are assigned outside loops, in order
    loops: dict[str, str] = field(default_factory=dict)  # what a loop goes through, by the variable of the loop
    parts: dict[str, str] = field(default_factory=dict)  # q, k or v by the variables that are it by their names

    def run(self, statements: Iterable[ast.stmt], in_loop: bool = False) -> None:
        """Follow statements in their order."""
        for statement in statements:
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign) and statement.value is not None:
                self._assign(statement, in_loop)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                call = statement.value  # for its effect, as ``heads.append(x)``
                self._add(base_name(call.func), self.ancestors_of(call))
            elif isinstance(statement, ast.For):
                self._enter(statement)
            if isinstance(statement, DEFINITIONS):
                continue
            for node in nodes_in(statement):
                if isinstance(node, ast.comprehension) and base_name(node.target) not in self.outside:
                    self._enter(node)
            repeated = isinstance(statement, ast.For | ast.While)
            for block in ("body", "orelse", "finalbody"):
                for _ in range(1 + repeated):
                    self.run(getattr(statement, block, []), in_loop or repeated)

    def sources_of(self, name: str) -> frozenset[str]:
        """The sources that a variable is computed from, those in a dictionary as ``weights[query]``."""
        return frozenset(s for s in self.ancestors.get(name, ()) if owner(s) in self.sources)

    def parts_of(self, name: str) -> frozenset[str]:
        """Whether a variable is computed from queries, from keys and from values, or is one of them."""
        computed = [n for n in (name, *self.ancestors[name]) if owner(n) not in self.sources]
        roles = (self.parts.get(n) or role_of(n.partition("[")[2].rstrip("]") or "_") for n in computed)
        return frozenset(role for role in roles if role in PARTS)

    def mixes(self, name: str, weights: str) -> bool:
        """Whether a variable is computed from what is made of some weights and, once more, of tokens that are not."""
        made = {n for n in self.reads.get(name, ()) if n == weights or weights in self.ancestors.get(n, ())}
        others = self.reads.get(name, set()) - made
        sources = {s for n in others for s in (n, *self.ancestors.get(n, ())) if owner(s) in self.sources}
        return bool(made) and not all(map(is_weight, map(owner, sources)))

    def ancestors_of(self, node: ast.AST) -> frozenset[str]:
        """The variables that some code reads, also in functions of the file, and those that they are computed from."""
        found = frozenset[str]()
        waiting, visited = [node], set[str]()
        while waiting:
            code = waiting.pop()
            names = set(loaded(code, sizes=False))
            read = frozenset(names & self.ancestors.keys())
            read = read.union(*(self.ancestors[name] for name in read))
            entries = frozenset(_entries(code, read))
            found |= read - {owner(entry) for entry in entries} | entries
            called = (names & self.functions.keys()) - visited
            visited |= called
            waiting += [self.functions[name] for name in called]
        return found

    def _assign(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign, in_loop: bool) -> None:
        for target, value in assigned_pairs(statement):
            name, before = base_name(target), self.ancestors_of(value)
            names = set(loaded(value))
            self.reads.setdefault(name, set()).update(loaded(value, sizes=False))
            if names & self.sizes or names & self.ancestors.keys() - set(loaded(value, sizes=False)):
                self.sizes.add(name)
            if not before and any(last_name(n) in _TRIANGLES for n in nodes_in(value) if isinstance(n, ast.expr)):
                self.triangles.add(name)
            if not isinstance(target, ast.Name) or isinstance(statement, ast.AugAssign):
                self._add(name, before)
                continue
            if not in_loop:
                self.outside.setdefault(name)
            is_source = self._is_source(name, before)
            role = role_of(re.sub(r"_?\d+$", "", name))
            self.parts |= {name: role} if role in PARTS and not is_source else {}
            self.sources = self.sources | {name} if is_source else self.sources - {name}
            self.ancestors[name] = frozenset() if is_source else before

    def _add(self, name: str, ancestors: frozenset[str]) -> None:
        """A variable is changed, not replaced: such as a list of heads, or zeros that are filled in."""
        if name in self.ancestors and not (is_weight(name) or role_of(name) == "X"):
            self.sources -= {name}
            self.ancestors[name] |= ancestors

    def _enter(self, loop: ast.For | ast.comprehension) -> None:
        ancestors = self.ancestors_of(loop.iter)
        through = [name for name in loaded(loop.iter) if name in self.ancestors]
        for target in single_targets(loop.target):
            if isinstance(target, ast.Name):
                self.ancestors |= {target.id: ancestors} if isinstance(loop, ast.For) else {}
                self.loops |= {target.id: through[0]} if len(through) == 1 else {}

    def _is_source(self, name: str, before: frozenset[str]) -> bool:
        array = self.values.get(name)
        of = [owner(source) for source in before if owner(source) in self.sources]
        if not is_numbers(array):
            return is_layer(array)
        if not of:
            return not _MASK.search(name.lower())
        if role_of(name) == "X":
            return not any(map(is_weight, of))
        if is_weight(name):
            return all(map(is_weight, of))
        return len(of) == 1 and role_of(of[0]) == "X" and have_same_numbers(array, self.values[of[0]])


def is_weight(name: str) -> bool:
    """Whether a name is that of a matrix or a bias of projections, perhaps of one head."""
    role = role_of(re.sub(r"_?\d+$", "", name)) or " "
    return is_matrix(role) or (role in FUSED and role[0] in "Wb")


def is_layer(value: Any) -> bool:
    """Whether a value is a layer of torch, which is called with tokens."""
    is_table = hasattr(value, "num_embeddings")  # which makes tokens of their numbers
    return hasattr(value, "named_parameters") and not isinstance(value, type) and not is_table


def is_numbers(value: Any) -> bool:
    """Whether a value is an array of real numbers, or holds only such."""
    items = list(value.values()) if isinstance(value, dict) else value
    if isinstance(items, list | tuple):
        return bool(items) and all(map(is_numbers, items))
    try:
        array = bare(value) if hasattr(value, "dtype") and hasattr(value, "shape") else np.zeros(())
    except Exception:  # whatever raises what is no plain array, as a sparse tensor
        return False
    return array.ndim > 0 and array.dtype.kind in ("f" if array.ndim == 1 else "fi")  # whole numbers are indices


def have_same_numbers(value: Any, other: Any) -> bool:
    """Whether two arrays, or what holds arrays, hold the same numbers in any order."""
    mine, yours = (np.concatenate([*_flat(value)]) for value in (value, other))
    return mine.size == yours.size and bool(np.array_equal(np.sort(mine), np.sort(yours)))


def _flat(value: Any) -> Iterator[Any]:
    """The numbers of each array in a value."""
    items = list(value.values()) if isinstance(value, dict) else value
    if isinstance(items, list | tuple):
        for item in items:
            yield from _flat(item)
    else:
        yield np.ravel(bare(value))


def owner(source: str) -> str:
    """The variable of a source."""
    return source.partition("[")[0]


def _entries(node: ast.AST, names: Iterable[str]) -> Iterator[str]:
    """The entries of dictionaries that some code looks up by their keys."""
    for item in nodes_in(node):
        key = item.slice if isinstance(item, ast.Subscript) else None
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and base_name(item) in names:
            yield f"{base_name(item)}[{key.value}]"


def loaded(node: ast.AST, sizes: bool = True) -> list[str]:
    """The names that some code reads; without `sizes` those of which it reads more than the size."""
    names = [n for n in nodes_in(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    measured = [] if sizes else [id(n) for n in map(_measured, nodes_in(node))]
    return list(dict.fromkeys(n.id for n in names if id(n) not in measured))


def _measured(node: ast.AST) -> ast.AST | None:
    """What an expression gives a size of, as ``x.shape``, ``x.size(0)`` or ``len(x)``."""
    if isinstance(node, ast.Attribute) and node.attr in ("shape", "size", "ndim", "dtype", "device"):
        return node.value
    is_length = isinstance(node, ast.Call) and last_name(node.func) in ("len", "shape") and len(node.args) == 1
    return node.args[0] if isinstance(node, ast.Call) and is_length else None


def changed(statement: ast.stmt) -> set[str]:
    """The variables that a statement may assign or change."""
    nodes = nodes_in(statement)
    targets = [n for n in nodes if isinstance(n, ast.expr) and isinstance(getattr(n, "ctx", None), ast.Store)]
    calls = [n.value.func for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    return {name for name in map(base_name, [*targets, *calls]) if name}


def base_name(node: ast.AST) -> str:
    """The variable at the beginning of an expression such as ``x.T[0].reshape(2, 3)``; empty for another."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""

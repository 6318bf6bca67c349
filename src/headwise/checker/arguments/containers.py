"""Arguments that hold several matrices: dictionaries, objects, tuples, and lists with an entry for each head."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

from headwise.checker.arguments.roles import role_of
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import nodes_in, parse

EACH = "for each head"  # the key of a list that has an entry for each head
Path: TypeAlias = tuple[str | int, ...]  # keys, the outermost first
_PARTS = (("q", "k", "v"), ("Q", "K", "V"), ("query", "key", "value"), ("queries", "keys", "values"))
_IN_ORDER = ("Wq", "Wk", "Wv", "Wo")
_WEIGHTS = {"w", "weight", "weights", "kernel", "matrix"}
_BIASES = {"b", "bias", "beta"}
_SEVERAL_BIASES = _BIASES | {"bs", "biases", "betas"}
_OUTPUTS = {"o", "out", "output", "proj", "projection", "linear"}


def matrices_in(argument: str, code: str, layer: str = "") -> dict[str, Path]:
    """Return where a function looks up each matrix and bias in an argument, by the reference's names.

    `argument`: the name of the argument.
    `code`: the function's own lines.
    `layer`: which matrix the argument is, if it is one with its bias.
    """
    roles: dict[str, Path] = {}
    looked_up = _looked_up(argument, code)
    for path, name in looked_up.items():
        role = role_at(path, name, layer)
        if role and role not in roles:
            roles[role] = path
    roles |= _lacking(roles)
    if {"Wq", "Wk", "Wv"} <= roles.keys() and not {"Wo", "bo"} & roles.keys():
        roles |= _last_layer([path for path in looked_up if path not in roles.values()])
    if {"Wq", "Wk", "Wv", "Wo"} <= roles.keys() and "bo" not in roles:
        roles |= _last_bias([path for path in looked_up if path not in roles.values()])
    return roles


def _last_bias(paths: list[Path]) -> dict[str, Path]:
    """Where the bias of the output is, if it is all that is left: the fifth of a list, or a bias without a letter."""
    last = paths[0][-1] if len(paths) == 1 else ""
    named = isinstance(last, str) and last.lower() in _BIASES
    return {"bo": paths[0]} if len(paths) == 1 and len(paths[0]) == 1 and (named or last == len(_IN_ORDER)) else {}


def _last_layer(paths: list[Path]) -> dict[str, Path]:
    """Where the matrix and the bias of the output are, if one layer is left, of whatever name."""
    roles = {str(path[-1]).lower(): path for path in paths if len(path) > 1 and path[-1] != EACH}
    matrices = [path for key, path in roles.items() if key in _WEIGHTS]
    biases = [path for key, path in roles.items() if key in _BIASES]
    if len({path[:-1] for path in paths}) != 1 or len(matrices) != 1 or len(biases) != len(paths) - 1:
        return {}
    return dict(zip(("Wo", "bo"), (*matrices, *biases), strict=False))


def _lacking(roles: dict[str, Path]) -> dict[str, Path]:
    """Where the one matrix of queries, keys or values is, and its bias, that a function never looks up."""
    lacking = {"Wq", "Wk", "Wv"} - roles.keys()
    part = lacking.pop()[1:] if len(lacking) == 1 else ""
    places: dict[str, Path] = {}
    for role in [role for role in roles if role[1:] in ("q", "k", "v")] if part else ():
        for other in _renamed(roles[role], "qkv".index(role[1])):
            if role_at(other) == role[0] + part:
                places.setdefault(role[0] + part, other)
    return places


def _renamed(path: Path, part: int) -> Iterator[Path]:
    """The paths to the other two: ``("attn.k_proj.weight",)`` among those for ``("attn.v_proj.weight",)``."""
    for place, key in enumerate(path):
        for words in _PARTS if isinstance(key, str) and key != EACH else ():
            for other in words:
                yield (*path[:place], str(key).replace(words[part], other), *path[place + 1 :])


def paths_in(argument: str, code: str) -> dict[Path, tuple[str, ...]]:
    """Return where a function looks up anything in an argument, with the names and keys that say what is there."""
    looked_up = {path[: (*path, EACH).index(EACH)]: name for path, name in _looked_up(argument, code).items()}
    return {path: (name, *(str(key) for key in path[-1:])) for path, name in looked_up.items() if path}


def _looked_up(argument: str, code: str) -> dict[Path, str]:
    """The innermost paths at which an argument is looked up, with the names that what is there is bound to."""
    try:
        tree = parse(textwrap.dedent(code))
    except SyntaxError:
        return {}
    lookups = _Lookups({argument: ()}, _functions_in(tree))
    for _ in range(3):  # a name may be used above the line that binds it, as in a comprehension
        lookups.visit(tree)
    inner = {path[:end] for path in lookups.paths for end in range(len(path))}
    own = {
        path: name or lookups.paths.get(path[:-1], "") * (path[-1:] == (EACH,)) for path, name in lookups.paths.items()
    }
    return {path: name for path, name in own.items() if path and path not in inner}


def pack(leaves: Sequence[tuple[Path, Any]]) -> Any:
    """The container in which each value is at its path; a value at `EACH` is a list with one entry for each head."""
    if not leaves[0][0]:
        return leaves[0][1]
    if leaves[0][0][0] == EACH:
        items = [pack([(path[1:], value[i]) for path, value in leaves]) for i in range(len(leaves[0][1]))]
        return np.stack(items) if all(type(item) is np.ndarray for item in items) else items
    if "jax" in sys.modules:
        _make_known_to_jax()
    groups: dict[str | int, list[tuple[Path, Any]]] = {}
    for path, value in leaves:
        groups.setdefault(path[0], []).append((path[1:], value))
    packed = _Items({key: pack(group) for key, group in groups.items()})
    places = [key for key in packed if isinstance(key, int)]
    return tuple(packed.get(i) for i in range(max(places) + 1)) if places else packed


class _Items(dict[Any, Any]):
    """A dictionary whose items are attributes too, as those of a namedtuple are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@cache
def _make_known_to_jax() -> None:
    """Let functions that JAX compiles or maps take `_Items` as they take dictionaries."""
    sys.modules["jax"].tree_util.register_pytree_node(
        _Items,
        lambda items: (tuple(items.values()), tuple(items)),
        lambda keys, values: _Items(zip(keys, values, strict=True)),
    )


def _names_matrix(name: str) -> bool:
    """Whether an attribute is looked up for what it holds, and not for a property of an array."""
    return name.lower() in _WEIGHTS | _BIASES or _matrix(name) is not None


def role_at(path: Path, name: str = "", layer: str = "") -> str | None:
    """What is at a path: by the name that it is bound to, else by its last key and the key before.

    Keys such as ``"self_attn.q_proj.weight"`` are paths themselves.
    """
    path = tuple(
        part for key in path for part in (re.split(r"[./]", key) if isinstance(key, str) else [key]) if part != ""
    )
    key = path[-1] if path else ""
    outer = layer or next((role for k in reversed(path[:-1]) if isinstance(k, str) and (role := _matrix(k))), "")
    if outer.startswith("W") and isinstance(key, str) and key.lower() in _WEIGHTS | _BIASES:
        return outer if key.lower() in _WEIGHTS else f"b{outer[1:]}"
    keys = [k for k in path if k != EACH]
    for word in (name, keys[-1] if keys else ""):
        if isinstance(word, str) and (role := _matrix(word)):
            return role
    place = keys[-1] if keys else ""
    if not isinstance(place, int) or not 0 <= place < len(_IN_ORDER):
        return None
    of_biases = any(isinstance(key, str) and key.lower() in _SEVERAL_BIASES for key in keys)
    return f"b{_IN_ORDER[place][1:]}" if of_biases else _IN_ORDER[place]


def _matrix(word: str) -> str | None:
    role = role_of(word)
    if role in ("q", "k", "v"):
        return f"W{role}"
    if word.lower() in _OUTPUTS:
        return "Wo"
    if word in ("h", "H"):
        return "heads"
    return role if role and (role[0] in "Wb" or role == "heads") and "#" not in role and role != "bias" else None


_Function: TypeAlias = ast.FunctionDef | ast.Lambda


def _functions_in(tree: ast.Module) -> dict[str, _Function]:
    """The functions that are defined by name, but for the first, which is the one that is read."""
    functions: dict[str, _Function] = {}
    for node in nodes_in(tree):
        if isinstance(node, ast.FunctionDef) and node is not tree.body[0]:
            functions[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            functions |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    return functions


class _Lookups(ast.NodeVisitor):
    """The paths at which an argument is looked up, and the names that what is there is bound to."""

    def __init__(self, bound: dict[str, Path], functions: dict[str, _Function]) -> None:
        self._bound = bound
        self._functions = functions  # that may be called with a part of the argument
        self._words: dict[str, str] = {}  # names that stand for a string
        self._followed: set[object] = set()  # calls of functions that have been read, with what they were given
        self.paths: dict[Path, str] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self._functions.get(node.name) is not node:  # the others are read where they are called
            self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp | ast.GeneratorExp) -> None:
        words = _words_of(node.generators[0].iter)
        for word in words:
            self._words[getattr(node.generators[0].target, "id", "")] = word
            self.visit(node.elt)
        if not words:
            self.generic_visit(node)

    visit_GeneratorExp = visit_ListComp

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            for one, value in _pairs(target, node.value):
                self._bind(one, self._resolve(value))
            self._unpack(target, node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._iterate(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._iterate(node.target, node.iter)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._note(self._resolve(node))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._note(self._resolve(node))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._note(self._resolve(node))
        if isinstance(node.func, ast.Name) and node.func.id in self._functions:
            self._follow(node.func.id, node)
        for argument in node.args:
            path = self._resolve(argument.value) if isinstance(argument, ast.Starred) else None
            for place in range(3) if path is not None else ():
                self._note((*(path or ()), place))
        for keyword in node.keywords:
            path = self._resolve(keyword.value) if keyword.arg is None else None
            for key in ("w", "b") if path is not None else ():
                self._note((*(path or ()), key))
        self.generic_visit(node)

    def _follow(self, name: str, call: ast.Call) -> None:
        """Note what a function looks up that is called with a part of the argument, or with one of its keys."""
        function = self._functions[name]
        passed = dict(zip((a.arg for a in function.args.args), call.args, strict=False))
        passed |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        bound = {one: path for one, value in passed.items() if (path := self._resolve(value)) is not None}
        still_bound = {one: path for one, path in self._bound.items() if one not in passed}
        strings = {one: word for one, value in passed.items() if (word := self._word(value)) is not None}
        same = name, frozenset((still_bound | bound).items()), frozenset(strings.items())
        if not (bound or still_bound) or same in self._followed:
            return
        self._followed.add(same)  # else functions that call each other would be read once for each way through them
        inner = _Lookups(still_bound | bound, {one: f for one, f in self._functions.items() if one != name})
        inner._words, inner._followed = strings, self._followed
        for part in function.body if isinstance(function, ast.FunctionDef) else [function.body]:
            inner.visit(part)
        for path, words in inner.paths.items():
            self._note(path, words)

    def _word(self, node: ast.expr) -> str | None:
        """The string that an expression stands for; None if it is not known."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            return self._words.get(node.id)
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts = [node.left, node.right]
        elif isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.FormattedValue) else p for p in node.values]
        words = [self._word(part) for part in parts]
        return "".join(word or "" for word in words) if words and None not in words else None

    def _resolve(self, node: ast.expr) -> Path | None:
        """The path of an expression; None if it is not a part of the argument."""
        if isinstance(node, ast.Name):
            return self._bound.get(node.id)
        key: ast.expr
        if isinstance(node, ast.Attribute):
            path = self._resolve(node.value)
            return (*path, node.attr) if path is not None and _names_matrix(node.attr) else None
        if isinstance(node, ast.Subscript):
            container, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            container, key = node.func.value, node.args[0] if node.args else node
        else:
            return None
        path = self._resolve(container)
        if path is None or isinstance(key, ast.Slice | ast.Tuple):
            return None
        if (word := self._word(key)) is not None:
            return (*path, word)
        if isinstance(key, ast.UnaryOp) and ast.unparse(key) == "-1":
            return (*path, len(_IN_ORDER) - 1)  # the matrix of the output is the last
        if isinstance(key, ast.Constant):
            value = key.value
            return (*path, value) if isinstance(value, int) and 0 <= value < 100 else None
        return (*path, EACH)

    def _iterate(self, target: ast.expr, values: ast.expr) -> None:
        """Bind what a loop goes through; in ``enumerate`` and ``zip`` too."""
        called = values.func.id if isinstance(values, ast.Call) and isinstance(values.func, ast.Name) else ""
        if isinstance(values, ast.Call) and called == "enumerate" and isinstance(target, ast.Tuple):
            self._iterate(target.elts[-1], values.args[0])
        elif isinstance(values, ast.Call) and called == "zip" and isinstance(target, ast.Tuple):
            for one, value in zip(target.elts, values.args, strict=False):
                self._iterate(one, value)
        elif (path := self._resolve(values)) is not None:
            self._bind(target, (*path, EACH))

    def _bind(self, target: ast.expr, path: Path | None) -> None:
        if path is None:
            return
        if isinstance(target, ast.Name) and self._bound.get(target.id) != ():
            self._bound[target.id] = path
            self._note(path, target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            for place, one in enumerate(target.elts):
                self._bind(one, (*path, place))

    def _unpack(self, target: ast.expr, value: ast.expr) -> None:
        """Note what ``q, k, v = (x @ w for w in matrices)`` takes from each place, also from ``matrices[:3]``."""
        if not isinstance(target, ast.Tuple) or not isinstance(value, ast.ListComp | ast.GeneratorExp):
            return
        whole = value.generators[0].iter
        zipped = isinstance(whole, ast.Call) and isinstance(whole.func, ast.Name) and whole.func.id == "zip"
        for values in whole.args if isinstance(whole, ast.Call) and zipped else [whole]:
            if isinstance(values, ast.Subscript) and isinstance(values.slice, ast.Slice) and values.slice.lower is None:
                values = values.value
            path = self._resolve(values)
            for place, one in enumerate(target.elts if path is not None else ()):
                if isinstance(one, ast.Name):
                    self._note((*(path or ()), place), one.id)

    def _note(self, path: Path | None, name: str = "") -> None:
        if path is not None and not self.paths.get(path):
            self.paths[path] = name


def _words_of(values: ast.expr) -> list[str]:
    """The strings that a loop goes through, one by one or letter by letter; none if it does not."""
    if isinstance(values, ast.Constant) and isinstance(values.value, str):
        return list(values.value)
    items = values.elts if isinstance(values, ast.Tuple | ast.List) else []
    words = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return words if len(words) == len(items) else []


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What each target of an assignment is assigned."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value

"""Which parameters of a layer are its projections, and how each stores its matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from headwise.checker.modules.layer import Parameter
from headwise.checker.modules.names import OF_SOURCE, Role, bias_role, is_norm, is_of_residual, role_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

Members: TypeAlias = dict[str, list[tuple[Role, Parameter]]]  # by the part that they are, such as ``"q"``
_LISTED = re.compile(r"\.\d+(\.(weight|kernel|w))?$")  # the end of the path of a matrix in a list
_TABLES = ("embed", "table", "pos", "token", "rel", "codebook", "register", "null_", "mem_k")


@dataclass(frozen=True, slots=True)
class Matrix:
    """One projection, or several fused: an array, or one array for each head."""

    part: str  # ``"q"``, ``"k"``, ``"v"`` or ``"o"``, or the parts of a fused matrix in order
    stored: tuple[Parameter, ...]  # one, or one for each head
    # a letter for each axis of `stored`: D the model's side, n the heads' side, or H and d apart, 3 the parts
    axes: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one stored array, without the axes of length one of a convolution."""
        return _bare(self.stored[0].shape)

    @property
    def model(self) -> int:
        """The length of the model's side."""
        return self.shape[self.axes.index("D")] if "D" in self.axes else 1

    @property
    def rows(self) -> int:
        """The length of the heads' side, all stored arrays together."""
        return int(np.prod(self.shape)) // self.model * len(self.stored)

    def write(self, rows: Array) -> Iterator[tuple[str, Array]]:
        """Yield what to store so that the matrix is `rows`, (rows, model)."""
        order = sorted(range(len(self.axes)), key=lambda i: self.axes[i] == "D")
        for parameter, part in zip(self.stored, np.split(rows, len(self.stored)), strict=True):
            array = part.reshape([self.shape[i] for i in order]).transpose(np.argsort(order))
            yield parameter.name, array.reshape(parameter.shape)


@dataclass(frozen=True, slots=True)
class Parts:
    """The projections and biases of a layer, and what else it learns."""

    weights: dict[str, Matrix]
    biases: dict[str, Matrix]
    rest: tuple[Parameter, ...]
    guessed: str = ""  # those of queries, keys and values that are told by nothing but the order of their definition

    @property
    def complete(self) -> bool:
        """Whether queries, keys and values all have a projection."""
        return set("qkv") <= set("".join(self.weights))


def collect_parts(parameters: Iterable[Parameter]) -> Parts:
    """Sort the parameters of one attention layer by role."""
    weights: Members = {}
    biases: Members = {}
    rest: list[Parameter] = []
    for parameter in parameters:
        is_bias = _is_bias(parameter)
        role = (bias_role if is_bias else role_of)(parameter.name)
        if role is None or _is_table(parameter) or _is_besides_projections(parameter):
            rest.append(parameter)
        else:
            (biases if is_bias else weights).setdefault(role.part, []).append((role, parameter))
    _separate_lists(weights, biases)
    if any(set("qkv") <= set(part) for part in weights):  # then others are learned queries
        rest += [parameter for part in "qkv" for _, parameter in weights.pop(part, [])]
    _choose_groups(weights, rest)
    _choose_groups(biases, rest)
    _name_lists(weights, rest)
    _name_lists(biases, rest)
    guessed = _name_rest(weights, biases, rest)
    _let_rest_be_fused(weights, biases, rest)
    _name_fused(weights, biases)
    _choose_output(weights, biases, rest)
    _drop_other_biases(biases, rest)
    matrices, bias_vectors = (
        {part: Matrix(part, _ordered(group)) for part, group in parts.items()} for parts in (weights, biases)
    )
    return Parts(matrices, bias_vectors, tuple(rest), guessed)


def stored_axes(matrix: Matrix, unknown: str) -> Iterator[Matrix]:
    """The ways to read the axes of a weight; `unknown` is "oi" or "io" for those whose framework does not say."""
    size = len(matrix.shape)
    axes = matrix.stored[0].axes or unknown
    if size == 2:
        heads_first = (axes == "oi") != (matrix.part == "o")
        yield replace(matrix, axes="nD" if heads_first else "Dn")
    elif size == 3 and len(matrix.part) == 1:
        options = ("HDd", "HdD", "DHd") if matrix.part != "o" else ("HdD", "DHd", "HDd")
        yield from (replace(matrix, axes=option) for option in options)
    elif size == 3:
        yield from (replace(matrix, axes=option) for option in (("3nD", "3Dn") if axes == "oi" else ("3Dn", "3nD")))
    elif size == 4 and len(matrix.part) > 1:
        yield from (replace(matrix, axes=option) for option in ("D3Hd", "3HDd", "3HdD", "3DHd"))


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the axes of a kernel of size one."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _is_bias(parameter: Parameter) -> bool:
    leaf = parameter.name.rpartition(".")[2].lower()
    named = "bias" in leaf or leaf == "b" or leaf.startswith(("b_", "beta"))
    is_column = parameter.shape[1:] == (1,) and role_of(parameter.name) is None  # next to tokens as columns
    return named or is_column or len(_bare(parameter.shape)) == 1


def _is_table(parameter: Parameter) -> bool:
    return parameter.owner == "Embedding" or names_table(parameter.name)


def _is_besides_projections(parameter: Parameter) -> bool:
    """Whether it belongs to a norm, or to a convolution of each feature by itself, whatever it is called."""
    of_each_feature = parameter.value.ndim == 4 and parameter.shape[1] == 1 < parameter.shape[2]
    return of_each_feature or "norm" in parameter.owner.lower()


def names_table(name: str) -> bool:
    """Whether a name is that of a table, such as one of positions, or of a norm."""
    return any(word in name.lower() for word in _TABLES) or is_norm(name)


def _ordered(group: list[tuple[Role, Parameter]]) -> tuple[Parameter, ...]:
    """Those of one head each in the order of their numbers; of several groups only the first."""
    first = group[0][0].group
    same = [(role, parameter) for role, parameter in group if role.group == first]
    return tuple(p for _, p in sorted(same, key=lambda pair: -1 if pair[0].number is None else pair[0].number))


def _choose_groups(parts: Members, rest: list[Parameter]) -> None:
    """Of several groups with one name, such as learned queries and their projection, that of a linear layer.

    Of those of several sources of tokens it is the first.
    """
    for part, members in parts.items():
        groups = dict.fromkeys(role.group for role, _ in members)
        of_sources = any(map(OF_SOURCE.search, groups))
        if len(groups) > 1 and (part in ("q", "k", "v") or of_sources):
            linear = next((role.group for role, parameter in members if parameter.axes), next(iter(groups)))
            rest += [parameter for role, parameter in members if role.group != linear]
            parts[part] = [pair for pair in members if pair[0].group == linear]


def _separate_lists(weights: Members, biases: Members) -> None:
    """A list of as many square matrices as its name has parts, such as `qkv_nets`, holds one of each, none fused."""
    for part in [part for part in weights if len(part) > 1 and part != "list"]:
        shapes = [_bare(parameter.shape) for _, parameter in weights[part]]
        listed = all(_LISTED.search(p.name) for _, p in weights[part])
        if listed and len(shapes) == len(part) and {side for s in shapes for side in s} == {shapes[0][0]}:
            for parts in (weights, biases):
                members = sorted(parts.pop(part, []), key=lambda pair: pair[0].number or 0)
                for x, (role, parameter) in zip(part, members, strict=False):
                    parts[x] = [(replace(role, part=x, group=f"{role.group}.{x}", number=None), parameter)]


def _name_lists(parts: Members, rest: list[Parameter]) -> None:
    """Numbered matrices without other names are those of queries, keys, values and the output, in this order."""
    listed = parts.pop("list", [])
    parts_in_order = "".join(parts)
    missing = [x for x in "qkvo" if x not in parts_in_order] if "q" not in parts_in_order else []
    for (role, parameter), part in zip(sorted(listed, key=lambda pair: pair[0].number or 0), missing, strict=False):
        parts[part] = [(replace(role, part=part, group=f"{role.group}.{part}"), parameter)]
    rest += [parameter for _, parameter in listed[len(missing) :]]


def _name_rest(weights: Members, biases: Members, rest: list[Parameter]) -> str:
    """The matrices that are left are those that lack, in the order of their definition, where the numbers agree.

    Returns which of queries, keys and values these are.
    """
    lacking = [x for x in "qkv" if x not in "".join(weights)]
    has_output = bool({"o", "o?"} & set(weights))
    named = [pair[1] for part in "qkv" for pair in weights.get(part, [])]
    possible = [p for p in rest if not _is_bias(p) and not _is_table(p) and not is_of_residual(p.name)]
    possible = [p for p in possible if len(_bare(p.shape)) >= 2 and min(_bare(p.shape)) > 1]
    # no array of its own, such as a table, is the output of linear layers
    unnamed = [p for p in possible if not named or bool(p.axes) == bool(named[0].axes)]
    if len(unnamed) not in (len(lacking), len(lacking) + (not has_output)):
        return ""
    for part, parameter in zip([*lacking, "o"], unnamed, strict=False):
        prefix = parameter.name.rpartition(".")[0]
        weights[part] = [(Role(part, parameter.name, None), parameter)]
        rest.remove(parameter)
        for other in [p for p in rest if prefix and p.name in (f"{prefix}.bias", f"{prefix}.b")]:
            biases[part] = [(Role(part, other.name, None), other)]
            rest.remove(other)
    return "".join(lacking)


def _let_rest_be_fused(weights: Members, biases: Members, rest: list[Parameter]) -> None:
    """One or two matrices whose names say nothing may be the fused one and the output, where there is no other."""
    unnamed = [p for p in rest if not _is_bias(p) and not _is_table(p) and len(_bare(p.shape)) == 2]
    if set("".join(weights)) & set("qkv") or len(unnamed) > 2:
        return
    for matrix in unnamed:
        owner = matrix.name.rpartition(".")[0]
        for parts, names in ((weights, (matrix.name,)), (biases, (f"{owner}.bias",) if owner else ())):
            for parameter in [p for p in rest if p.name in names]:
                parts.setdefault("o?", []).append((Role("o?", parameter.name, None), parameter))
                rest.remove(parameter)


def _name_fused(weights: Members, biases: Members) -> None:
    """A matrix next to the output's is queries, keys and values fused: three times as large, or less in groups."""
    possible, output = weights.get("o?", []), weights.get("o", [])
    if set("".join(weights)) & set("qkv") or not 1 <= len(possible + output) <= 2:
        return
    for _, parameter in possible:
        sides = _bare(parameter.shape)
        others = [p for _, p in possible + output if p is not parameter]
        inner = set(_bare(others[0].shape)) if others else {min(sides)}
        grouped = bool(others) and any(0 < side - n < 2 * n and (side - n) % 2 == 0 for side in sides for n in inner)
        if len(sides) == 2 and (grouped or {3 * side for side in inner} & set(sides)):
            prefix = parameter.name.rpartition(".")[0]
            for parts in (weights, biases):
                fused = [pair for pair in parts.get("o?", []) if pair[1].name.rpartition(".")[0] == prefix]
                rest = [pair for pair in parts.pop("o?", []) if pair not in fused]
                found = {"qkv": [(replace(role, part="qkv"), p) for role, p in fused], "o?": rest}
                parts |= {part: pairs for part, pairs in found.items() if pairs}
            return


def _drop_other_biases(biases: Members, rest: list[Parameter]) -> None:
    """A bias next to a weight that is no projection is none of a projection either."""
    owners = {p.name.rpartition(".")[0] for p in rest if p.name.endswith(".weight")}
    for part, group in list(biases.items()):
        others = [p for _, p in group if p.name.rpartition(".")[0] in owners]
        biases[part] = [(role, p) for role, p in group if p not in others]
        rest += others
        if not biases[part]:
            del biases[part]


def _choose_output(weights: Members, biases: Members, rest: list[Parameter]) -> None:
    """A matrix whose name may be that of an output projection is one where no other is."""
    for parts in (weights, biases):
        possible = sorted(parts.pop("o?", []), key=lambda pair: -pair[1].value.size)  # those that mix heads are smaller
        fits = "o" not in parts and ("o" in weights or parts is weights)
        group = possible[0][0].group if possible and fits else None
        if group is not None:
            parts["o"] = [pair for pair in possible if pair[0].group == group]
        rest += [parameter for role, parameter in possible if role.group != group]

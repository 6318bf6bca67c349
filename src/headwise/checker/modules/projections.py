"""How to put Wq, Wk, Wv, Wo and their biases into a layer: every reading of its parameters that their shapes allow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations, product

from headwise.checker.modules.heads import head_counts
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.matrices import Matrix, collect_parts, stored_axes
from headwise.checker.probes.generator import block_diagonal
from headwise.checker.target import TargetSizes
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

# orders of the rows of a fused matrix: parts (queries, keys, values), heads, features; the usual first
_ORDERS = ("3Hd", "H3d", "d3H", "Hd3", "3dH", "dH3")
_DEVICES = (2, 4, 8)
_KEY_WIDTH = re.compile(r"_?((qk|key|k)_?(dim|channels|size|width)|d_?q?k)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the parameters of a layer."""

    # where they are stored, with the axes of each
    weights: tuple[Matrix, ...]
    biases: tuple[Matrix, ...]
    sizes: TargetSizes  # widths and heads
    order: str = "3Hd"  # the order of the rows of a fused matrix, such as ``"3Hd"``
    blocks: int = 1  # as many runs of rows of each part, a run of each of them after the other
    sliced: bool = False  # whether each head projects only its own slice of the features, with a small matrix
    shared: bool = False  # whether all heads are projected with the same small matrix
    # whether projections whose names say nothing are read in another order than that of their definition
    reordered: bool = False

    @property
    def parameters(self) -> frozenset[str]:
        """Which of Wq … bo there are."""
        return frozenset(f"W{x}" for m in self.weights for x in m.part) | {f"b{x}" for b in self.biases for x in b.part}

    @property
    def fused(self) -> Matrix | None:
        """The fused matrix, if there is one."""
        return next((m for m in self.weights if len(m.part) > 1), None)

    @property
    def unusual(self) -> tuple[bool, bool, bool, bool]:
        """What makes it less likely: parts in another order than usual, or than the name says, of the rows, slices."""
        fused = self.fused
        renamed = fused is not None and fused.part not in ("qkv", "kv", "qk")
        return self.reordered, renamed, self.order != "3Hd" or self.blocks > 1, self.sliced and not self.shared

    def stored(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """What the layer has to hold for these weights, by the names of its parameters."""
        arrays: dict[str, Array] = {}
        for letter, matrices in (("W", self.weights), ("b", self.biases)):
            for matrix in matrices:
                parts = [self._rows(weights, letter, x) for x in matrix.part]
                parts = [rows[: matrix.rows] if x == "o" else rows for x, rows in zip(matrix.part, parts, strict=True)]
                arrays |= dict(matrix.write(self._fuse(parts, len(matrix.stored))))
        return arrays

    def constrained(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """The weights as the layer can hold them: small matrices on the diagonal, where each head has its slice."""
        if not self.sliced:
            return dict(weights)
        heads, full = self.sizes.heads, dict(weights)
        for x in "qkv":
            full[f"W{x}"] = block_diagonal(weights[f"W{x}"], heads, self.shared)
            if self.shared and f"b{x}" in weights:
                full[f"b{x}"] = np.tile(self._rows(weights, "b", x)[:, 0], heads)
        return full

    def _rows(self, weights: Mapping[str, Array], letter: str, x: str) -> Array:
        """What is stored for one part: (rows, model), the rows being the heads' side; of a bias (rows, 1)."""
        if letter == "b":
            absent = np.zeros(self.sizes.output if x == "o" else len(weights[f"W{x}"]), weights["Wq"].dtype)
            array = weights.get(f"b{x}", absent)[:, None]
        else:
            array = weights[f"W{x}"].T if x == "o" else weights[f"W{x}"]
        if not self.sliced or x == "o":
            return array
        heads = self.sizes.heads
        blocks = np.split(array, heads)  # (d, D) each, of which a head's slice counts
        if letter == "W":
            blocks = [np.split(block, heads, axis=1)[h] for h, block in enumerate(blocks)]
        return blocks[0] if self.shared else np.concatenate(blocks)

    def _fuse(self, parts: list[Array], arrays: int) -> Array:
        if len(parts) == 1:
            return parts[0]
        order = self.order if arrays == 1 else "H3d"
        if self.blocks > 1:
            runs = zip(*(np.split(a, self.blocks) for a in parts), strict=True)
            return np.concatenate([part for run in runs for part in run])
        if order == "3Hd" or len({a.shape for a in parts}) > 1:
            return np.concatenate(parts)
        stack = np.stack([a.reshape(self.sizes.heads, -1, a.shape[-1]) for a in parts])  # (3, H, d, D)
        return stack.transpose(*("3Hd".index(axis) for axis in order), 3).reshape(-1, stack.shape[-1])


def readings(layer: Layer) -> list[Reading]:
    """Every reading of a layer's parameters, the usual one first; none where it lacks projections."""
    parts = collect_parts(layer.parameters)
    if not parts.complete:
        return []
    biases = tuple(replace(b, axes={1: "n", 2: "Hd", 3: "3Hd"}[len(b.shape)]) for b in parts.biases.values())
    distinct: list[Reading] = []
    for unknown in ("io", "oi"):
        for weights in product(*(list(stored_axes(matrix, unknown)) for matrix in parts.weights.values())):
            for reading in _with_heads(layer, weights, biases):
                possible = [other for one in _reordered(reading, parts.guessed) for other in _in_orders(one)]
                distinct += [r for r in possible if r not in distinct]
    return sorted(distinct, key=lambda reading: reading.unusual)


def _reordered(reading: Reading, guessed: str) -> Iterator[Reading]:
    """The reading with each order of the parts that nothing but the order of their definition tells."""
    for order in permutations(guessed):
        renamed = dict(zip(guessed, order, strict=True))
        weights, biases = (
            tuple(replace(m, part=renamed.get(m.part, m.part)) for m in matrices)
            for matrices in (reading.weights, reading.biases)
        )
        yield replace(reading, weights=weights, biases=biases, reordered="".join(order) != guessed)


def _with_heads(layer: Layer, weights: tuple[Matrix, ...], biases: tuple[Matrix, ...]) -> Iterator[Reading]:
    """The readings with each number of heads that the shapes allow."""
    by_part = {m.part: m for m in weights}
    output = by_part.get("o")
    for rows in _rows_of_parts(by_part, layer):
        yield from _with_rows(layer, weights, biases, rows, output)


def _with_rows(
    layer: Layer,
    weights: tuple[Matrix, ...],
    biases: tuple[Matrix, ...],
    rows: Mapping[str, int],
    output: Matrix | None,
) -> Iterator[Reading]:
    model = {x: m.model for m in weights for x in m.part}
    for heads in head_counts(layer, next(m for m in weights if "q" in m.part), rows["q"]):
        shared = (
            output is not None
            and heads > 1
            and set(rows.values()) == {output.rows // heads}
            and (output.rows == heads * rows["q"])
        )
        for sliced in (True,) if shared else (False, True) if len(weights[0].stored) == heads > 1 else (False,):
            sizes = _sizes(rows, model, heads, output, sliced, shared)
            if sizes is not None:
                yield Reading(weights, biases, sizes, sliced=sliced, shared=shared)


def _sizes(
    rows: Mapping[str, int], model: Mapping[str, int], heads: int, output: Matrix | None, sliced: bool, shared: bool
) -> TargetSizes | None:
    """The sizes of a layer whose matrices have so many rows and columns; None if they do not fit together."""
    more = heads if sliced else 1  # a head sees so much more with its slices than its matrix has columns
    rows = {x: heads * n for x, n in rows.items()} if shared else rows
    width, remainder = divmod(rows["q"], heads)
    if remainder or model["k"] != model["v"] or rows["k"] % width or heads % (key_heads := max(1, rows["k"] // width)):
        return None
    values, remainder = divmod(rows["v"], key_heads)
    possible = (heads * values, values)  # or as many as one head has, if heads are averaged
    if remainder or (output is not None and output.rows not in possible) or (sliced and key_heads != heads):
        return None
    out = output.model if output is not None else heads * values
    return TargetSizes(more * model["q"], heads, key_heads, width, values, out, more * model["k"])


def _rows_of_parts(by_part: dict[str, Matrix], layer: Layer) -> Iterator[dict[str, int]]:
    """How many rows Wq, Wk and Wv have: in a fused matrix fewer for keys and values, or more for values alone."""
    rows: dict[str, int] = {}
    output = by_part.get("o")
    fused = None
    for part, matrix in by_part.items():
        if part != "o":
            rows |= dict.fromkeys(part, matrix.rows // len(part))
            fused = matrix if len(part) == 3 else fused
    if fused is None or output is None or not 0 < fused.rows - output.rows < 2 * output.rows:
        yield rows
        return
    more, remainder = divmod(fused.rows - output.rows, 2)
    widths = [n for name, n in layer.numbers.items() if _KEY_WIDTH.fullmatch(name) and n > 0 and more % n == 0]
    if more < output.rows and not remainder and any(output.rows % (more // n) == 0 for n in widths):
        yield {"q": more, "k": more, "v": output.rows}
    yield {"q": output.rows, "k": more, "v": more}


def _in_orders(reading: Reading) -> Iterator[Reading]:
    """The reading with each order of the parts and of the rows of a fused matrix."""
    fused = reading.fused
    if fused is None:
        yield reading
        return
    grouped = reading.sizes.key_heads != reading.sizes.heads or len(fused.stored) > 1
    orders = _ORDERS[:1] if grouped else _ORDERS if reading.sizes.heads > 1 else ("3Hd", "Hd3")
    forms = [(order, 1) for order in orders] + [("3Hd", blocks) for blocks in _blocks(reading.sizes, fused)]
    part_orders = [fused.part, *("".join(p) for p in permutations(fused.part))]
    for part, (order, blocks) in product(dict.fromkeys(part_orders), forms):
        weights = tuple(replace(m, part=part) if m is fused else m for m in reading.weights)
        biases = tuple(replace(b, part=part) if b.part == fused.part else b for b in reading.biases)
        yield replace(reading, weights=weights, biases=biases, order=order, blocks=blocks)


def _blocks(sizes: TargetSizes, fused: Matrix) -> list[int]:
    """The numbers of blocks of a fused matrix each of which holds a run of the rows of every part.

    They are one for each key head where there are fewer of these, or as many as devices once computed it.
    """
    if len(fused.stored) > 1:
        return []
    if sizes.key_heads < sizes.heads:
        return [sizes.key_heads] if sizes.key_heads > 1 else []
    if sizes.values != sizes.width:  # the rows of each head together
        return [sizes.heads] if sizes.heads > 1 else []
    return [n for n in _DEVICES if n != sizes.heads and (sizes.heads * sizes.width) % n == 0]

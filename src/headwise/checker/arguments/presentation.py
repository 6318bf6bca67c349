"""How arrays are presented to a function: the order of their axes, the sense and the shape of a mask."""

from __future__ import annotations

from typing import Any

from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

AXES = {True: "BND", False: "BHNd"}  # the reference's layout of tokens, and of queries, keys and values
# the axes of a table of biases, and whether its entries go by the query's place less the key's, or the other way
TABLES = {f"{axes} {order}": (axes, order) for axes in ("LH", "HL", "L") for order in ("query-key", "key-query")}

_PAGE = 4  # tokens of a page
_BUCKETS = 96


def arrange_axes(array: Array, axes: str, target: str) -> Array:
    """Transpose an array from one layout to another; an axis that is not wanted has size one and is dropped."""
    for place in reversed(range(len(axes))):
        if axes[place] not in target:
            array = array[(slice(None),) * place + (0,)]
    remaining = [axis for axis in axes if axis in target]
    return array.transpose([remaining.index(axis) for axis in target])


def restore_axes(array: Array, axes: str, target: str) -> Array:
    """Undo `arrange_axes`: an axis that is missing becomes one of size one.

    An array with another number of axes is left as it is, with axes of one in front, so that its shape shows the error.
    """
    if array.ndim != len(axes):
        return array[(None,) * max(len(target) - array.ndim, 0)]
    missing = [axis for axis in target if axis not in axes]
    array = array[(None,) * len(missing)]
    current = "".join(missing) + axes
    return array.transpose([current.index(axis) for axis in target])


def present_mask(mask: Any, sense: str) -> Any:
    """A boolean mask whose True attends, as one whose True hides, or as numbers to add to the logits."""
    if mask.dtype != np.bool_ or sense == "attends":
        return mask
    return np.logical_not(mask) if sense == "hides" else np.asarray(np.where(mask, 0.0, -np.inf))


def present_table(bias: Array, table: str) -> Array:
    """A bias (1, H, N, N) that depends only on distances, as a table with an entry for each of the 2N − 1 distances."""
    axes, order = TABLES[table]
    entries = np.concatenate([bias[0, :, 0, :0:-1], bias[0, :, :, 0]], axis=-1)  # from 1 − N to N − 1, query less key
    entries = entries[:, ::-1] if order == "key-query" else entries
    return np.asarray({"LH": entries.T, "HL": entries, "L": entries[0]}[axes])


def table_of_buckets(heads: int, table: str) -> Array:
    """A table of biases with rows for more buckets of distances than a function has, or with columns for them."""
    entries = np.random.default_rng(13).normal(size=(_BUCKETS, heads))
    return entries.T if table == "HL" else entries


def index_of_table(n: int, m: int) -> Any:
    """The row of a table of biases for each pair of a query and a key, (N, M): another for each."""
    return np.random.default_rng(11).permutation(n * m).reshape(n, m)


def present_by_index(bias: Array, full: tuple[int, int, int, int]) -> Array:
    """A bias (1, H, N, M) as a table with a row for each pair at the place in `index_of_table`, (N · M, H)."""
    _, heads, n, m = full
    table = np.empty((n * m, heads), bias.dtype)
    table[index_of_table(n, m)] = np.broadcast_to(bias[0], (heads, n, m)).transpose(1, 2, 0)
    return table


def present_angles(cos: Array, sin: Array, form: str) -> dict[str, Any]:
    """Rotary angles (N, d/2) as a function takes them.

    As cosines and sines with an entry for each pair (``"half"``) or for each feature (``"halves"``, ``"neighbours"``),
    also ``of items``, with an axis for them; or ``"complex"``, ``"stacked"`` on a last axis, or as ``"turns"``.
    """
    if form in ("complex", "stacked", "turns"):
        in_one = {"complex": cos + 1j * sin, "stacked": np.stack([cos, sin], axis=-1), "turns": np.arctan2(sin, cos)}
        return {"freqs": in_one[form]}
    layout, _, items = form.partition(" ")
    if layout != "half":
        cos, sin = (np.tile(a, 2) if layout == "halves" else np.repeat(a, 2, axis=-1) for a in (cos, sin))
    return {"cos": cos[None], "sin": sin[None]} if items else {"cos": cos, "sin": sin}


def present_score(parts: Case, turned: bool, swapped: bool, vector: str) -> Case:
    """The matrices and the vector of a score, with the matrices as (out, in), in the other order, the vector as one."""
    shown = {name: a.T if turned and a.ndim == 2 else a for name, a in parts.items()}
    if swapped:
        shown |= {"Sq": shown["Sk"], "Sk": shown["Sq"]}
    if "Sa" in parts and vector != "vector":
        shown["Sa"] = parts["Sa"][:, None] if vector == "column" else parts["Sa"][None]
    return shown


def present_pages(k: Array, v: Array, layout: str) -> dict[str, Array]:
    """Keys and values (B, H, M, d) as pages (blocks, page, H, d) or (blocks, H, page, d), and each item's blocks."""
    batch, _, count, _ = k.shape
    blocks = -(-count // _PAGE)
    table = np.random.default_rng(7).permutation(batch * blocks + 1)[:-1].reshape(batch, blocks)  # one of no item
    presented: dict[str, Array] = {"pages": table}
    for name, array in (("k", k), ("v", v)):
        padded = np.pad(array, [(0, 0), (0, 0), (0, blocks * _PAGE - count), (0, 0)], constant_values=7.0)
        pages = np.full((table.size + 1, _PAGE, array.shape[1], array.shape[3]), 7.0, array.dtype)
        pages[table] = padded.reshape(*array.shape[:2], blocks, _PAGE, -1).transpose(0, 2, 3, 1, 4)
        presented[name] = pages if layout == "BNHd" else pages.swapaxes(1, 2)
    return presented


def split_axis(a: Array, axis: int, count: int) -> Array:
    """An array with an axis in two, of which the first is so long."""
    return a.reshape(*a.shape[:axis], count, -1, *a.shape[axis + 1 :])


def fit_to_logits(a: Array, shape: str, full: tuple[int, int, int, int], axes: str, of_keys: bool) -> Array:
    """A mask or bias (B, H, N, M) in one of the shapes in use for a layout."""
    batch, _, n, m = full
    if of_keys and a.shape[1:3] == (1, 1):
        return a[:, 0, 0] if "B" in axes else a[0, 0, 0]
    if shape in ("full", "folded", "heads-last"):
        a = np.broadcast_to(a, full)
    if shape == "each-head" and a.shape[0] == 1:
        return np.asarray(np.broadcast_to(a, (1, *full[1:]))[0])
    if shape == "folded":
        return a.reshape(-1, n, m)
    if shape == "heads-last":
        return a.transpose(0, 2, 3, 1)
    if shape == "one-head":
        a = np.broadcast_to(a, (batch, a.shape[1], n, m))
    if shape == "items" and a.shape[1] == 1:
        return np.broadcast_to(a, (batch, 1, n, m))[:, 0] if batch > 1 or "B" in axes else a[0, 0]
    if shape in ("short", "heads"):
        while a.ndim > (2 if shape == "short" else 3) and a.shape[0] == 1:
            a = a[0]
        return a
    if batch == 1 and "B" not in axes:
        a = a[0]
    if full[1] == 1 and "H" not in axes and ("D" not in axes or "B" not in axes):
        a = a[..., 0, :, :]
    return a

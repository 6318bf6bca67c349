"""Which keys influence which queries, measured on the function itself."""

from __future__ import annotations

from typing import Any

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.probes import Interface, first_probe
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, Change, Trace, grid
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import BoolArray

_TOKENS = 11  # enough for a window to show
_CLOSE = 1e-6
_UNCHANGED = {"float64": 1e-10, "float32": 1e-6}


def is_equivariant(convention: CallingConvention) -> bool:
    """Whether tokens in another order give the same outputs in that order."""
    cached = convention.interface.cached and convention.interface.of_tokens
    if convention.equivariant is not None or convention.interface.one_token or cached:
        return convention.equivariant is not False
    case = first_probe(convention.interface).case
    names: list[str] = [name for name in ("X", "context", "q", "k", "v") if name in case]
    orders = {name: np.roll(np.arange(case[name].shape[-2]), 2) for name in names}
    order = orders[names[0]]
    permuted: Case = {name: case[name][..., orders[name], :] for name in names}
    permuted |= {name: case[name][..., orders[names[-1]]] for name in ("mask", "padding") if name in case}
    a, b = convention.call(case).output, convention.call(case | permuted).output
    if a is None or b is None or a.shape != b.shape or a.shape[-2] != len(order) or not a.size:
        return False
    return difference(b, a[..., order, :]) <= _CLOSE  # NaN in the same places is the same


def mixes_items(convention: CallingConvention) -> bool:
    """Whether what one item of a batch holds changes the output of another."""
    case = first_probe(convention.interface).case
    changed: Case = {name: case[name].copy() for name in ("X", "context", "q", "k", "v") if name in case}
    for tokens in changed.values():
        tokens[1:] += np.cos(np.arange(tokens.shape[-1]))  # which no norm takes away
    a, b = convention.call(case).output, convention.call(case | changed).output
    return a is not None and b is not None and a.shape == b.shape and difference(b[:1], a[:1]) > _CLOSE


def attended_keys(
    convention: CallingConvention, count: int | None = None, options: Case | None = None, keys: int | None = None
) -> BoolArray | None:
    """Return (N, M), whether key m influences query n; None if the function refuses that many tokens, or `options`.

    For a function of tokens, a token is taken to attend to itself: its own query depends on it in any case.
    """
    sizes = convention.interface.sizes
    if count is None:
        count = (sizes.tokens if sizes else None) or _TOKENS
    keys = keys or count
    case = case_with_tokens(convention, count, keys) | (options or {})
    before = convention.call(case).output
    if before is None or before.shape[-2] != count or not before.size:
        return None
    close = _UNCHANGED[convention.interface.dtype]
    source = "v" if "v" in case else "context" if "context" in case else "X"
    if source == "X" and keys != count:
        return None  # keys that it makes itself, such as those of a smaller image
    attended = np.zeros((count, keys), bool)
    for m in range(keys):
        changed = case[source].copy()
        changed[..., m, :] += 0.5 * np.cos(np.arange(changed.shape[-1]))  # which no norm takes away
        after = convention.call(case | {source: changed}).output
        if after is None or after.shape != before.shape:
            return None
        change = np.abs(after - before)
        attended[:, m] = change.max(axis=tuple(i for i in range(change.ndim) if i != change.ndim - 2)) > close
    if source == "X":
        np.fill_diagonal(attended, True)
    return attended


def mixes_tokens(convention: CallingConvention) -> bool:
    """Whether the output for some token depends on another token, or that of one query on the tokens."""
    if convention.interface.pooled:
        case = first_probe(convention.interface).case
        before, after = (convention.call(case | {"context": times * case["context"]}).output for times in (1, 2))
        return before is None or after is None or difference(after, before) > _CLOSE
    attended = attended_keys(convention)
    return attended is None or not np.array_equal(attended, np.eye(len(attended), dtype=bool))


def sees_by_place(attended: BoolArray | None) -> bool:
    """Whether a query sees no keys after it or before it, or tokens fall into groups that do not see each other."""
    if attended is None or attended.shape[0] != attended.shape[1] or attended.all():
        return False
    grouped = np.array_equal(attended, (attended.astype(int) @ attended) > 0)
    return grouped or not np.triu(attended, 1).any() or not np.tril(attended, -1).any()


def sees_windows_of_grid(attended: BoolArray | None) -> bool:
    """Whether tokens fall into rectangles of a grid that do not see each other, as in Swin (Liu et al., 2021)."""
    if attended is None or attended.all() or attended.shape[0] != attended.shape[1]:
        return False
    count = len(attended)
    if not np.array_equal(attended, (attended.astype(int) @ attended) > 0) or (attended != attended.T).any():
        return False
    widths = [w for w in range(2, count // 2 + 1) if count % w == 0]
    return any(all(_is_rectangle(row.reshape(-1, width)) for row in attended) for width in widths)


def _is_rectangle(grid: BoolArray) -> bool:
    """Whether what is True is whole rows of whole columns next to each other."""
    rows, columns = grid.any(axis=1), grid.any(axis=0)
    sides = [np.ptp(np.flatnonzero(side)) + 1 for side in (rows, columns)]
    return bool(grid.sum() == sides[0] * sides[1])


def built_in_limits(attended: BoolArray) -> dict[str, Any]:
    """Return the options that describe the keys attended to: causal, a window, or none if neither does.

    Keys that miss causal by one, or the keys after a query's own, count as causal: the search names the mistake.
    """
    n, m = np.nonzero(attended)
    if attended.all() or not len(n):
        return {}
    if not np.tril(attended, -1).any() and np.triu(attended, 1).any():
        return {"causal": True}
    left, right, whole = int((n - m).max()), int((m - n).max()), len(attended) - 1
    rows, columns = np.arange(len(attended))[:, None], np.arange(len(attended))
    if left + right < 1 or not (attended == ((columns >= rows - left) & (columns <= rows + right))).all():
        return {}
    if left == whole and right <= 1:
        return {"causal": True}
    return {"window": (None if left == whole else left, None if right == whole else right)}


def pattern_of_keys(convention: CallingConvention) -> tuple[str, Change]:
    """The convention that a query sees the keys that the function lets it see, measured at each number of tokens."""
    measured: dict[tuple[int, int], BoolArray | None] = {}

    def mask(t: Trace) -> None:
        n, m = t.s.shape[-2:]
        if (n, m) not in measured:
            measured[n, m] = attended_keys(convention, n, keys=m)
        pattern = measured[n, m]
        if pattern is not None:
            t.hide(pattern)

    return "pattern-built-in", {"+mask": mask}


def causal_window(convention: CallingConvention) -> int | None:
    """How many keys before its own a causal function attends to; None if all."""
    attended = attended_keys(convention)
    left, right = (None, None) if attended is None else built_in_limits(attended).get("window", (None, None))
    return left if right == 0 else None


def case_with_tokens(convention: CallingConvention, count: int, keys: int | None = None) -> Case:
    """Return an ordinary case with so many tokens, and so many keys if those are not as many."""
    keys = keys or count
    interface = convention.interface
    case = dict(first_probe(interface).case)
    rng = np.random.default_rng(3)
    for name in ("X", "context", "q", "k", "v"):
        if name in case:
            number = count if name in ("X", "q") else keys
            shape = (*case[name].shape[:-2], number, case[name].shape[-1])
            case[name] = (0.3 * rng.normal(size=shape)).astype(case[name].dtype)  # so that no weight vanishes
    options = options_without_effect(interface, len(case["X" if "X" in case else "q"]), count, keys)
    options["window"] = case.get("window") and tuple(side and count for side in case["window"])
    return case | {name: value for name, value in options.items() if name in case}


def options_without_effect(interface: Interface, batch: int, n: int, m: int) -> Case:
    """Return masks and lengths that hide none of the keys, and a bias of nothing."""
    return {
        "mask": np.ones((batch, 1, 1, m) if interface.key_mask else (1, 1, n, m), bool),
        "padding": np.ones((batch, 1, 1, m), bool),
        "bias": np.zeros((1, 1, n, m)),
        "lengths": np.full(batch, m),
        "segments": np.ones((batch, n), int),
    }


def stops_at_last_query(convention: CallingConvention) -> bool:
    """Whether there are as many keys as queries, whatever further ones it is given, and it is not causal."""
    case = first_probe(convention.interface).case
    *_, n, m = grid(case)
    if n != m or not case.keys() <= {"q", "k", "v", "mask", "padding", "bias"}:  # others may hide further keys
        return False
    longer = {x: np.concatenate([case[x], case[x][..., :2, ::-1]], axis=-2) for x in "kv"}
    options = case.keys() - {"q", "k", "v"}
    longer |= {name: np.concatenate([case[name], case[name][..., :2]], axis=-1) for name in options}
    later = {x: case[x].copy() for x in "kv"}
    for array in later.values():
        array[..., -1, :] += 1
    before, same, other = (convention.call(case | keys).output for keys in ({}, longer, later))
    if before is None or same is None or other is None or not before.shape == same.shape == other.shape:
        return False
    return bool(np.array_equal(before, same) and not np.array_equal(before[..., 0, :], other[..., 0, :]))

"""Rotary positions of any angles, measured: of the logits q · M k, what each pair of positions does to q and k.

Where M of positions n and m is c · R_nᵀ R_m with orthogonal R, queries and keys are rotated by their positions, in
one dimension or two, with whatever base. The last query sees every key, also where the function is causal, so its R is
the identity.
"""

from __future__ import annotations

from dataclasses import replace

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.measurement.recovery import Design, Recovered, recover_weights, trace_of
from headwise.checker.probes import first_probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.state import Case, Change, Trace, grid, image_sides
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_CLOSE = 1e-4  # angles are often made in float32
_WIDEST = 24
_MOST_WEIGHTS = 100  # of one query in all heads: more take too long to recover
_MORE = 8  # items than there are unknowns
_VANISHED = 1e-9


def design_with_rotation(convention: CallingConvention, like: Case) -> Design:
    """Return the rotation of queries and keys that a function has, and the norm before it; nothing without a rotation.

    `convention`: how the function is called.
    `like`: arguments whose sizes are used.
    """
    if (
        "context" in like
        or convention.interface.cached
        or any(code.startswith("rope") for code, _ in convention.design)
    ):
        return ()
    run = _recovered(convention, like)
    norms = [(("qk-norm", change),) for change in CONVENTIONS["qk-norm"].changes]
    normalized = any(code == "qk-norm" for code, _ in convention.design)
    for norm in ((), *norms) if run is not None and not normalized else ((),):
        with_norm = convention.with_design(*norm)
        if (turns := _rotations(with_norm, run)) is not None:
            if _distinct(turns) <= turns.shape[1] // 2:  # as where the columns of a grid are left out
                return ()
            alike = np.abs(turns - turns[:1]).max() <= _CLOSE
            return (*norm, ("rope" if alike else "rope-by-head", _rotation(with_norm)))
    return ()


def _distinct(turns: Array) -> int:
    """How many of the tokens have a rotation that none before them has."""
    pairs = np.abs(turns[:, :, None] - turns[:, None]).max(axis=(0, 3, 4)) <= _CLOSE
    return int((~np.tril(pairs, -1).any(axis=1)).sum())


def order_of_grid(convention: CallingConvention) -> str:
    """``"rows"`` or ``"columns"`` if a function of a grid rotates its tokens as if they came row by row, or by columns.

    Steps to the next token of a line are then the same rotation throughout the grid, and steps to the next line, too.
    """
    case = first_probe(convention.interface).case
    plain = replace(convention, design=tuple(one for one in convention.design if not one[0].startswith("rope")))
    turns = _rotations(plain, _recovered(plain, case))
    if turns is None:
        return ""
    count = turns.shape[1]
    rows, columns = image_sides(count)
    for order, line in (("rows", columns), ("columns", rows)):
        along = [turns[:, n + 1] @ turns[:, n].swapaxes(-1, -2) for n in range(count - 1) if (n + 1) % line]
        across = [turns[:, n + line] @ turns[:, n].swapaxes(-1, -2) for n in range(count - line)]
        if all(np.abs(np.stack(steps) - steps[0]).max() <= _CLOSE for steps in (along, across)):
            return order
    return ""


def _rotation(convention: CallingConvention) -> Change:
    """The reference with the rotations at each size, measured as needed."""
    measured: dict[tuple[int, ...], Array | None] = {}

    def rotate(t: Trace) -> None:
        if t.context is not None or not (t.q.any() and t.k.any()):  # of zeros nothing is learned, and zeros stay zeros
            return
        sizes = t.q.shape[1:]
        if sizes not in measured:
            measured[sizes] = _rotations(convention, _recovered(convention, t.case))
        if (turns := measured[sizes]) is not None:
            t.q, t.k = (np.einsum("hnij,bhnj->bhni", _of_heads(turns, a.shape[1]), a) for a in (t.q, t.k))

    return {"+rotate": rotate}


def _of_heads(turns: Array, heads: int) -> Array:
    """The rotations of so many heads: of groups of heads, or of one for all."""
    return turns[:: len(turns) // heads] if len(turns) >= heads else np.broadcast_to(turns, (heads, *turns.shape[1:]))


def _recovered(convention: CallingConvention, like: Case) -> Recovered | None:
    """The weights of as many items as are needed to tell a rotation."""
    if convention.interface.axes in ("HNd", "NHd"):  # heads stand for items
        axes = convention.interface.axes.replace("H", "B")
        convention = convention.with_interface(axes=axes, segments_shared=True)
        like = {name: a[:, :1] if name in ("q", "k", "v") else a for name, a in like.items()}
    _, heads, n, _ = grid(like)
    width = like["Wq"].shape[0] // heads if "X" in like else like["q"].shape[-1]
    batched = "X" in like or "B" in convention.interface.axes
    if width > _WIDEST or heads * n > _MOST_WEIGHTS or not batched:
        return None
    batch = 2 * width**2 + _MORE
    names = [x for x in ("X", "q", "k", "v") if x in like]
    tokens: Case = {x: np.resize(like[x], (batch, *like[x].shape[1:])) for x in names}
    return recover_weights(convention, {**like, **tokens}, np.random.default_rng(17))


def _rotations(convention: CallingConvention, run: Recovered | None) -> Array | None:
    """R of each head and token, (H, N, d, d)."""
    if run is None or (t := trace_of(run.case, convention)) is None:
        return None
    turns = _of_last_query(run, t)
    return turns if turns is not None and _explains(run, t, turns) else None


def _of_last_query(run: Recovered, t: Trace) -> Array | None:
    """The rotation R of each key against the last, from the weights of the last query."""
    if run.weights.shape != (*t.q.shape[:3], t.k.shape[2]) or (run.weights[:, :, -1] <= _VANISHED).any():
        return None
    logs = np.log(run.weights[:, :, -1])  # (B, H, M)
    heads, count, width = t.q.shape[1:]
    turns = np.empty((heads, count, width, width))
    for h in range(heads):
        at_itself = np.sum(t.q[:, h, -1] * t.k[:, h, -1], axis=-1, keepdims=True)
        for m in range(count - 1):
            pairs = np.einsum("bi,bj->bij", t.q[:, h, -1], t.k[:, h, m]).reshape(len(at_itself), -1)
            equations = np.hstack([pairs, -at_itself])
            try:
                solved = np.linalg.solve(equations.T @ equations, equations.T @ (logs[:, h, m] - logs[:, h, -1]))
            except np.linalg.LinAlgError:  # normalised queries that do not reach every direction
                return None
            turns[h, m] = solved[:-1].reshape(width, width) / (solved[-1] or 1.0)
            if np.abs(turns[h, m] @ turns[h, m].T - np.eye(width)).max() > _CLOSE:
                return None
        turns[h, -1] = np.eye(width)
    return turns


def _explains(run: Recovered, t: Trace, turns: Array) -> bool:
    """Whether every row of the weights is that of the logits with these rotations, times one factor."""
    q, k = (np.einsum("hnij,bhnj->bhni", turns, a) for a in (t.q, t.k))
    s = q @ k.swapaxes(-1, -2)
    visible = run.weights > _VANISHED
    logs = np.log(np.where(visible, run.weights, 1.0))
    counts = visible.sum(axis=-1, keepdims=True)
    centred = [np.where(visible, a - (a * visible).sum(axis=-1, keepdims=True) / counts, 0.0) for a in (s, logs)]
    factor = float((centred[0] * centred[1]).sum() / (centred[0] ** 2).sum())
    moved = np.abs(turns - np.eye(turns.shape[-1])).max() > _CLOSE
    return bool(moved and np.abs(factor * centred[0] - centred[1]).max() < _CLOSE * max(1.0, np.abs(centred[1]).max()))

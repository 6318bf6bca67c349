"""Layers: weights on demand, masks in O(N), verification, and steps of generation."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError, ShapeError
from headwise.recorder import AttentionLayer, Capture, KeyMask
from headwise.recorder.axes import Axes
from headwise.recorder.collect import join_steps

B, H, G, N, M, d, e = 2, 6, 3, 5, 7, 4, 11


def made(rng, n=N, m=M, **rule):
    q, k, v = (rng.normal(size=size) for size in ((B, H, n, d), (B, G, m, d), (B, G, m, e)))
    mask = rule.pop("mask", None)
    given = {name: rule[name] for name in ("scale", "softcap", "bias", "sinks") if name in rule}
    rows = None if mask is None else mask.rows(np.arange(n))
    o, p = hw.attention(q, k, v, mask=rows, return_weights=True, **given)
    given.setdefault("scale", d**-0.5)
    return AttentionLayer("a", "self", q, k, v, output=o, mask=mask, precision="float64", **given), p


@pytest.mark.parametrize("rule", ["plain", "mask", "bias", "softcap", "sinks"])
def test_weights_and_error(rng, rule):
    given = {
        "plain": {},
        "mask": {"mask": KeyMask.from_rule((B, H, N, M), causal=True, align="end", lengths=[5, M])},
        "bias": {"bias": rng.normal(size=(1, H, N, M))},
        "softcap": {"softcap": 1.5, "scale": 0.3},
        "sinks": {"sinks": rng.normal(size=(1, H))},
    }[rule]
    layer, p = made(rng, **given)
    np.testing.assert_allclose(layer.weights(), p, atol=1e-12)
    for rows in ([3, 0], slice(1, 4), -1, np.array([2]), []):
        chosen = np.arange(N)[rows] if isinstance(rows, slice) else np.atleast_1d(np.array(rows, int))
        np.testing.assert_allclose(layer.weights(rows), p[:, :, chosen], atol=1e-12)
    assert layer.error < 1e-12
    assert layer.proven
    assert layer.message == ""
    wrong = replace(layer, output=layer.output * 1.001)
    assert not wrong.proven
    assert wrong.error == pytest.approx(1e-3, rel=0.01)


def test_rows_that_attend_to_nothing_are_left_out(rng):
    visible = (np.arange(N) != 2)[:, None] & (np.arange(M) <= np.arange(N)[:, None])
    layer, p = made(rng, mask=KeyMask.from_array(visible[None, None]))
    assert (p[:, :, 2] == 0).all()
    output = layer.output.copy()
    output[:, :, 2] = np.nan  # what a naive softmax returns
    assert replace(layer, output=output).proven
    output[:, :, 1] = np.nan
    assert replace(layer, output=output).error == np.inf


def test_errors(rng):
    layer, _ = made(rng)
    with pytest.raises(ShapeError, match="rows: expected queries from 0 to 4 of a; got 5"):
        layer.weights(rows=5)
    with pytest.raises(DataError, match="rows: expected whole numbers"):
        layer.weights(rows=[0.5])
    other, _ = made(rng, n=3)
    with pytest.raises(ShapeError, match=r"layers of one shape .*a \(2, 6, 5, 7\), a \(2, 6, 3, 7\)"):
        Capture(None, (layer, other)).weights()


def test_one_row_of_many_keys_allocates_little(rng):
    """32,768 tokens: all weights of one head would be 4 GB in float32; a row of 100,000 keys is 0.4 MB."""
    n = 32768
    q = rng.standard_normal((1, 2, n, 8), np.float32)
    mask = KeyMask.from_rule((1, 2, n, n), causal=True)
    layer = AttentionLayer("a", "self", q, q, q, output=q, scale=0.3, mask=mask)
    layer.weights([0])
    tracemalloc.start()
    p = layer.weights(rows=[5, n - 1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    assert (p[0, 0, 0, 6:] == 0).all()


@pytest.mark.parametrize(
    "visible",
    [
        np.tril(np.ones((N, M), bool)),
        np.tril(np.ones((N, M), bool), 2) & np.triu(np.ones((N, M), bool), -1),
        np.arange(M)[None] >= np.arange(N)[:, None] % 3,
        np.zeros((N, M), bool),
        (np.arange(M) % 2 == np.arange(N)[:, None] % 2),
        np.eye(N, M, 1, dtype=bool) | np.eye(N, M, -1, dtype=bool),
    ],
)
def test_masks_are_kept(visible):
    mask = KeyMask.from_array(visible[None, None])
    np.testing.assert_array_equal(mask.rows(np.arange(N))[0, 0], visible)
    np.testing.assert_array_equal(mask.rows(np.array([3, 1]))[0, 0], visible[[3, 1]])
    both = mask & KeyMask.from_rule((1, 1, N, M), window=(1, 2), align="start")
    band = np.tril(np.ones((N, M), bool), 2) & np.triu(np.ones((N, M), bool), -1)
    np.testing.assert_array_equal(both.rows(np.arange(N))[0, 0], visible & band)


def test_a_mask_of_everything_is_none():
    assert KeyMask.from_array(np.ones((1, 1, N, M), bool)) is None
    assert KeyMask.from_rule((1, 1, N, N)) is None


def causal_steps(rng, sizes, buffer=0, dropped=0):
    """The steps of a generation with a cache, and the one call that they are together."""
    total = sum(sizes)
    q, k, v = (rng.normal(size=(1, 2, total, w)) for w in (d, d, e))
    mask = KeyMask.from_rule((1, 2, total, total), causal=True)
    whole = AttentionLayer("a", "self", q, k, v, output=hw.attention(q, k, v, causal=True), scale=0.5, mask=mask)
    steps, end = [], 0
    for size in sizes:
        start, end = end, end + size
        first = max(0, end - (total - dropped)) if dropped else 0
        keys = slice(first, end)
        k_now, v_now = k[:, :, keys], v[:, :, keys]
        visible = (np.arange(first, end) <= np.arange(start, end)[:, None])[None, None]
        if buffer:
            k_now, v_now = (np.pad(a, ((0, 0), (0, 0), (0, buffer - end), (0, 0))) for a in (k_now, v_now))
            visible = np.pad(visible, ((0, 0), (0, 0), (0, 0), (0, buffer - end)))
        rule = KeyMask.from_array(visible)
        rows = None if rule is None else visible
        o = hw.attention(q[:, :, start:end], k_now, v_now, mask=rows, scale=0.5)
        steps.append(AttentionLayer("a", "self", q[:, :, start:end], k_now, v_now, output=o, scale=0.5, mask=rule))
    return steps, whole


@pytest.mark.parametrize(("sizes", "buffer"), [((3, 1, 1), 0), ((1, 1, 1, 1), 0), ((3, 2, 1), 9)])
def test_steps_become_one_matrix(rng, sizes, buffer):
    steps, whole = causal_steps(rng, sizes, buffer)
    joined = steps[0]
    for step in steps[1:]:
        joined = join_steps(joined, step)
    n = sum(sizes)
    p = hw.attention(whole.q, whole.k, whole.v, causal=True, scale=0.5, return_weights=True)[1]
    np.testing.assert_allclose(joined.weights()[..., :n], p, atol=1e-12)
    assert (joined.weights()[..., n:] == 0).all()
    assert joined.error < 1e-12


def test_a_window_that_drops_keys(rng):
    steps, _ = causal_steps(rng, (4, 1, 1), dropped=2)
    joined = steps[0]
    for step in steps[1:]:
        joined = join_steps(joined, step)
    assert joined.shape == (1, 2, 6, 6)
    assert joined.error < 1e-12
    np.testing.assert_allclose(joined.weights([5])[..., 2:], steps[2].weights(), atol=1e-12)


def test_other_calls_are_not_joined(rng):
    first, _ = made(rng)
    second, _ = made(rng)
    assert join_steps(first, second) is None
    assert join_steps(first, replace(first, scale=0.1)) is None
    assert join_steps(first, first) is None


def test_axes_agree_with_numpy(rng):
    """Random views of an array of its own indices."""
    for _ in range(200):
        shape = tuple(rng.choice([1, 2, 3, 4], 4))
        array = np.arange(np.prod(shape)).reshape(shape)
        axes = Axes.contiguous(shape)
        for step in rng.choice(["permute", "view", "slice", "squeeze", "unsqueeze", "select"], 5):
            rank = array.ndim
            if step == "permute":
                order = rng.permutation(rank)
                array, axes = array.transpose(order), axes.permute(order)
            elif step == "view" and rank > 1:
                new = (-1, *array.shape[2:])
                moved = axes.view(new)
                array, axes = (array.reshape(new), moved) if moved is not None else (array, axes)
            elif step == "slice" and rank:
                axis = int(rng.integers(rank))
                sliced = axes.slice(axis, 1, array.shape[axis] - 1) if array.shape[axis] > 1 else None
                if sliced is not None:
                    array, axes = array.take(range(1, array.shape[axis]), axis), sliced
            elif step == "squeeze":
                array, axes = array.squeeze(), axes.squeeze()
            elif step == "unsqueeze":
                array, axes = array[..., None, :] if rank else array, axes.unsqueeze(rank - 1) if rank else axes
            elif step == "select" and rank > 2:
                array, axes = array[:, -1], axes.select(1, array.shape[1] - 1)
            found = np.full((1,) * array.ndim, axes.offset)
            for axis in range(array.ndim):
                found = found + axes.offsets(axis).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
            np.testing.assert_array_equal(found, array)


def test_save_is_read_by_caption(tmp_path, rng):
    from headwise.explanation import TokenLayout, from_arrays, read_arrays

    q = rng.normal(size=(1, 2, 5, 4)).astype(np.float32)
    layer = AttentionLayer("a", "self", q, q, q, output=hw.attention(q, q, q), scale=0.5)
    Capture(None, (layer, layer)).save(tmp_path / "a.npz")
    arrays = read_arrays(tmp_path / "a.npz")
    record = from_arrays(arrays, TokenLayout(grid=(2, 2)))
    np.testing.assert_allclose(record.weights[1], layer.weights()[0], atol=1e-6)
    assert arrays["verified"].tolist() == [True, True]
    assert arrays["names"].tolist() == ["a", "a"]

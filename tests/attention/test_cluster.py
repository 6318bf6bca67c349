"""Keys and values held as Dask arrays: results of the whole, in chunks that stay where they are."""

import itertools
import os
import signal

import numpy as np
import pytest

import headwise as hw
from headwise.attention.engines import ENGINES
from headwise.errors import DataError, ShapeError

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

B, H, G, N, M, d, e = 2, 6, 3, 5, 37, 16, 17
CHUNKS = (7, 19, 1, 10)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def arrays(rng, dtype=np.float64):
    shapes = ((H, N, d), (G, M, d), (G, M, e), (H, N, e))
    return [rng.normal(size=(B, *shape)).astype(dtype) for shape in shapes]


def shards(array, sizes=CHUNKS):
    return da.from_array(array, chunks=(*(-1 for _ in array.shape[:-2]), sizes, -1))


OPTIONS = {
    "plain": lambda rng: {},
    "scale, softcap": lambda rng: {"scale": -0.3, "softcap": 1.2},
    "causal": lambda rng: {"causal": True, "align": "end"},
    "window": lambda rng: {"window": (4, 9), "align": "start"},
    "lengths": lambda rng: {"lengths": np.array([20, 0]), "causal": True, "align": "end"},
    "mask": lambda rng: {"mask": rng.random((H, N, M)) < 0.2},
    "bias": lambda rng: {"bias": rng.normal(size=(B, 1, N, M)), "sinks": rng.normal(size=H)},
    "bias of a row": lambda rng: {"bias": rng.normal(size=(N, 1)), "mask": rng.random((N, 1)) < 0.7},
}


@pytest.mark.sampled
@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("option", OPTIONS)
def test_shards_give_the_results_of_the_whole(engine, option, rng):
    q, k, v, do = arrays(rng)
    options = OPTIONS[option](rng)
    expected, cache = hw.attention_forward(q, k, v, **options, return_weights=True, return_lse=True, engine="dense")
    expected_gradients = hw.attention_backward(do, cache)
    found, cache = hw.attention_forward(
        q, shards(k), shards(v), **options, return_weights=True, return_lse=True, engine=engine
    )
    gradients = hw.attention_backward(do, cache)
    assert gradients[1].chunks[-2] == gradients[2].chunks[-2] == CHUNKS
    for array, wanted in zip((*found, *gradients), (*expected, *expected_gradients), strict=True):
        np.testing.assert_allclose(np.asarray(array), wanted, rtol=1e-10, atol=1e-12)


def test_large_logits_keep_their_digits(rng):
    def gradients(q, k, v, do):
        return [np.asarray(array) for array in hw.attention_backward(do, hw.attention_forward(q, k, v, scale=300.0)[1])]

    q, k, v, do = arrays(rng, np.float32)
    exact = gradients(*(a.astype(float) for a in (q, k, v, do)))
    for found, local, wanted in zip(gradients(q, shards(k), shards(v), do), gradients(q, k, v, do), exact, strict=True):
        error = np.abs(local - wanted).max() + 1e-6 * np.abs(wanted).max()
        assert np.abs(found - wanted).max() <= 4 * error


def test_types_of_queries_and_shards_may_differ(rng):
    q, k, v, _ = arrays(rng)
    halves = hw.attention(q.astype(np.float32), shards(k.astype(np.float16)), shards(v.astype(np.float16)))
    assert halves.dtype == np.float32
    np.testing.assert_allclose(halves, hw.attention(q, k, v), atol=3e-3)
    assert hw.attention(q, shards(k.astype(np.float32)), shards(v.astype(np.float32))).dtype == np.float64


def test_a_single_shard_and_empty_shards(rng):
    q, k, v, _ = arrays(rng)
    for sizes in ((M,), (0, M), (10, 0, M - 10)):
        found = hw.attention(q, shards(k, sizes), shards(v, sizes))
        np.testing.assert_allclose(found, hw.attention(q, k, v), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda k, v: (k, np.asarray(v)), DataError, "v: expected a Dask array"),
        (lambda k, v: (k, v.rechunk({-2: 20})), ShapeError, "v: expected the chunks of k along the keys"),
        (lambda k, v: (k.rechunk({-1: 4}), v), ShapeError, r"k: expected chunks along the keys alone.*rechunk"),
        (lambda k, v: (k[..., :-1], v), ShapeError, "k: expected"),
    ],
)
def test_refusals(change, error, message, rng):
    q, k, v, _ = arrays(rng)
    with pytest.raises(error, match=message):
        hw.attention(q, *change(shards(k), shards(v)))


def _block(number, start, stop, seed, width, flag):
    """A chunk of keys; the first worker that makes the third one is killed."""
    if number == 2 and flag is not None:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            pass
    return np.random.default_rng([seed, number]).normal(size=(1, G, stop - start, width))


def _made_on_workers(seed, width, flag=None):
    edges = np.cumsum([0, *CHUNKS])
    return da.concatenate(
        [
            da.from_delayed(
                dask.delayed(_block)(i, a, b, seed, width, flag), (1, G, int(b - a), width), dtype=np.float64
            )
            for i, (a, b) in enumerate(itertools.pairwise(edges))
        ],
        axis=-2,
    )


@pytest.mark.exhaustive
def test_a_worker_that_is_killed_costs_nothing(rng, tmp_path):
    distributed = pytest.importorskip("distributed")
    q, do = rng.normal(size=(1, H, N, d)), rng.normal(size=(1, H, N, e))
    k, v = (np.asarray(_made_on_workers(seed, width)) for seed, width in ((1, d), (2, e)))
    o, cache = hw.attention_forward(q, k, v)
    expected = o, *hw.attention_backward(do, cache)
    flag = tmp_path / "killed"
    with (
        dask.config.set(scheduler="distributed"),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster),
    ):
        shards = _made_on_workers(1, d, str(flag)), _made_on_workers(2, e)
        o, cache = hw.attention_forward(q, *shards)
        gradients = hw.attention_backward(do, cache)
        found = o, *(np.asarray(array) for array in gradients)
    assert flag.exists()
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-10, atol=1e-12)

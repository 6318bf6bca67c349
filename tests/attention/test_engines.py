"""The fast engines where they are themselves: across tiles and threads, in float32, in memory, without numba."""

import importlib
import os
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import headwise as hw
from headwise import jit
from headwise.attention import engines
from headwise.attention.compiled.team import shared_kernel
from headwise.parallel.threads import blas_libraries, limit_threads, num_threads, parallel_for, single_threaded_blas

FAST = ["blockwise", "compiled"]
TILES = {  # N and M divide neither engine's tiles; M is long enough for several tiles of each
    "plain": lambda rng, n, m: {},
    "causal": lambda rng, n, m: {"causal": True, "align": "end"},
    "window": lambda rng, n, m: {"window": (37, 101), "align": "start"},
    "mask": lambda rng, n, m: {"mask": rng.random((n, m)) < 0.1},
    "mask of blocks": lambda rng, n, m: {"mask": np.kron(rng.random((3, 33)) < 0.4, np.ones((64, 128)))[:n, :m] > 0},
    "mask of queries": lambda rng, n, m: {"mask": rng.random((3, n, 1)) < 0.5},
    "mask and bias, columns first": lambda rng, n, m: {
        "mask": np.asfortranarray(rng.random((n, m)) < 0.5),
        "bias": np.asfortranarray(rng.normal(size=(n, m))),
    },
    "keys": lambda rng, n, m: {"mask": rng.random((2, 1, 1, m)) < 0.3, "lengths": np.array([m - 71, 3])},
    "bias, softcap": lambda rng, n, m: {"bias": rng.normal(size=(3, 1, m)), "softcap": 1.7},
    "bias of a row": lambda rng, n, m: {"bias": rng.normal(size=(2, 1, n, 1)), "scale": -3.0},
    "large": lambda rng, n, m: {"scale": 40.0},
    "nothing": lambda rng, n, m: {"scale": 0.0},
}


def both(q, k, v, do, engine, **options):
    (o, lse), cache = hw.attention_forward(q, k, v, **options, return_lse=True, engine=engine)
    return o, lse, *hw.attention_backward(do, cache)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("option", TILES)
def test_tiles_agree_with_dense(engine, option, rng):
    lead, heads, groups, n, m, d, e = 2, 3, 1, 131, 1091, 17, 19
    shapes = ((heads, n, d), (groups, m, d), (groups, m, e), (heads, n, e))
    arrays = [rng.normal(size=(lead, *shape)) for shape in shapes]
    options = TILES[option](rng, n, m)
    for found, expected in zip(both(*arrays, engine, **options), both(*arrays, "dense", **options), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("items", "n"), [(6, 67), (1, 600)])
def test_blocks_of_several_heads_and_of_several_queries_agree_with_dense(items, n, rng):
    heads, groups, m, d = 6, 3, 83, 7
    shapes = ((heads, n, d), (groups, m, d), (groups, m, d), (heads, n, d))
    arrays = [rng.normal(size=(items, *shape)) for shape in shapes]
    every, first = rng.random((items, heads, n, m)) < 0.5, rng.normal(size=(1, 1, n, 1))
    for options in (
        {"mask": every, "bias": rng.normal(size=(heads, 1, m))},
        {"mask": every[:, :1], "bias": rng.normal(size=(items, heads, n, m)), "softcap": 2.0},
        {"causal": True, "align": "end", "lengths": rng.integers(0, m, items), "bias": first},
        {"bias": 100 * first},  # some queries far from what an exponential takes without a maximum, others not
    ):
        for found, expected in zip(
            both(*arrays, "blockwise", **options), both(*arrays, "dense", **options), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)
    p, q = (
        hw.attention(*arrays[:3], engine=engine, return_weights=True, **options)[1] for engine in ("blockwise", "dense")
    )
    np.testing.assert_allclose(p, q, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("option", TILES)
def test_few_queries_and_many_keys_agree_with_dense(option, dtype, rng):
    lead, heads, groups, n, m, d, e = 2, 3, 1, 3, 4211, 19, 32  # a width that fills vectors, keys that need two splits
    shapes = ((heads, n, d), (groups, m, d), (groups, m, e), (heads, n, e))
    arrays = [rng.normal(size=(lead, *shape)).astype(dtype) for shape in shapes]
    options = TILES[option](rng, n, m)
    tolerance = 1e-10 if dtype == np.float64 else 2e-3  # logits of hundreds, in float32
    for result, expected in zip(both(*arrays, "compiled", **options), both(*arrays, "dense", **options), strict=True):
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sizes", [(3, 1, 1, 97, 16, 16), (8, 2, 1, 300, 72, 40), (8, 1, 3, 1111, 80, 97)])
@pytest.mark.exhaustive  # each type is compiled, which takes long
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_caches_in_half_precision_are_read_as_stored(name, sizes, rng):
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name) if name == "bfloat16" else name)
    heads, groups, n, m, d, e = sizes
    q, k, v = (rng.normal(size=(2, *shape)).astype(dtype) for shape in ((heads, n, d), (groups, m, d), (groups, m, e)))
    for option in ("plain", "causal", "keys"):
        options = TILES[option](rng, n, m)
        exact, lse = hw.attention(
            *(a.astype(np.float64) for a in (q, k, v)), **options, engine="dense", return_lse=True
        )
        for engine in ("dense", *FAST):
            o, found = hw.attention(q, k, v, **options, engine=engine, return_lse=True)
            assert o.dtype == found.dtype == dtype
            rounding = float(np.abs(exact).max()) * 2.0 ** (-11 if name == "float16" else -8)  # of the result alone
            np.testing.assert_allclose(o.astype(float), exact, atol=rounding)
            np.testing.assert_allclose(found.astype(float), lse, rtol=2.0**-8)


@pytest.mark.parametrize("engine", ["dense", *FAST])
def test_gradients_of_half_precision_have_its_type(engine, rng):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    q, k, v, do = (rng.normal(size=(2, n, 16)).astype(bfloat16) for n in (71, 67, 67, 71))
    found = both(q, k, v, do, engine)
    exact = both(*(a.astype(np.float64) for a in (q, k, v, do)), "dense")
    for array, expected in zip(found, exact, strict=True):
        assert array.dtype == bfloat16
        np.testing.assert_allclose(array.astype(float), expected, atol=float(np.abs(expected).max()) * 2.0**-7)


def test_half_precision_next_to_float32_is_promoted(rng):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    q, k = rng.normal(size=(1, 3, 5)).astype(np.float32), rng.normal(size=(1, 7, 5)).astype(bfloat16)
    assert hw.attention(q, k, k).dtype == np.float32
    assert hw.attention(q.astype(np.float16), k, k).dtype == np.float32


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_hidden_keys_of_a_cache_are_inert(poison, rng):
    q, k, v = rng.normal(size=(4, 1, 16)), rng.normal(size=(2, 2500, 16)), rng.normal(size=(2, 2500, 16))
    expected = hw.attention(q, k, v, lengths=2311, engine="compiled")
    k[:, 2311:], v[:, 2400:] = poison, poison
    np.testing.assert_array_equal(hw.attention(q, k, v, lengths=2311, engine="compiled"), expected)


@pytest.mark.parametrize("engine", FAST)
def test_thread_counts_give_the_same_bytes(engine, rng):
    q, k, v, do = (rng.normal(size=(1, h, 2203, 5)).astype(np.float32) for h in (2, 1, 1, 2))
    bias = rng.normal(size=(2203, 1)).astype(np.float32)
    for options in ({}, {"bias": bias}):
        results = []
        for count in (1, 2, 5):
            with limit_threads(count):
                assert num_threads() == count
                results.append(b"".join(a.tobytes() for a in both(q, k, v, do, engine, **options)))
        assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize(("n", "m", "size"), [(3, 16411, 1.0), (67, 211, 1e4), (211, 67, 1.0)])
def test_float32_is_as_good_as_dense(engine, n, m, size, rng):
    # Over several draws: with sharp logits the largest error of one is how the nearest tie of two keys was rounded.
    excess = []
    for _ in range(15 if size > 1 else 3):
        q, k, v, do = (rng.normal(size=(2, x, 64)).astype(np.float32) for x in (n, m, m, n))
        exact = both(*(a.astype(np.float64) for a in (q, k, v, do)), "dense", scale=size / 64)
        dense, fast = (both(q, k, v, do, name, scale=size / 64) for name in ("dense", engine))
        floors = [4 * np.finfo(np.float32).eps * np.abs(a).max() for a in exact]
        errors = ([np.abs(a - b).max() for a, b in zip(exact, found, strict=True)] for found in (dense, fast))
        excess.append([e / (2 * d + f) for d, e, f in zip(*errors, floors, strict=True)])
    assert np.median(excess, axis=0).max() <= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("engine", FAST)
def test_memory_is_linear_in_the_tokens(engine, rng):
    n = 65536  # the window only saves time: without it the same arrays are made
    q, k, v, do = (rng.standard_normal((1, n, 64), np.float32) for _ in range(4))
    hw.attention(q[:, :99], k[:, :99], v[:, :99], engine=engine)  # what is made once
    tracemalloc.start()
    results = both(q, k, v, do, engine, window=(150, 150))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - sum(a.nbytes for a in results) <= 64 * 2**20


@pytest.mark.parametrize("engine", FAST)
def test_a_bias_for_all_heads_makes_no_array_of_every_logit(engine, rng):
    q, k, v, do = (rng.standard_normal((32, 8, 128, 8), np.float32) for _ in range(4))
    bias = rng.standard_normal((128, 128), np.float32)
    hw.attention_backward(do, hw.attention_forward(q, k, v, bias=bias, engine=engine)[1])
    tracemalloc.start()
    both(q, k, v, do, engine, bias=bias)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.75 * 32 * 8 * 128 * 128 * 4  # far above the 0.5 that it takes: other threads allocate, too


def test_workers_start_no_workers_of_their_own():
    seen = []
    parallel_for(lambda i: seen.append((num_threads(), threading.current_thread().name)), 50)
    assert {count for count, _ in seen} == {1}
    before = threading.active_count()
    with limit_threads(1):
        parallel_for(lambda i: seen.append((num_threads(), threading.current_thread().name)), 50)
    assert len(seen) == 100
    assert threading.active_count() == before


def test_a_failure_in_a_worker_is_raised():
    def fail(i):
        raise ZeroDivisionError

    with limit_threads(3), pytest.raises(ZeroDivisionError):
        parallel_for(fail, 7)


def test_blas_threads_are_given_back_however_calls_overlap():
    def blas():
        return [library["num_threads"] for library in blas_libraries().info()]

    with threadpool_limits(2, user_api="blas"):
        before = blas()
        with single_threaded_blas():
            assert set(blas()) <= {1}

        def compute(i):
            with single_threaded_blas():
                return threading.Event().wait(0.001)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(compute, range(20)))
        assert blas() == before


def test_without_numba_the_rest_works_and_compiled_says_how_to_get_it(monkeypatch, rng):
    for module in (jit, engines):
        monkeypatch.setattr(module, "numba_available", lambda: False)
    for compiled in (jit.compile_kernel, shared_kernel):
        compiled.cache_clear()
    q, k, v = rng.normal(size=(3, 2, 67, 5))
    np.testing.assert_allclose(hw.attention(q, k, v), hw.attention(q, k, v, engine="dense"), atol=1e-12)
    with pytest.raises(hw.HeadwiseError, match=r"numba, which is not installed: pip install 'headwise\[fast\]'"):
        hw.attention(q, k, v, engine="compiled")


def test_numba_that_the_environment_disables_or_breaks_is_an_error_that_says_so():
    code = """
import numpy, headwise
try:
    headwise.attention(*numpy.ones((3, 2, 9, 4)), engine="compiled")
except headwise.HeadwiseError as error:
    print(error)
"""
    for name, value in (("NUMBA_DISABLE_JIT", "1"), ("NUMBA_NUM_THREADS", "0")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {name: value}, check=True
        )
        assert name in done.stdout


def test_a_small_problem_imports_no_compiler():
    code = "import sys, numpy as n, headwise as h; h.attention(*n.ones((3, 2, 9, 4))); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.exhaustive
def test_a_notice_is_printed_only_when_numba_compiles(monkeypatch, capfd, tmp_path):
    import numba

    importlib.import_module("headwise.attention.compiled.peak")  # its own functions are compiled for good
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    for printed in (True, False):
        jit.compile_kernel.cache_clear()
        jit._print_notice.cache_clear()  # it is printed once per process
        jit.compile_kernel("headwise.attention.compiled.peak", "multiply_repeatedly", np.dtype(np.float32))
        assert ("compiling for this machine, once" in capfd.readouterr().err) == printed


def test_compiled_functions_are_cached_by_their_sources(monkeypatch, tmp_path):
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    jit.compile_kernel.cache_clear()
    jit.compile_kernel("headwise.attention.compiled.peak", "multiply_repeatedly", np.dtype(np.float32))
    jit.compile_kernel.cache_clear()
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("kernels-")
    assert list(folder.rglob("*.nbi"))
    assert str(tmp_path) == numba.config.CACHE_DIR


def test_threads_that_compile_do_not_change_each_others_cache(monkeypatch):
    numba = pytest.importorskip("numba")
    meeting, folders = threading.Barrier(2, timeout=0.5), []

    def njit(*_, **__):
        def compile_(function):
            before = numba.config.CACHE_DIR
            with suppress(threading.BrokenBarrierError):  # the other thread waits until this one has compiled
                meeting.wait()
            folders.append((before, numba.config.CACHE_DIR))
            return function

        return compile_

    monkeypatch.setattr(numba, "njit", njit)
    compile_kernel = partial(jit.compile_kernel.__wrapped__, "headwise.attention.compiled.peak", "multiply_repeatedly")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_kernel, [np.dtype(np.float32), np.dtype(np.float64)]))
    assert len(set(sum(folders, ()))) == 1

"""Random attention calls with hostile values: every engine must agree with float64, or raise an error of Headwise.

`python benchmarks/fuzz_attention.py --calls 30000` prints the numbers of engine runs, documented errors and failures.
"""

import argparse
import collections
import warnings

import numpy as np

import headwise as hw
from headwise.attention.engines import ENGINES
from headwise.errors import HeadwiseError
from headwise.parallel.threads import limit_threads, single_threaded_blas

EXTREME = (np.nan, np.inf, -np.inf, 3e36, 1e38, 1e-40, 0.0)


def draw(rng: np.random.Generator) -> tuple[list[np.ndarray], dict, np.ndarray]:
    """Arrays q, k and v, options, and a cotangent."""
    dtype = rng.choice([np.float32, np.float64, np.float16], p=[0.5, 0.35, 0.15])
    lead = [(), (1,), (2,), (0,), (2, 1)][rng.choice(5, p=[0.3, 0.2, 0.35, 0.05, 0.1])]
    groups, repeat = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    n = int(rng.integers(0, 12)) if rng.random() < 0.9 else int(rng.integers(60, 140))
    m = int(rng.integers(0, 20)) if rng.random() < 0.6 else int(rng.integers(60, 330))
    d, e = (int(rng.choice([1, 3, 8, 16, 17, 40, 64])) for _ in range(2))
    heads = groups * repeat
    shapes = ((heads, n, d), (groups, m, d), (groups, m, e), (heads, n, e))
    q, k, v, do = (rng.normal(size=(*lead, *shape)).astype(dtype) for shape in shapes)
    options: dict = {}
    if rng.random() < 0.5:
        options["align"] = str(rng.choice(["start", "end"]))
        options["causal"] = bool(rng.random() < 0.5)
        if rng.random() < 0.5:
            side = [0, 1, 5, None, 2**63 - 1, 2**200]
            options["window"] = tuple(side[i] for i in rng.integers(0, len(side), 2))
    full = (*lead, heads, n, m)
    if rng.random() < 0.4:
        options["mask"] = rng.random(broadcastable(rng, full)) < rng.choice([0.0, 0.1, 0.5, 0.95])
    if rng.random() < 0.4:
        options["bias"] = hostile_bias(rng, broadcastable(rng, full), dtype)
    if rng.random() < 0.3:
        options["lengths"] = rng.integers(0, m + 1, lead)
    if rng.random() < 0.3:
        options["softcap"] = float(rng.choice([1e-300, 1e-44, 1e-30, 1e-3, 1.0, 30.0]))
    if rng.random() < 0.3:
        options["scale"] = float(rng.choice([0.0, -0.7, 1.0, 30.0, 1e-30]))
    if rng.random() < 0.3:
        options["sinks"] = rng.choice([0.0, 2.0, -np.inf, -50.0, 50.0], heads).astype(dtype)
    for array in (q, k, v, do):
        if array.size and rng.random() < 0.08:
            with np.errstate(over="ignore", under="ignore"):
                array[tuple(rng.integers(0, size) for size in array.shape)] = rng.choice(EXTREME)
    return [q, k, v], options, do


def broadcastable(rng: np.random.Generator, full: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(1 if rng.random() < 0.3 else size for size in full)
    return shape[int(rng.integers(0, len(shape) - 1)) :]


def hostile_bias(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    bias = rng.normal(size=shape).astype(dtype)
    largest = np.finfo(dtype).max
    value = rng.choice([-np.inf, -largest, largest * 0.99, -largest / 2, 0.0])
    bias[rng.random(shape) < rng.choice([0.0, 0.2, 1.0])] = value
    return bias


def compute(arrays: list[np.ndarray], options: dict, do: np.ndarray, engine: str) -> list[np.ndarray] | str:
    """Output, log-sum-exp and gradients, or the name of the documented error."""
    try:
        (o, lse), cache = hw.attention_forward(*arrays, **options, return_lse=True, engine=engine)
        result = [o.copy(), lse]
        o += 1  # must not change the gradients
        return [*result, *hw.attention_backward(do, cache)]
    except HeadwiseError as error:
        return type(error).__name__


def disagreement(
    result: list[np.ndarray] | str, exact: list[np.ndarray] | str, dtype: np.dtype, logit: float, term: float
) -> str | None:
    """What differs beyond rounding; None if nothing does.

    Rounding is relative to the size of a logit, and for gradients to the size of the terms that they sum.
    """
    if isinstance(result, str) or isinstance(exact, str):
        overflow = result == "DataError" and dtype != np.float64  # float64 holds what a narrower type does not
        return None if overflow or (isinstance(result, str) and result == exact) else f"error: {result}, {exact}"
    tolerance = 4 * float(np.finfo(dtype).eps) + 50 * (1 + logit) * (2e-16 if dtype.itemsize == 8 else 1.2e-7)
    limit = float(np.finfo(dtype).max)
    for name, a, b in zip(("o", "lse", "dq", "dk", "dv", "dbias", "dsinks"), result, exact, strict=False):
        a, b = a.astype(float), b.astype(float)
        if a.shape != b.shape:
            return f"{name}: shapes {a.shape}, {b.shape}"
        size = np.abs(b[np.isfinite(b)]).max(initial=1.0 if name in ("o", "lse") else max(1.0, term))
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(a - b) <= tolerance * size
        same = (np.isnan(a) & np.isnan(b)) | (a == b) | near
        beyond = ~(np.abs(b) < limit / 100)  # overflows the type, or nearly
        if not (same | beyond).all():
            return f"{name}: {a[~(same | beyond)][:3]}, expected {b[~(same | beyond)][:3]}"
    return None


def _sizes(arrays: list[np.ndarray], do: np.ndarray, options: dict) -> tuple[float, float]:
    """Bounds of a logit before the bias, and of the products that a gradient sums: |do| |v| max(|q|, |k|)."""
    q, k, v, do = (float(np.abs(a[np.isfinite(a)]).max(initial=1.0)) for a in (*arrays, do))
    return abs(options.get("scale", 1.0)) * q * k * arrays[0].shape[-1], do * v * max(q, k)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="random calls, each by every engine")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("error")  # an overflow must not even warn
    counts: collections.Counter[str] = collections.Counter()
    with limit_threads(1), single_threaded_blas():  # the problems are small
        for call in range(arguments.calls):
            counts += compare_engines(np.random.default_rng([arguments.seed, call]), f"call {call}")
    print(f"{counts['runs']} runs: {counts['documented errors']} documented errors, {counts['failures']} failures")


def compare_engines(rng: np.random.Generator, title: str) -> collections.Counter[str]:
    """Compare every engine with float64 on one random call; print the failures, and count."""
    arrays, options, do = draw(rng)
    wide = {name: x.astype(float) if name in ("bias", "sinks") else x for name, x in options.items()}
    exact = compute([a.astype(float) for a in arrays], wide, do.astype(float), "dense")
    counts: collections.Counter[str] = collections.Counter()
    for engine in ENGINES:
        try:
            result = compute(arrays, options, do, engine)
            problem = disagreement(result, exact, arrays[0].dtype, *_sizes(arrays, do, options))
        except Exception as error:  # a bare error is what this looks for
            result, problem = "", f"{type(error).__name__}: {error}"
        counts.update(["runs"])
        counts["documented errors"] += isinstance(result, str) and not problem
        if problem:
            counts["failures"] += 1
            described = {key: getattr(value, "shape", value) for key, value in options.items()}
            print(f"{title}, {engine}, {do.dtype}, {[a.shape for a in arrays]}, {described}\n  {problem}", flush=True)
    return counts


if __name__ == "__main__":
    main()

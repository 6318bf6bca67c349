"""Which pooling learns to tell the largest member of a set? Several models, several seeds, and how exact is "no order"?

Source: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825, section 5.1 and table 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headwise.experiments.results_cache import cached_result, run_file, runs_table
from headwise.experiments.statistics import ALPHA
from headwise.files import write_text
from headwise.models.sets import SetTransformerConfig, set_forward, set_params
from headwise.nn.params import Params
from headwise.progress import NoProgress, Progress
from headwise.text import Statement, scientific
from headwise.train.config import TrainingConfig
from headwise.train.loop import train
from headwise.train.sets import MaximumTask, draw_sets, mean_absolute_error
from headwise.validation import check_counts, check_unique

__all__ = ["PUBLISHED_ERRORS", "SPECS", "PoolingResult", "SetModelSpec", "SetsStudy", "order_sensitivity", "study_sets"]

BATCH, RATE, TESTED, ORDERS = 128, 1e-3, 10_000, 200


class SetModelSpec(NamedTuple):
    """An encoder and a pooling."""

    encoder: str
    pooling: str

    @property
    def name(self) -> str:
        """As the paper's table has it."""
        return f"{self.encoder} + {self.pooling}"


SPECS = tuple(
    SetModelSpec(*pair)
    for pair in (("rFF", "mean"), ("rFF", "sum"), ("rFF", "max"), ("rFF", "PMA"), ("SAB", "PMA"), ("ISAB", "PMA"))
)

# mean and deviation in table 1 of the paper, as remembered and not read again here
PUBLISHED_ERRORS = {
    "rFF + mean": (2.133, 0.190),
    "rFF + sum": (1.902, 0.137),
    "rFF + max": (0.1355, 0.0074),
    "SAB + PMA": (0.2085, 0.0127),
}


_ROUNDING = {"float32": 1e-4, "float64": 1e-12}


@dataclass(frozen=True)
class PoolingResult:
    """What one contender reached.

    Attributes
    ----------
    name : str
    parameters : int
    errors : tuple of float
        Mean absolute error of each seed, on sets that none of them has seen; the numbers are from 0 to 100.
    moved, moved_double : float
        The largest change of what it says of a set when the set's order changes, over the range of what it says of
        several, in float32 and in float64.
    """

    name: str
    parameters: int
    errors: tuple[float, ...]
    moved: float
    moved_double: float

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.errors))

    @property
    def deviation(self) -> float | None:
        """Over the seeds; of one seed none."""
        return float(np.std(self.errors, ddof=1)) if len(self.errors) > 1 else None


@dataclass(frozen=True)
class SetsStudy:
    """The table of poolings, and what it was made with."""

    poolings: tuple[PoolingResult, ...]
    seeds: int
    steps: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        rows = [
            {**asdict(each), "errors": list(each.errors), "mean": each.mean, "deviation": each.deviation}
            for each in self.poolings
        ]
        return {"poolings": rows, "seeds": self.seeds, "steps": self.steps, "batch": BATCH, "tested_on": TESTED}

    def conclusion(self) -> tuple[Statement, ...]:
        """Sentences chosen by the figures."""
        by_name = {each.name: each for each in self.poolings}
        best = min(self.poolings, key=lambda each: each.mean)
        said = [_best(best, self.poolings)]
        attention, mean = by_name.get("SAB + PMA"), by_name.get("rFF + mean")
        if attention and mean:
            said.append(_against(attention, mean))
        if "rFF + PMA" in by_name and attention:
            said.append(_against(attention, by_name["rFF + PMA"]))
        return (*said, _order(self.poolings))


def study_sets(
    folder: Path,
    *,
    seeds: int = 5,
    steps: int = 10_000,
    contenders: Sequence[SetModelSpec] = SPECS,
    workers: int = 1,
    progress: Progress | None = None,
) -> SetsStudy:
    """Train every contender with every seed; runs that were finished in this folder before are kept.

    Parameters
    ----------
    folder : Path
        For ``runs/``, a file a run, and ``runs.csv``, a row for each ever finished there, whatever its steps.
    seeds, steps : int
        Runs of each contender, and batches of 128 new sets that each sees.
    contenders : sequence of Contender
    workers : int
        Threads.
    progress : Progress, optional

    Returns
    -------
    SetsStudy

    Raises
    ------
    DataError
        If there is nothing to run, or a contender comes twice.
    """
    check_counts(seeds=seeds, steps=steps, contenders=len(contenders), workers=workers)
    check_unique(contenders=[each.name for each in contenders])
    progress = progress or NoProgress()
    progress.stage("poolings", len(contenders) * seeds)
    rows: list[dict[str, Any]] = []
    for contender in contenders:
        model = SetTransformerConfig(1, encoder=contender.encoder, pooling=contender.pooling)
        for seed in range(seeds):
            recipe = TrainingConfig(
                epochs=1,
                batch_size=BATCH,
                learning_rate=RATE,
                warmup=0.05,
                weight_decay=0,
                max_shift=0,
                max_rotation=0,
                seed=seed,
            )
            made_of = {"contender": contender.name, "seed": seed, "steps": steps, "tested_on": TESTED}
            made_of |= {"model": asdict(model), "recipe": asdict(recipe)}
            path = run_file(folder / "runs", f"{contender.encoder}-{contender.pooling}-{seed}", made_of)
            found = cached_result(path, made_of, partial(_run, model, recipe, steps, workers))
            write_text(folder / "runs.csv", runs_table(folder / "runs"))
            rows.append({"contender": contender.name, **found})
            progress.advance(f"{contender.name}, seed {seed}: {found['error']:.3f}")
    return SetsStudy(tuple(_gathered(each.name, rows) for each in contenders), seeds, steps)


def order_sensitivity(params: Params, model: SetTransformerConfig, dtype: type[np.floating[Any]]) -> float:
    """The largest change of an answer over random orders of random sets, over the range of answers."""
    rng = np.random.default_rng([model.d_model, 8])
    held = {name: array.astype(dtype) for name, array in params.items()}
    sets = rng.uniform(-1, 1, (32, 10, model.n_inputs)).astype(dtype)
    said, _ = set_forward(sets, held, model)
    moved = max(
        float(np.abs(set_forward(sets[:, rng.permutation(10)], held, model)[0] - said).max()) for _ in range(ORDERS)
    )
    return moved / float(np.ptp(said))


def _run(model: SetTransformerConfig, recipe: TrainingConfig, steps: int, workers: int) -> dict[str, Any]:
    task = MaximumTask(model, recipe.seed, steps * recipe.batch_size)
    params = train(task, recipe, threads=workers).params
    tested = draw_sets(TESTED, np.random.default_rng([recipe.seed, 9]))
    return {
        "error": mean_absolute_error(tested, params, model),
        "moved": order_sensitivity(params, model, np.float32),
        "moved_double": order_sensitivity(params, model, np.float64),
    }


def _gathered(name: str, rows: Sequence[dict[str, Any]]) -> PoolingResult:
    own = [row for row in rows if row["contender"] == name]
    encoder, pooling = name.split(" + ")
    fresh = set_params(SetTransformerConfig(1, encoder=encoder, pooling=pooling), np.random.default_rng(0))
    return PoolingResult(
        name,
        sum(array.size for array in fresh.values()),
        tuple(row["error"] for row in own),
        max(row["moved"] for row in own),
        max(row["moved_double"] for row in own),
    )


def _best(best: PoolingResult, poolings: Sequence[PoolingResult]) -> Statement:
    clear = all(_apart(best, each) for each in poolings if each is not best)
    how = "and all its seeds come closer than any other's" if clear else "though that is not shown against all others"
    return Statement(
        "{name} comes closest, off by {error:.3f} on average, " + how + ".", {"name": best.name, "error": best.mean}
    )


def _against(one: PoolingResult, other: PoolingResult) -> Statement:
    near, far = sorted((one, other), key=lambda each: each.mean)
    values = {"near": near.name, "far": far.name, "by": far.mean / near.mean, "p": _separation(len(one.errors))}
    if _apart(near, far):
        return Statement(
            "{far} is off by {by:.1f} times as much as {near}; all its seeds are worse (p = {p:.2g}).", values
        )
    return Statement("{far} is off by {by:.1f} times as much as {near}, which these seeds do not show.", values)


def _apart(near: PoolingResult, far: PoolingResult) -> bool:
    """Whether all seeds of one are better than all of the other, and chance seldom does that."""
    return max(near.errors) < min(far.errors) and _separation(len(near.errors)) <= ALPHA


def _separation(seeds: int) -> float:
    """How often that comes about, either way, where there is no difference: the exact rank test's least p."""
    return 2 / math.comb(2 * seeds, seeds)


def _order(poolings: Sequence[PoolingResult]) -> Statement:
    single, double = (max(getattr(each, name) for each in poolings) for name in ("moved", "moved_double"))
    rounding = single < _ROUNDING["float32"] and double < _ROUNDING["float64"]
    return Statement(
        "Another order of the members changed an answer by at most {single} of the range of answers in "
        "{narrow}, and {double} in {wide}: "
        + ("that is rounding." if rounding else "that is more than rounding, so one of these models knows the order."),
        {"single": scientific(single), "double": scientific(double), "narrow": "float32", "wide": "float64"},
    )

"""Train set models with several poolings and seeds, and measure how much the order of the members matters to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from headwise.experiments.protocol import Run, Runner
from headwise.experiments.store import Outcome
from headwise.models.sets import SetTransformerConfig, set_forward, set_params
from headwise.nn.params import Params
from headwise.parallel.threads import num_threads
from headwise.train import MaximumTask, TrainingConfig, draw_sets, mean_absolute_error, train
from headwise.validation import check_counts, check_unique

BATCH, N_TEST, ORDERS = 128, 10_000, 200
_RECIPE = TrainingConfig(
    epochs=1, batch_size=BATCH, learning_rate=1e-3, warmup=0.05, weight_decay=0, max_shift=0, max_rotation=0
)


class SetModelSpec(NamedTuple):
    """An encoder and a pooling."""

    encoder: str
    pooling: str

    @property
    def name(self) -> str:
        """As in the paper's table."""
        return f"{self.encoder} + {self.pooling}"

    @property
    def model(self) -> SetTransformerConfig:
        """The model for sets of numbers."""
        return SetTransformerConfig(1, encoder=self.encoder, pooling=self.pooling)


SPECS = tuple(
    SetModelSpec(*pair)
    for pair in (("rFF", "mean"), ("rFF", "sum"), ("rFF", "max"), ("rFF", "PMA"), ("SAB", "PMA"), ("ISAB", "PMA"))
)


@dataclass(frozen=True)
class SetsPlan:
    """What is trained.

    Raises DataError if there is nothing to run, or a model is named twice.
    """

    # runs of each model, and batches of 128 new sets in each run
    seeds: int = 5
    steps: int = 10_000
    specs: tuple[SetModelSpec, ...] = SPECS

    def __post_init__(self) -> None:
        check_counts(seeds=self.seeds, steps=self.steps, specs=len(self.specs))
        check_unique(specs=[spec.name for spec in self.specs])


@dataclass(frozen=True)
class PoolingResult:
    """The runs of one model."""

    name: str
    parameters: int
    errors: tuple[float, ...]  # mean absolute error of each seed on the same new sets, of numbers from 0 to 100
    # in float32 and in float64: the largest change of an output when the order of a set changes, divided by the range
    # of the outputs for several sets
    order_sensitivity: float
    order_sensitivity_double: float

    @property
    def mean(self) -> float:
        """Mean error over the seeds."""
        return float(np.mean(self.errors))

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds; None for a single seed."""
        return float(np.std(self.errors, ddof=1)) if len(self.errors) > 1 else None


@dataclass(frozen=True)
class SetsResult:
    """All poolings side by side."""

    poolings: tuple[PoolingResult, ...]
    seeds: int
    steps: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        rows = [
            {**asdict(pooling), "errors": list(pooling.errors), "mean": pooling.mean, "std": pooling.std}
            for pooling in self.poolings
        ]
        return {"poolings": rows, "seeds": self.seeds, "steps": self.steps, "batch": BATCH, "tested_on": N_TEST}


def run(plan: SetsPlan, runner: Runner) -> SetsResult:
    """Train every model with every seed."""
    runs = [_run(spec, seed, plan.steps) for spec in plan.specs for seed in range(plan.seeds)]
    outcomes = iter(runner.run("poolings", runs, lambda outcome: f"{outcome.values['error']:.3f}"))
    poolings = []
    for spec in plan.specs:
        values = [next(outcomes).values for _ in range(plan.seeds)]
        parameters = sum(array.size for array in set_params(spec.model, np.random.default_rng(0)).values())
        errors = tuple(run_values["error"] for run_values in values)
        orders = (max(v[name] for v in values) for name in ("order_sensitivity", "order_sensitivity_double"))
        poolings.append(PoolingResult(spec.name, parameters, errors, *orders))
    return SetsResult(tuple(poolings), plan.seeds, plan.steps)


def order_sensitivity(params: Params, model: SetTransformerConfig, dtype: type[np.floating[Any]]) -> float:
    """The largest change of an output over random orders of random sets, divided by the range of the outputs."""
    rng = np.random.default_rng([model.d_model, 8])
    cast = {name: array.astype(dtype) for name, array in params.items()}
    sets = rng.uniform(-1, 1, (32, 10, model.n_inputs)).astype(dtype)
    outputs, _ = set_forward(sets, cast, model)
    changes = [np.abs(set_forward(sets[:, rng.permutation(10)], cast, model)[0] - outputs).max() for _ in range(ORDERS)]
    return float(max(changes)) / float(np.ptp(outputs))


def _run(spec: SetModelSpec, seed: int, steps: int) -> Run:
    recipe = replace(_RECIPE, seed=seed)
    config = {"spec": spec.name, "seed": seed, "steps": steps, "tested_on": N_TEST}
    config |= {"model": asdict(spec.model), "recipe": asdict(recipe)}
    return Run(f"{spec.encoder}-{spec.pooling}-{seed}", config, partial(_train, spec.model, recipe, steps))


def _train(model: SetTransformerConfig, recipe: TrainingConfig, steps: int) -> Outcome:
    task = MaximumTask(model, recipe.seed, steps * recipe.batch_size)
    params = train(task, recipe, threads=num_threads()).params
    test = draw_sets(N_TEST, np.random.default_rng([recipe.seed, 9]))
    error = mean_absolute_error(test, params, model)
    single, double = (order_sensitivity(params, model, dtype) for dtype in (np.float32, np.float64))
    return Outcome({"error": error, "order_sensitivity": single, "order_sensitivity_double": double})

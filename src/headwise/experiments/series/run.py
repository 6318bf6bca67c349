"""Train the series transformer with and without pre-training, and run the baselines, on the same split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from headwise.data.series import SeriesData, standardize
from headwise.errors import CheckpointError
from headwise.experiments.protocol import Run, Runner
from headwise.experiments.series.baselines import BASELINES
from headwise.experiments.series.result import SeriesPlan, SeriesResult, SeriesRun
from headwise.experiments.store import Outcome
from headwise.hashing import fingerprint
from headwise.nn.params import Params
from headwise.parallel.threads import num_threads, single_threaded_blas
from headwise.train.config import TrainingConfig
from headwise.train.loop import Task, TrainingResult, train
from headwise.train.series import MaskedPredictionTask, evaluate_series, series_task

Scratch = Callable[[str], Path | None]  # the file for the state of a stage, if the run can have one


def run(plan: SeriesPlan, runner: Runner) -> SeriesResult:
    """Run every method with every seed; an interrupted training resumes within its run.

    Raises MissingExtraError if baselines are requested and aeon is not installed.
    """
    n_test = len(plan.data.test.labels)
    outcomes = runner.run(
        plan.data.name, list_runs(plan, runner), lambda outcome: f"{outcome.values['n_correct'] / n_test:.1%}"
    )
    results, params = [], {}
    for (method, seed), outcome in zip(plan.runs(), outcomes, strict=True):
        results.append(SeriesRun(method, seed, n_test=n_test, **outcome.values))
        if seed == 0 and outcome.arrays:
            params[method] = dict(outcome.arrays)
    return SeriesResult(plan, tuple(results), params)


def list_runs(plan: SeriesPlan, runner: Runner) -> list[Run]:
    """Every method with every seed; the states of unfinished trainings are in the runner's folder."""
    digest = fingerprint(*plan.data.train, *plan.data.test)
    return [_run(plan, method, seed, digest, runner) for method, seed in plan.runs()]


def _run(plan: SeriesPlan, method: str, seed: int, digest: str, runner: Runner) -> Run:
    name = f"{method}-{seed}"
    config: dict[str, Any] = {"method": method, "seed": seed, "data": plan.data.name, "fingerprint": digest}
    if method in BASELINES:
        return Run(name, config, partial(_classify, method, seed, plan.data))
    recipes = {"recipe": replace(plan.recipe, seed=seed)}
    if method == "pre-trained":
        recipes["pretraining"] = replace(plan.pretraining, seed=seed)
    config |= {"model": asdict(plan.model)} | {name: asdict(recipe) for name, recipe in recipes.items()}
    states = {stage: runner.scratch(name, config, f"{stage}.safetensors") for stage in recipes}
    return Run(name, config, partial(_train, plan, recipes, states))


def _classify(method: str, seed: int, data: SeriesData) -> Outcome:
    with single_threaded_blas():  # so that sums are in the same order everywhere
        predicted = BASELINES[method].classify(data, seed)
    return Outcome({"n_correct": int((predicted == data.test.labels).sum())})


def _train(plan: SeriesPlan, recipes: dict[str, TrainingConfig], states: dict[str, Path | None]) -> Outcome:
    scaled, model = standardize(plan.data), plan.model
    start: Params | None = None
    values: dict[str, Any] = {}
    if "pretraining" in recipes:
        recipe = recipes["pretraining"]
        pretrained = _resume(MaskedPredictionTask(model, scaled.train, recipe), recipe, states["pretraining"])
        start, values["pretraining_losses"] = pretrained.params, [epoch.train_loss for epoch in pretrained.history]
    recipe = recipes["recipe"]
    result = _resume(series_task(model, scaled.train, recipe, initial_params=start), recipe, states["recipe"])
    values["n_correct"] = evaluate_series(scaled.test, result.params, model).n_correct
    values["losses"] = [epoch.train_loss for epoch in result.history]
    for state in states.values():
        if state:
            state.unlink(missing_ok=True)
    return Outcome(values, result.params)


def _resume(task: Task, recipe: TrainingConfig, state: Path | None) -> TrainingResult:
    """Train from the state of an interrupted run, or from the start if there is none or it is damaged."""
    try:
        return train(task, recipe, state=state, threads=num_threads())
    except CheckpointError:
        if state:
            state.unlink()
        return train(task, recipe, state=state, threads=num_threads())

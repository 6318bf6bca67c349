"""Run the faithfulness experiment: what has to be trained, heads, every input, then the randomized models.

Whether a map depends on what the model has learned is tested by comparing maps as the layers are randomized from the
top down: Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292 (2018), section 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headwise.attribution import ModelRun, cheap_maps, compute_map, group_tokens, is_differentiable, model_fingerprint
from headwise.errors import DataError
from headwise.experiments.faithfulness.heads import HeadImportance, measure_heads, with_params
from headwise.experiments.faithfulness.per_input import RANDOM_ORDERS, InputResult, evaluate_input
from headwise.experiments.faithfulness.result import FaithfulnessResult, ModelSummary
from headwise.experiments.faithfulness.scope import Scope, scope_of
from headwise.experiments.faithfulness.subjects import Subject
from headwise.experiments.protocol import Run, Runner
from headwise.experiments.store import Outcome
from headwise.hashing import fingerprint
from headwise.metrics.faithfulness import spearman
from headwise.metrics.shapley import EXACT_UP_TO
from headwise.models.base import Model
from headwise.nn.params import Params
from headwise.parallel.threads import single_threaded_blas
from headwise.shapes import Array, IntArray
from headwise.validation import check_counts

_LAYER = re.compile(r"(?:blocks|layers)\.(\d+)\.")
DRAWS, N_RANDOMIZED = 4, 20  # randomized models, and inputs compared in each


@dataclass(frozen=True)
class FaithfulnessPlan:
    """Which model is examined, on which inputs.

    Raises DataError if there are fewer inputs than `count`, or it is less than two; or the seed or the players are out
    of range.
    """

    subject: Subject
    count: int = 100  # number of its inputs, chosen at random
    seed: int = 0
    maps: tuple[str, ...] = ()  # keys of `headwise.attribution.MAPS`; all that the model allows by default
    # the most players, up to 16, so that every set of them can be evaluated: patches and steps are grouped, and texts
    # with more words are not chosen
    players: int = EXACT_UP_TO

    def __post_init__(self) -> None:
        check_counts(0, seed=self.seed)
        available = len(self.subject.examples.labels)
        if not 2 <= self.count <= available:
            raise DataError(f"count: expected 2 to {available}, the number available; got {self.count}.")
        if not 2 <= self.players <= EXACT_UP_TO:
            raise DataError(f"players: expected 2 to {EXACT_UP_TO}; got {self.players}.")


def run(plan: FaithfulnessPlan, runner: Runner) -> FaithfulnessResult:
    """Compare every map by the probability of the predicted class without the tokens it ranks highest."""
    subject = plan.subject
    arrays: Mapping[str, Array] = {}
    if subject.fit is not None:
        fit = Run("model", subject.fit.config, subject.fit.compute)
        [outcome] = runner.run("training", [fit], local=True)
        arrays = outcome.arrays
    model: Any = subject.open(arrays)
    indices = _choose(plan, model)
    inputs = [subject.input(model, i) for i in indices]
    scope = scope_of(model, inputs[0], plan.maps)
    weights = model_fingerprint(model)
    task = _Task(subject, arrays, plan.players, scope)
    base: dict[str, Any] = {"weights": weights, "players": plan.players, "pixels": subject.pixels}
    parts = is_differentiable(model)
    heads = _run_heads(task, indices, base, runner) if parts else None
    config = {**base, "seed": plan.seed, "maps": scope.maps, "ablations": scope.ablations, "orders": RANDOM_ORDERS}
    runs = []
    for i in indices:
        compute = partial(_single_blas, task.evaluate, i, [plan.seed, 1, i])
        runs.append(Run(f"input-{i:05}", {**config, "input": _digest(subject.examples.inputs[i])}, compute))
    outcomes = runner.run("leaving tokens out", runs)
    results = tuple(InputResult(**outcome.values, **outcome.arrays) for outcome in outcomes)
    cheap = cheap_maps(scope.maps) if parts else ()
    few = indices[:N_RANDOMIZED]
    config = {**base, "seed": plan.seed, "maps": cheap, "inputs": [_digest(subject.examples.inputs[i]) for i in few]}
    runs = []
    for d in range(DRAWS if cheap else 0):
        compute = partial(_single_blas, task.randomize, few, cheap, [plan.seed, 2, d])
        runs.append(Run(f"randomized-{d}", {**config, "draw": d}, compute))
    draws = runner.run("randomizing weights", runs)
    shape = ModelRun(model, inputs[0]).weights.shape
    return FaithfulnessResult(
        scope,
        ModelSummary(subject.name, shape[0], shape[1], weights, max(item.players for item in results)),
        subject.trained_on,
        subject.data,
        subject.noun,
        subject.held_out,
        plan.seed,
        tuple(indices),
        results,
        bool((subject.examples.labels >= 0).all()),
        heads,
        tuple(randomization_stages(model.params)) if cheap else (),
        np.stack([outcome.arrays["correlations"] for outcome in draws]) if cheap else np.zeros((0, 0, 0, 0)),
        cheap,
    )


@dataclass(frozen=True)
class _Task:
    """What the runs have in common; it opens the model where it is executed."""

    subject: Subject
    arrays: Mapping[str, Array]
    players: int
    scope: Scope

    def evaluate(self, index: int, seed: list[int]) -> Outcome:
        """One input."""
        model = self.subject.open(self.arrays)
        item = ModelRun(model, self.subject.input(model, index), limit=self.players, seed=tuple(seed))
        return evaluate_input(item, int(self.subject.examples.labels[index]), self.scope, np.random.default_rng(seed))

    def randomize(self, indices: Sequence[int], maps: Sequence[str], seed: list[int]) -> Outcome:
        """One draw of random weights."""
        model = self.subject.open(self.arrays)
        inputs = [self.subject.input(model, i) for i in indices]
        correlations = randomization_test(model, inputs, maps, self.players, np.random.default_rng(seed))
        return Outcome(None, {"correlations": correlations})

    def heads(self, indices: Sequence[int], labels: IntArray) -> Outcome:
        """Every head left out."""
        model = self.subject.open(self.arrays)
        return measure_heads(model, [self.subject.input(model, i) for i in indices], labels)


def _run_heads(task: _Task, indices: Sequence[int], base: Mapping[str, Any], runner: Runner) -> HeadImportance:
    examples = task.subject.examples
    labels = examples.labels[list(indices)]
    if (labels < 0).any():  # the loss of the predicted class
        model = task.subject.open(task.arrays)
        labels = np.array([model.predict(task.subject.input(model, i)).argmax() for i in indices])
    config = {**base, "inputs": [_digest(examples.inputs[i]) for i in indices], "labels": labels.tolist()}
    compute = partial(_single_blas, task.heads, indices, labels)
    [outcome] = runner.run("leaving heads out", [Run("heads", config, compute)])
    return HeadImportance(**outcome.values, **outcome.arrays)


def _choose(plan: FaithfulnessPlan, model: Model) -> list[int]:
    """Indices of the inputs; a smaller number of them is a subset of a larger one."""
    examples, indices = plan.subject.examples, []
    for i in np.random.default_rng([plan.seed, 0]).permutation(len(examples.labels)).tolist():
        tokens = model.tokens(plan.subject.input(model, i))
        if tokens.kind != "text" or 2 <= len(group_tokens(tokens)) <= plan.players:
            indices.append(i)
        if len(indices) == plan.count:
            return indices
    raise DataError(
        f"count: expected at most {len(indices)}, the {plan.subject.noun} of 2 to {plan.players} words; "
        f"got {plan.count}."
    )


def _digest(input: Any) -> str:
    """Digest of an input: of its numbers, its characters, or the bytes of its file."""
    if isinstance(input, np.ndarray):
        return fingerprint(input)
    content = input.read_bytes() if isinstance(input, Path) else str(input).encode()
    return fingerprint(np.frombuffer(content, np.uint8))


def _single_blas(compute: Callable[..., Outcome], *args: Any) -> Outcome:
    """Call with one BLAS thread for each worker, so that results do not depend on the number of threads."""
    with single_threaded_blas():
        return compute(*args)


def randomization_stages(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The parameters that each stage randomizes, in addition to those of the stages before: from the head down.

    Layers that share parameters are one stage.

    Examples
    --------
    >>> randomization_stages(["embedding.word", "blocks.0.norm_1.gain", "blocks.1.norm_1.gain", "norm.gain"])
    {'head': ('norm.gain',), 'layer 1': ('blocks.1.norm_1.gain',), 'layer 0': ('blocks.0.norm_1.gain',), \
'embedding': ('embedding.word',)}
    """
    names = list(names)
    layers = {name: int(match[1]) for name in names if (match := _LAYER.match(name))}
    stages = {"head": tuple(name for name in names if name.startswith(("head", "norm")))}
    for i in sorted(set(layers.values()), reverse=True):
        stages[f"layer {i}"] = tuple(name for name, layer in layers.items() if layer == i)
    in_stages = {name for stage in stages.values() for name in stage}
    return {**stages, "embedding": tuple(name for name in names if name not in in_stages)}


def shuffle_parameters(params: Params, rng: np.random.Generator) -> Params:
    """Every array with its entries in random order, which leaves their distribution as it is."""
    return {name: rng.permutation(array.ravel()).reshape(array.shape) for name, array in params.items()}


def randomization_test(
    model: Any, inputs: Sequence[Any], maps: Sequence[str], limit: int, rng: np.random.Generator
) -> Array:
    """Spearman's correlation (stages, maps, inputs) of every map with that of the partly randomized model.

    All maps are of the class that the trained model predicts, of at most `limit` players.
    """
    trained_runs = [ModelRun(model, input, limit=limit) for input in inputs]
    expected = [[compute_map(run, name) for name in maps] for run in trained_runs]
    fresh = shuffle_parameters(model.params, rng)
    correlations, replaced = [], Params()
    for names in randomization_stages(model.params).values():
        replaced |= {name: fresh[name] for name in names}
        randomized = with_params(model, replaced)
        runs = [ModelRun(randomized, run.input, run.explained, limit) for run in trained_runs]
        after = [[compute_map(run, name) for name in maps] for run in runs]
        correlations.append([list(map(_correlation, *rows)) for rows in zip(expected, after, strict=True)])
    return np.array(correlations).swapaxes(1, 2)


def _correlation(before: Array, after: Array) -> float:
    """Spearman's correlation; zero for a map that overflowed with random weights, which has no order."""
    return spearman(before, after) if np.isfinite(after).all() else 0.0

"""Run the plan of the tokenizer experiment and gather the runs into one result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from headwise import __version__
from headwise.data.mnist import Digits
from headwise.experiments.protocol import Run, Runner
from headwise.experiments.statistics import sign_flip_test
from headwise.experiments.store import Outcome
from headwise.experiments.tokenizers.costs import cost, step_times
from headwise.experiments.tokenizers.locality import foreground_lost
from headwise.experiments.tokenizers.plan import TokenizersPlan, held_out_images
from headwise.experiments.tokenizers.result import PairedComparison, TokenizerResult, TokenizersResult, baselines
from headwise.experiments.tokenizers.training import DIRECTIONS, SHIFTS, TrainedTokenizer, train_job
from headwise.metrics import position_similarity, spearman
from headwise.models.vit import ViTConfig, vit_forward, vit_params
from headwise.shapes import Array, IntArray
from headwise.tokenizers import ImageTokenizer


def run(plan: TokenizersPlan, runner: Runner) -> TokenizersResult:
    """Train every tokenizer with every seed and size, time a training step of each, and compare them.

    Raises DataError if a size of the plan is not below the number of training digits.
    """
    digits = plan.load()
    jobs, runs = plan.jobs(digits), list_runs(plan)
    title = f"training {len(plan.tokenizers)} tokenizers"
    outcomes = runner.run(title, runs, lambda outcome: f"{outcome.values['n_correct'] / outcome.values['n_test']:.1%}")
    trained = {
        (job.model.tokenizer, job.size, job.recipe.seed): TrainedTokenizer(**outcome.values, **outcome.arrays)
        for job, outcome in zip(jobs, outcomes, strict=True)
    }
    seeds = sorted({job.recipe.seed for job in jobs})
    by_size = {
        (name, size): [trained[name, size, seed] for seed in seeds]
        for name in plan.tokenizers
        for size in {job.size for job in jobs}
    }
    return _gather(plan, digits, by_size, _step_times(plan, digits, runner))


def list_runs(plan: TokenizersPlan) -> list[Run]:
    """The training of every tokenizer with every seed and size."""
    return [Run(job.name, job.config, partial(train_job, job, plan.load)) for job in plan.jobs(plan.load())]


def _step_times(plan: TokenizersPlan, digits: Digits, runner: Runner) -> Sequence[float]:
    models = [plan.model_with(name) for name in plan.tokenizers]
    config = {"models": [vars(model) for model in models], "recipe": vars(plan.recipe)}
    timing = Run("step-times", config, lambda: Outcome({"seconds": step_times(models, digits, plan.recipe)}))
    [outcome] = runner.run("timing a training step of each", [timing], local=True)
    return list(outcome.values["seconds"])


def _gather(
    plan: TokenizersPlan, digits: Digits, by_size: dict[tuple[str, int], list[TrainedTokenizer]], times: Sequence[float]
) -> TokenizersResult:
    test, total = held_out_images(digits), len(digits.train.labels)
    sizes, names = (*sorted(plan.sizes), total), plan.tokenizers
    correct = {
        name: np.stack([run.predictions == test.labels for run in by_size[name, total]]).astype(int) for name in names
    }
    entries = (_entry(plan.model_with(name), by_size[name, total], s) for name, s in zip(names, times, strict=True))
    lost = [
        [foreground_lost(test.images, (k * down, k * right)) for k in SHIFTS] for down, right in DIRECTIONS.values()
    ]
    return TokenizersResult(
        digits.name,
        __version__,
        total,
        len(test.labels),
        plan.recipe,
        plan.model_with(names[0]),
        tuple(entries),
        tuple(_pair(name, base, correct) for name, base in baselines(names).items()),
        sizes,
        np.array([[[run.n_correct for run in by_size[name, size]] for size in sizes] for name in names]),
        np.array(lost),
        _relabelling_errors(plan),
    )


def _entry(model: ViTConfig, runs: Sequence[TrainedTokenizer], seconds: float) -> TokenizerResult:
    similarities = np.stack([position_similarity(run.positions) for run in runs]).astype(np.float64)
    return TokenizerResult(
        model.tokenizer,
        cost(model),
        seconds,
        np.array([run.n_correct for run in runs]),
        np.array([run.loss for run in runs]),
        np.stack([run.n_correct_shifted for run in runs]),
        similarities.mean(axis=0),
        np.array([position_locality(similarity, model.image_tokenizer) for similarity in similarities]),
    )


def position_locality(similarity: Array, tokenizer: ImageTokenizer) -> float:
    """Spearman's correlation, over pairs of tokens, of (N, N) similarities with nearness in the upright image."""
    axes = np.indices(tokenizer.image_size, dtype=np.float64)  # (2, Y, X): the row and the column of every pixel
    centers = tokenizer.tokenize(axes).mean(axis=2).T  # (N, 2): the mean of a token's pixels
    distance = np.sqrt(((centers[:, None] - centers) ** 2).sum(axis=-1))
    pairs = np.triu_indices(tokenizer.num_tokens, k=1)
    return spearman(similarity[pairs], -distance[pairs])


def _pair(name: str, base: str, correct: dict[str, IntArray]) -> PairedComparison:
    difference = correct[name] - correct[base]  # (seeds, digits)
    by_digit = difference.sum(axis=0)
    better, worse = int((by_digit > 0).sum()), int((by_digit < 0).sum())
    return PairedComparison(name, base, difference.sum(axis=1), better, worse, sign_flip_test(by_digit.tolist()))


def relabelling(plain: ImageTokenizer, permuted: ImageTokenizer) -> IntArray | None:
    """The index in `plain` of each token of `permuted`, if they have the same tokens in another order; else None.

    Examples
    --------
    >>> from headwise.tokenizers import get_tokenizer
    >>> relabelling(get_tokenizer("rows", (3, 2)), get_tokenizer("reordered-rows", (3, 2)))
    array([2, 0, 1])
    >>> relabelling(get_tokenizer("rows", (3, 2)), get_tokenizer("scrambled-rows", (3, 2))) is None
    True
    """
    pixels = np.arange(float(np.prod(plain.image_size))).reshape(1, *plain.image_size)
    index = {tuple(token): i for i, token in enumerate(plain.tokenize(pixels)[0].tolist())}
    order = [index.get(tuple(token)) for token in permuted.tokenize(pixels)[0].tolist()]
    return None if None in order else np.array(order)


def _relabelling_errors(plan: TokenizersPlan) -> dict[str, float]:
    """Run both models on random images with relabelled positions; `TokenizersResult` defines the error."""
    errors = {}
    for name, base in baselines(plan.tokenizers).items():
        plain, permuted = plan.model_with(base), plan.model_with(name)
        order = relabelling(plain.image_tokenizer, permuted.image_tokenizer)
        if order is None:
            continue
        rng = np.random.default_rng([plan.recipe.seed, 5])
        params = vit_params(plain, rng)
        images = rng.random((11, *plan.model.image_size)).astype(np.float32)
        positions = params["embedding.positions"]
        relabelled = params | {"embedding.positions": np.concatenate([positions[:1], positions[1:][order]])}
        expected, _ = vit_forward(images, params, plain)
        logits, _ = vit_forward(images, relabelled, permuted)
        errors[name] = float(np.abs(logits - expected).max() / np.abs(expected).max())
    return errors

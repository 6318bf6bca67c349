"""Run the plan, put the runs side by side, write down what they say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from headwise import __version__
from headwise.data.mnist import Digits
from headwise.document import as_markdown_page
from headwise.experiments.statistics import sign_flip_test
from headwise.experiments.tokenizers.costs import cost, step_times
from headwise.experiments.tokenizers.findings import findings
from headwise.experiments.tokenizers.locality import ink_lost
from headwise.experiments.tokenizers.plan import Plan, digits_of, held_out_images
from headwise.experiments.tokenizers.plots import draw_accuracies, draw_shifts, draw_similarities, draw_sizes
from headwise.experiments.tokenizers.result import Comparison, PairedComparison, TokenizerResult, baselines
from headwise.experiments.tokenizers.result_tables import tables
from headwise.experiments.tokenizers.store import DIRECTIONS, SHIFTS, Run, RunStore, results
from headwise.figures import save_figure
from headwise.files import write_text
from headwise.metrics.faithfulness import spearman
from headwise.metrics.positions import position_similarity
from headwise.models.vit import ViTConfig, vit_forward, vit_params
from headwise.progress import NoProgress, Progress
from headwise.shapes import Array, IntArray
from headwise.tokenizers import ImageTokenizer

__all__ = ["compare", "figures", "relabelling", "save"]

_UNITS = tuple(DIRECTIONS.values())  # a pixel (down, right) for each


def compare(
    folder: Path,
    plan: Plan | None = None,
    *,
    load: Callable[[], Digits] = digits_of,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train what is not in the folder yet, and compare.

    Parameters
    ----------
    folder : Path
        Gets ``runs.csv`` and ``runs/``, run by run: an interrupted comparison goes on with what is missing.
    plan : Plan, optional
        The standard one by default.
    load : callable
        Reads the digits, here and on every worker.
    workers, scheduler
        As in `headwise.parallel.tasks.run_tasks`.
    progress : Progress, optional
        Told of each run.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If the folder holds another kind of table, or the plan does not fit the digits.
    MissingExtraError
        If Dask is needed and not installed.
    """
    plan, progress = plan or Plan(), progress or NoProgress()
    ledger, digits = RunStore(folder), load()
    jobs = plan.jobs(digits)
    progress.stage(f"training {len(plan.tokens)} tokenisations", len(jobs))
    found: dict[str, Run] = {}
    for job in jobs:
        if kept := ledger.find(job):
            found[job.identity] = kept
            progress.advance("kept from before")
    missing = [job for job in jobs if job.identity not in found]
    for run in results(missing, load, workers=workers, scheduler=scheduler) if missing else ():
        ledger.keep(run)
        found[run.job.identity] = run
        progress.advance(f"{run.job.model.tokenizer}, seed {run.job.recipe.seed}: {run.right / run.tested:.1%}")
    progress.stage("timing a step of each", 1)
    times = step_times([plan.of(name) for name in plan.tokens], digits, plan.recipe)
    progress.advance()
    return _side_by_side(plan, digits, [found[job.identity] for job in jobs], times)


def save(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``comparison.json``, ``findings.md``, the tables as CSV, and the figures as PNG, SVG and PDF."""
    written = [folder / "comparison.json", folder / "conclusion.md"]
    write_text(written[0], json.dumps(comparison.to_json()) + "\n")
    made = tables(comparison)
    write_text(written[1], as_markdown_page("Tokenisations compared", findings(comparison), made))
    for table in made:
        written.append(folder / "tables" / f"{table.name}.csv")
        write_text(written[-1], table.csv())
    for name, figure in figures(comparison).items():
        written += save_figure(figure, folder / "figures" / name)
    return written


def figures(comparison: Comparison) -> dict[str, Figure]:
    """Every figure by its name; that of sizes only where there are several."""
    names, tested = comparison.names, comparison.tested_on
    right = np.stack([entry.right for entry in comparison.entries])
    differences = {(pair.name, pair.base): comparison.difference(pair) for pair in comparison.pairs}
    lost = (
        np.stack([comparison.lost(name).mean(axis=0) for name in names]) / tested
    )  # (tokenisations, directions, shifts)
    moved = {direction: -lost[:, i] for i, direction in enumerate(DIRECTIONS)}
    drawn = {
        "accuracy": draw_accuracies(names, right / tested, [comparison.accuracy(name) for name in names], differences),
        "shifted": draw_shifts(names, moved, SHIFTS, comparison.recipe.max_shift),
        "positions": draw_similarities(names, [entry.similarity for entry in comparison.entries]),
    }
    if len(comparison.sizes) > 1:
        drawn["sizes"] = draw_sizes(names, comparison.sizes, comparison.by_size / tested)
    return drawn


def _side_by_side(plan: Plan, digits: Digits, runs: Sequence[Run], times: Sequence[float]) -> Comparison:
    judged_on, whole = held_out_images(digits), len(digits.train.labels)
    sizes = (*sorted(plan.sizes), whole)
    of = {
        (name, size): [run for run in runs if run.job.model.tokenizer == name and run.job.size == size]
        for name in plan.tokens
        for size in sizes
    }
    entries = tuple(_entry(plan.of(name), of[name, whole], step) for name, step in zip(plan.tokens, times, strict=True))
    reads = {
        name: np.stack([run.predictions == judged_on.labels for run in of[name, whole]]).astype(int)
        for name in plan.tokens
    }
    return Comparison(
        digits.name,
        __version__,
        whole,
        len(judged_on.labels),
        plan.recipe,
        plan.of(plan.tokens[0]),
        entries,
        tuple(_pair(name, base, reads) for name, base in baselines(plan.tokens).items()),
        sizes,
        np.array([[[run.right for run in of[name, size]] for size in sizes] for name in plan.tokens]),
        np.array([[ink_lost(judged_on.images, (k * down, k * right)) for k in SHIFTS] for down, right in _UNITS]),
        _relabelled(plan),
    )


def _entry(model: ViTConfig, runs: Sequence[Run], step: float) -> TokenizerResult:
    similarities = np.stack([position_similarity(run.positions) for run in runs]).astype(np.float64)
    return TokenizerResult(
        model.tokenizer,
        cost(model),
        step,
        np.array([run.right for run in runs]),
        np.array([run.loss for run in runs]),
        np.stack([run.moved for run in runs]),
        similarities.mean(axis=0),
        np.array([_nearness(similarity, model.image_tokenizer) for similarity in similarities]),
    )


def _nearness(similarity: Array, cut: ImageTokenizer) -> float:
    """Spearman's correlation, over all pairs of tokens, of similarity with nearness in the upright image."""
    axes = np.indices(cut.image_size, dtype=np.float64)  # (2, Y, X): the row and the column of every pixel
    place = cut.tokenize(axes).mean(axis=2).T  # (N, 2): the mean of a token's pixels
    distance = np.sqrt(((place[:, None] - place) ** 2).sum(axis=-1))
    pairs = np.triu_indices(cut.num_tokens, k=1)
    return spearman(similarity[pairs], -distance[pairs])


def _pair(name: str, base: str, reads: dict[str, IntArray]) -> PairedComparison:
    more = reads[name] - reads[base]  # (seeds, digits)
    digits = more.sum(axis=0)
    return PairedComparison(
        name, base, more.sum(axis=1), int((digits > 0).sum()), int((digits < 0).sum()), sign_flip_test(digits.tolist())
    )


def relabelling(plain: ImageTokenizer, moved: ImageTokenizer) -> IntArray | None:
    """Which token of `plain` each token of `moved` is, if it is the same tokens in another order; else None.

    Examples
    --------
    >>> from headwise.tokenizers import tokeniser
    >>> relabelling(tokeniser("rows", (3, 2)), tokeniser("reordered-rows", (3, 2)))
    array([2, 0, 1])
    >>> relabelling(tokeniser("rows", (3, 2)), tokeniser("scrambled-rows", (3, 2))) is None
    True
    """
    places = np.arange(float(np.prod(plain.image_size))).reshape(1, *plain.image_size)
    known = {tuple(token): i for i, token in enumerate(plain.tokenize(places)[0].tolist())}
    found = [known.get(tuple(token)) for token in moved.tokenize(places)[0].tolist()]
    return None if None in found else np.array(found)


def _relabelled(plan: Plan) -> dict[str, float]:
    """Run both models on random images, their positions relabelled alike: the deviation that `Comparison` states."""
    found = {}
    for name, base in baselines(plan.tokens).items():
        plain, moved = plan.of(base), plan.of(name)
        order = relabelling(plain.image_tokenizer, moved.image_tokenizer)
        if order is None:
            continue
        rng = np.random.default_rng([plan.recipe.seed, 5])
        params = vit_params(plain, rng)
        images = rng.random((11, *plan.model.image_size)).astype(np.float32)
        positions = params["embedding.positions"]
        relabelled = params | {"embedding.positions": np.concatenate([positions[:1], positions[1:][order]])}
        expected, _ = vit_forward(images, params, plain)
        logits, _ = vit_forward(images, relabelled, moved)
        found[name] = float(np.abs(logits - expected).max() / np.abs(expected).max())
    return found

"""Run an audit, digit by digit; what is finished is kept, and what was interrupted goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headwise.data.mnist import LabelledImages
from headwise.errors import DataError
from headwise.experiments.faithfulness.heads import study_heads
from headwise.experiments.faithfulness.per_image import KINDS, ORDERS, SAMPLED, DigitAudit, audit_digit
from headwise.experiments.faithfulness.randomization import randomization_test
from headwise.experiments.faithfulness.result import Audit
from headwise.experiments.results_cache import cached_result
from headwise.hashing import fingerprint
from headwise.models.token_ablation import ABLATIONS
from headwise.parallel.threads import limit_threads, single_threaded_blas
from headwise.progress import NoProgress, Progress
from headwise.shapes import Array
from headwise.train.checkpoint import Checkpoint
from headwise.validation import check_counts

__all__ = ["audit"]

DRAWS, LOOKED_AT = 8, 30  # of random weights, and digits that are looked at with each: the flow is slow


def audit(
    folder: Path,
    saved: Checkpoint,
    digits: LabelledImages,
    *,
    data: str,
    apart: bool,
    count: int = 200,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Audit:
    """Judge every kind of map by what the model answers without the tokens it names.

    Parameters
    ----------
    folder : Path
        Gets ``digits/``, a file a digit, and ``sanity/``, a file for each time that the weights are made anew.
    saved : Saved
        The model.
    digits : Labelled
        Of which `count` are chosen at random.
    data : str
        Which digits they are, for a reader.
    apart : bool
        Whether it is known that the model was not trained on them.
    count, seed : int
    workers : int
        Threads; the result does not depend on how many.
    progress : Progress, optional

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        If there are not so many digits, or fewer than two are asked for; the seed is negative, or the folder a file.
    ShapeError
        If they are of another size than the model's.
    """
    model, params, _ = saved
    check_counts(workers=workers)
    check_counts(0, seed=seed)
    if not 2 <= count <= len(digits.labels):
        raise DataError(f"digits: expected 2 to {len(digits.labels)}, which there are; got {count}.")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder.")
    chosen = np.random.default_rng([seed, 0]).permutation(len(digits.labels))[:count]  # fewer are some of more
    digits = LabelledImages(digits.images[chosen], digits.labels[chosen])
    progress = progress or NoProgress()
    with limit_threads(workers), single_threaded_blas():
        progress.stage("leaving heads out", model.n_layers * model.n_heads)
        heads = study_heads(digits, params, model, progress.advance)
        made_of = {
            "model": asdict(model),
            "weights": fingerprint(*(params[name] for name in sorted(params))),
            "head": heads.best,
            "seed": seed,
        }
        progress.stage("leaving tokens out", count)
        audited = []
        for which, image in zip(chosen.tolist(), digits.images, strict=True):
            audited.append(_kept_digit(folder, which, image, saved, made_of, heads.best))
            progress.advance(f"digit {which}")
        few = digits.images[:LOOKED_AT]
        progress.stage("making weights anew", DRAWS)
        found = []
        for draw in range(DRAWS):
            found.append(_kept_sanity(folder, draw, few, saved, made_of, heads.best))
            progress.advance()
    return Audit(
        model,
        _trained_on(saved.metadata),
        data,
        apart,
        seed,
        tuple(chosen.tolist()),
        tuple(audited),
        heads,
        np.array(found),
    )


def _trained_on(about: Mapping[str, Any]) -> str:
    """As far as the weights say."""
    if "data" in about:
        return str(about["data"])
    return f"{about['n_train']:,} digits" if "n_train" in about else "its weights do not say on which"


def _kept_digit(
    folder: Path, which: int, image: Array, saved: Checkpoint, made_of: Mapping[str, Any], head: tuple[int, int]
) -> DigitAudit:
    own = {"image": fingerprint(image), "kinds": KINDS, "missing": tuple(ABLATIONS), "orders": [ORDERS, SAMPLED]}

    def make() -> dict[str, Any]:
        rng = np.random.default_rng([made_of["seed"], 1, which])
        return audit_digit(image, saved.params, saved.config, head, rng).to_json()

    return DigitAudit.from_json(cached_result(folder / "digits" / f"{which:05}.json", {**made_of, **own}, make))


def _kept_sanity(
    folder: Path, draw: int, images: Array, saved: Checkpoint, made_of: Mapping[str, Any], head: tuple[int, int]
) -> Array:
    def make() -> Any:
        rng = np.random.default_rng([made_of["seed"], 2, draw])
        return randomization_test(images, saved.params, saved.config, head, rng).tolist()

    own = {"images": fingerprint(images), "draw": draw, "kinds": KINDS}
    return np.array(cached_result(folder / "sanity" / f"{draw}.json", {**made_of, **own}, make))

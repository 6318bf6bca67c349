"""Building the report: the parts in order, then one page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headwise.data.arrays import coursework_arrays
from headwise.data.digits import Digits, bundled_digits
from headwise.picture.document import Document
from headwise.picture.text import Statement
from headwise.shapes import Array
from headwise.studies.coursework import coursework
from headwise.studies.expressiveness import Expressiveness, expressiveness
from headwise.studies.gaussian import gaussian
from headwise.studies.keeping import kept
from headwise.studies.progress import Progress, Silent
from headwise.studies.report.attention_part import attention_section
from headwise.studies.report.digits_part import picture_section, training_section
from headwise.studies.report.expressiveness_part import expressiveness_section
from headwise.studies.report.gaussian_part import gaussian_section
from headwise.studies.report.provenance import provenance_section
from headwise.studies.training import train_into
from headwise.train.recipe import Recipe

__all__ = ["Report", "build"]


@dataclass(frozen=True)
class Report:
    """Where the report is, and what it found first of all.

    Attributes
    ----------
    page : Path
        ``index.html``.
    accuracy : float
        Share of the test digits that its model reads correctly.
    tested_on : int
        Test digits.
    """

    page: Path
    accuracy: float
    tested_on: int


def build(
    folder: Path,
    *,
    digits: Digits | None = None,
    arrays: Mapping[str, Array] | None = None,
    arrays_name: str = "our own arrays",
    recipe: Recipe | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Report:
    """Run the studies and write the report.

    A model that was trained before with the same recipe on the same digits is kept; an interrupted training goes on.

    Parameters
    ----------
    folder : Path
        Gets ``index.html``, ``figures/``, ``tables/``, ``arrays/``, ``model/`` and ``studies/``.
    digits : Digits, optional
        The bundled ones by default.
    arrays : mapping, optional
        X, Wq, Wk, Wv (and Wo, biases) for the coursework; our own by default.
    arrays_name : str
        Where they are from, for the reader.
    recipe : Recipe, optional
        How to train.
    workers : int
        Threads.
    progress : Progress, optional
        Told how far it is.

    Returns
    -------
    Report
    """
    began = time.perf_counter()
    progress = progress or Silent()
    recipe = recipe or Recipe()

    progress.stage("attention on the coursework's arrays", 1)
    study = coursework(arrays or coursework_arrays())
    attention = attention_section(study, folder, arrays_name)
    progress.advance()

    progress.stage("one head or several, fitted to each other", 5)
    families = Expressiveness.from_json(
        kept(
            folder / "studies" / "expressiveness.json",
            {"seed": recipe.seed},
            lambda: expressiveness(seed=recipe.seed, on_fit=progress.advance).to_json(),
        )
    )
    expressive = expressiveness_section(families, folder)

    progress.stage("reading digits", 1)
    digits = digits or bundled_digits()
    progress.advance()

    progress.stage("training the vision transformer", recipe.epochs * recipe.steps(len(digits.train.labels)))
    run = train_into(folder / "model", digits, recipe=recipe, keep=True, workers=workers, on_step=progress.advance)
    training = training_section(run, folder)
    pictures = picture_section(run, digits, folder, progress)
    progress.stage("correlation by least squares", 1)
    self_supervision = gaussian_section(gaussian(seed=recipe.seed), folder)
    progress.advance()
    provenance = provenance_section(run, digits, study, arrays_name, time.perf_counter() - began)

    document = Document(
        "Self-attention, checked",
        Statement(
            "Multi-head self-attention in NumPy on arrays small enough to print, and what a vision transformer of "
            "{parameters:,} weights attends to in handwritten digits. Every number below was measured by the run that "
            "wrote it.",
            {"parameters": sum(array.size for array in run.params.values())},
        ),
        (attention, expressive, training, pictures, self_supervision, provenance),
    )
    return Report(document.save(folder), run.accuracy, run.tested_on)

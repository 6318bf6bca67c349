"""Build the report: every part in order, then one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from headwise.coursework.report.attention import attention_chapter
from headwise.coursework.report.context import Chapter, ReportContext
from headwise.coursework.report.gaussian import gaussian_chapter
from headwise.coursework.report.presets import BUDGETS, Budget
from headwise.coursework.report.provenance import provenance_section
from headwise.coursework.report.series import series_chapter
from headwise.coursework.report.vision import vision_chapter
from headwise.data.array_files import coursework_arrays
from headwise.data.mnist import Digits, load_bundled_mnist
from headwise.document import Document, print_page
from headwise.errors import DataError, MissingExtraError
from headwise.progress import NoProgress, Progress
from headwise.shapes import Array
from headwise.text import Statement

__all__ = ["PARTS", "Report", "build"]


class Part(NamedTuple):
    """One part of the report: the function that writes it, and the optional library and extra that it needs, if any."""

    write: Callable[[ReportContext], Chapter]
    needs: tuple[str, str] | None = None


PARTS = {
    "attention": Part(attention_chapter),
    "vision": Part(vision_chapter),
    "series": Part(series_chapter, ("aeon", "series")),
    "gaussian": Part(gaussian_chapter),
}


@dataclass(frozen=True)
class Report:
    """Where the report is, and its main results.

    Attributes
    ----------
    page : Path
        ``index.html``.
    pdf : Path or None
        The same as PDF, if a browser was available.
    headlines : tuple of Statement
    """

    page: Path
    pdf: Path | None
    headlines: tuple[Statement, ...]


def build(
    folder: Path,
    *,
    parts: Sequence[str] = tuple(PARTS),
    budget: Budget = BUDGETS["default"],
    arrays: Mapping[str, Array] | None = None,
    arrays_name: str = "our own, drawn at random and rounded, since those of the sheet's notebook are not to be had",
    load: Callable[[], Digits] = load_bundled_mnist,
    command: str = "headwise report",
    threads: int = 1,
    processes: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Run the experiments and write the report; results that are in the folder already are reused.

    Parameters
    ----------
    folder : Path
        Gets ``index.html``, ``report.pdf``, ``figures/``, ``tables/``, ``arrays/``, ``model/`` and ``studies/``.
    parts : sequence of str
        Keys of `PARTS`; they come in its order.
    budget : Budget
        How many seeds, epochs and samples.
    arrays : mapping, optional
        X, Wq, Wk, Wv (and Wo, biases) for the coursework; random ones by default.
    arrays_name : str
        Where they are from, for the reader.
    load : callable
        Returns the digits; the bundled ones by default.
    command : str
        The command that builds this report, for the provenance section.
    threads, processes : int
        Threads of this process, and processes for independent runs.
    progress : Progress, optional

    Returns
    -------
    Report

    Raises
    ------
    DataError
        If there is no such part.
    MissingExtraError
        If a part needs a library that is not installed.
    """
    _check(parts)
    context = ReportContext(
        folder, budget, arrays or coursework_arrays(), arrays_name, load, threads, processes, progress or NoProgress()
    )
    chapters: list[Chapter] = []
    seconds: dict[str, float] = {}
    chosen = [name for name in PARTS if name in parts]
    for i, name in enumerate(chosen, start=1):
        began = time.perf_counter()
        numbered = _Numbered(context.progress, f"{i}/{len(chosen)} {name}: ")
        chapters.append(PARTS[name].write(replace(context, progress=numbered)))
        seconds[name] = time.perf_counter() - began
    provenance = provenance_section(chapters, budget.name, command, seconds, str(len(PARTS) + 1))
    document = Document(
        "Self-attention, checked",
        (
            Statement(
                "Answers to an exercise sheet on self-attention, vision transformers, transformers for other data, and "
                "self-supervision."
            ),
            Statement(
                "Every number and every finding below was measured by the run that wrote this page, except where it is "
                "marked as quoted."
            ),
            _basis(budget, parts),
        ),
        tuple(statement for chapter in chapters for statement in chapter.headline),
        (*(chapter.section for chapter in chapters), provenance),
    )
    context.progress.stage("printing", 1)
    page, pdf = print_page(document, folder)
    context.progress.advance()
    return Report(page, pdf, document.abstract)


@dataclass(frozen=True)
class _Numbered:
    """Adds the number of the part to the title of every stage."""

    progress: Progress
    prefix: str

    def stage(self, title: str, total: int) -> None:
        self.progress.stage(self.prefix + title, total)

    def advance(self, note: str = "") -> None:
        self.progress.advance(note)


def _check(parts: Sequence[str]) -> None:
    """Raise an error before anything is written if a part cannot be built."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise DataError(f"part: expected {', '.join(PARTS)}; got {unknown[0]}.")
    for name in parts:
        needs = PARTS[name].needs
        if needs and find_spec(needs[0]) is None:
            raise MissingExtraError(f"the report's part on {name}", *needs)


def _basis(budget: Budget, parts: Sequence[str]) -> Statement:
    """Which report this is, and how many seeds it rests on."""
    kind = {
        "quick": "This is the quick report, a preview and not a result",
        "default": "This is the standard report",
        "full": "This is the full report",
    }.get(budget.name, "This is a report")
    counts = {
        "vision": f"{budget.tokenizers.seeds} seeds for each tokenizer",
        "series": f"{budget.series['seeds']} for each series classifier",
        "gaussian": f"{budget.samples} samples for each Gaussian estimate",
    }
    text = ", ".join(count for name, count in counts.items() if name in parts)
    return Statement(kind + (": {counts}; every figure states its own." if text else "."), {"counts": text})

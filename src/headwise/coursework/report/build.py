"""Building the report: the parts in order, then one page."""

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
    """One part of the report: what writes it, and the optional library and extra that it needs, if any."""

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
    """Where the report is, and what it found.

    Attributes
    ----------
    page : Path
        ``index.html``.
    pdf : Path or None
        The same printed, where there is a browser.
    headlines : tuple of Statement
    """

    page: Path
    pdf: Path | None
    headlines: tuple[Statement, ...]


def build(
    folder: Path,
    *,
    parts: Sequence[str] = tuple(PARTS),
    effort: Budget = BUDGETS["default"],
    arrays: Mapping[str, Array] | None = None,
    arrays_name: str = "our own, drawn at random and rounded, since those of the sheet's notebook are not to be had",
    load: Callable[[], Digits] = load_bundled_mnist,
    command: str = "headwise report",
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Run the studies and write the report.

    What was finished before in the same folder with the same ingredients is kept; what was interrupted goes on.

    Parameters
    ----------
    folder : Path
        Gets ``index.html``, ``report.pdf``, ``figures/``, ``tables/``, ``arrays/``, ``model/`` and ``studies/``.
    parts : sequence of str
        Keys of `PARTS`; they come in its order.
    effort : Effort
        How many seeds, epochs and samples.
    arrays : mapping, optional
        X, Wq, Wk, Wv (and Wo, biases) for the coursework; our own by default.
    arrays_name : str
        Where they are from, for the reader.
    load : callable
        Reads the digits; the bundled ones by default.
    command : str
        What makes this report, for the page of provenance.
    workers : int
        Threads, and processes for independent runs.
    progress : Progress, optional
        Told how far it is.

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
    desk = ReportContext(
        folder, effort, arrays or coursework_arrays(), arrays_name, load, workers, progress or NoProgress()
    )
    chapters: list[Chapter] = []
    seconds: dict[str, float] = {}
    chosen = [name for name in PARTS if name in parts]
    for i, name in enumerate(chosen, start=1):
        began = time.perf_counter()
        told = _Numbered(desk.progress, f"{i}/{len(chosen)} {name}: ")
        chapters.append(PARTS[name].write(replace(desk, progress=told)))
        seconds[name] = time.perf_counter() - began
    provenance = provenance_section(chapters, effort.name, command, seconds, str(len(PARTS) + 1))
    document = Document(
        "Self-attention, checked",
        (
            Statement(
                "Answers to an exercise sheet on self-attention, vision transformers, transformers for other data, and "
                "self-supervision."
            ),
            Statement(
                "Every number and every finding below was measured by the run that wrote this page, but for what is "
                "quoted and marked as quoted."
            ),
            _behind(effort, parts),
        ),
        tuple(statement for chapter in chapters for statement in chapter.headline),
        (*(chapter.section for chapter in chapters), provenance),
    )
    desk.progress.stage("printing", 1)
    page, pdf = print_page(document, folder)
    desk.progress.advance()
    return Report(page, pdf, document.abstract)


@dataclass(frozen=True)
class _Numbered:
    """Says of every stage which part of how many it belongs to."""

    progress: Progress
    before: str

    def stage(self, title: str, total: int) -> None:
        self.progress.stage(self.before + title, total)

    def advance(self, note: str = "") -> None:
        self.progress.advance(note)


def _check(parts: Sequence[str]) -> None:
    """Refuse what cannot be built before anything is written."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise DataError(f"part: expected {', '.join(PARTS)}; got {unknown[0]}.")
    for name in parts:
        needs = PARTS[name].needs
        if needs and find_spec(needs[0]) is None:
            raise MissingExtraError(f"the report's part on {name}", *needs)


def _behind(effort: Budget, parts: Sequence[str]) -> Statement:
    """Which report this is, and how much stands behind it."""
    kind = {
        "quick": "This is the quick report, a look and not a result",
        "default": "This is the standard report",
        "full": "This is the full report",
    }.get(effort.name, "This is a report")
    counts = {
        "vision": f"{effort.cuts.seeds} seeds for each way of cutting an image",
        "series": f"{effort.series.seeds} for each series classifier",
        "gaussian": f"{effort.samples} samples for each Gaussian estimate",
    }
    told = ", ".join(count for name, count in counts.items() if name in parts)
    return Statement(kind + (": {told}; every figure says what stands behind it." if told else "."), {"told": told})

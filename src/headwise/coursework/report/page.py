"""The page of the report while it grows: which part is run when, and what is on the page so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from headwise.coursework.report.attention import attention_chapter
from headwise.coursework.report.context import Chapter, ReportContext, run_experiments
from headwise.coursework.report.gaussian import gaussian_chapter
from headwise.coursework.report.series import series_chapter
from headwise.coursework.report.vision import train_and_draw, vision_chapter
from headwise.document import Document, Paragraph, Section
from headwise.parallel.tasks import background_tasks
from headwise.progress import NoProgress, Progress
from headwise.text import Statement


class Part(NamedTuple):
    """One part of the report."""

    write: Callable[..., Chapter]  # returns its chapter
    # shown while it is not finished
    heading: str
    number: str
    # of the time of the whole report, about, without the trainings of experiments; of a part with `first`, its share
    share: float
    experiments: float = 0.0  # the share of these trainings
    # returns what is on the first page, which `write` then takes as its second argument
    first: Callable[[ReportContext], Any] | None = None
    needs: tuple[str, str] | None = None  # the optional library and extra that it needs


PARTS = {
    "attention": Part(attention_chapter, "Computer assignment: multi-head self-attention", "1", 0.05),
    "vision": Part(vision_chapter, "Vision transformer", "2", 0.25, 0.38, train_and_draw),
    "series": Part(
        series_chapter, "Other kinds of data: time series and tables", "3", 0.02, 0.25, needs=("aeon", "series")
    ),
    "gaussian": Part(gaussian_chapter, "Self-supervision on a Gaussian", "4", 0.05),
}
_QUICK = ("attention", "gaussian")
TITLE = "Self-attention, checked"
SUBTITLE = (
    Statement(
        "Answers to an exercise sheet on self-attention, vision transformers, transformers for other data, and "
        "self-supervision."
    ),
    Statement(
        "Every number and every finding below was measured by the run that wrote this page, except where it is marked "
        "as quoted or recorded."
    ),
)
_UNFINISHED = Statement("This part is not finished; reload the page in a minute.")


@dataclass
class Page:
    """The page, and what is known so far."""

    context: ReportContext
    parts: tuple[str, ...]
    front: tuple[Section, ...]  # what comes before the first part
    chapters: dict[str, Chapter] = field(default_factory=dict)  # by part, those that are finished
    seconds: dict[str, float] = field(default_factory=dict)  # how long each took
    _waiting: dict[str, Callable[[], tuple[Chapter, float]]] = field(default_factory=dict)
    _share: float = 0.0  # of the work that is finished
    _first_page: bool = False
    _began: float = field(default_factory=time.perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def run(self) -> None:
        """Run every part; where there are several processes, what is independent side by side."""
        quick = [name for name in _QUICK if name in self.parts]
        longer = [name for name in self.parts if name not in _QUICK]
        parallel = self.context.parallel and bool(longer)
        if not parallel:
            for name in quick:
                self._run(name)
        with self._background(quick if parallel else []):
            first = {name: self._run_first(name, run) for name in longer if (run := PARTS[name].first)}
            self._collect()
        if parallel:
            run_experiments(self._numbered("experiments"), longer)
            self._share += sum(PARTS[name].experiments for name in longer)
        for name in longer:
            self._run(name, *first.get(name, ()))

    def document(self, current: str = "", section: Section | None = None) -> Document:
        """The page with what is finished, and with a section of a part that is not."""
        sections = []
        for name in self.parts:
            waiting = Section(name, PARTS[name].heading, (Paragraph(_UNFINISHED),), number=PARTS[name].number)
            chapter_section = self.chapters[name].section if name in self.chapters else waiting
            sections.append(section if section is not None and name == current else chapter_section)
        headlines = tuple(s for name in self.parts if name in self.chapters for s in self.chapters[name].headline)
        return Document(TITLE, (*SUBTITLE, _UNFINISHED), headlines, (*self.front, *sections))

    def _run(self, name: str, *first: Any) -> None:
        self._add(name, *_timed(name, self._numbered(name), *first))

    def _run_first(self, name: str, run: Callable[[ReportContext], Any]) -> tuple[Any]:
        """Run what a part has on the first page."""
        began = time.perf_counter()
        result = run(replace(self._numbered(name), preview=partial(self._preview, name)))
        self.seconds[name] = time.perf_counter() - began
        self._share += PARTS[name].share
        return (result,)

    def _preview(self, name: str, section: Section) -> None:
        """Write the page with the quick parts and a section of a part that is not finished."""
        self._collect()
        page = self.document(name, section).save(self.context.folder)
        if not self._first_page:
            self._first_page = True
            self.context.progress.message(f"The first page is written, after {self.elapsed:.0f} s: {page}")

    @contextmanager
    def _background(self, names: list[str]) -> Iterator[None]:
        """Run these parts in a separate process."""
        if not names:
            yield
            return
        context = replace(self.context, progress=NoProgress())
        tasks = {name: partial(_timed, name, context) for name in names}
        with background_tasks(tasks) as self._waiting:
            yield

    def _collect(self) -> None:
        """Wait for the parts in the background."""
        for name in list(self._waiting):
            self._add(name, *self._waiting.pop(name)())

    def _add(self, name: str, chapter: Chapter, seconds: float) -> None:
        """Write the page with a finished part."""
        self.chapters[name] = chapter
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        part = PARTS[name]
        self._share += (0 if part.first else part.share) + (0 if self.context.parallel else part.experiments)
        self.document().save(self.context.folder)

    def _numbered(self, name: str) -> ReportContext:
        """The context, whose stages have the part in their titles, and the time that the rest takes."""
        position = f"{len(self.chapters) + 1}/{len(self.parts)} " if name in self.parts else ""
        return replace(self.context, progress=_Numbered(self.context.progress, f"{position}{name}: ", self._remaining))

    def _remaining(self) -> str:
        """About how long the rest takes, from the shares of the parts and the time so far."""
        if not self._share:
            return ""
        total = sum(PARTS[name].share + PARTS[name].experiments for name in self.parts)
        left = (total - self._share) * self.elapsed / self._share
        return f"about {left / 60:.0f} min left, " if left >= 60 else "less than a minute left, "


def _timed(name: str, context: ReportContext, *first: Any) -> tuple[Chapter, float]:
    """A part's chapter, and the seconds that it took."""
    began = time.perf_counter()
    return PARTS[name].write(context, *first), time.perf_counter() - began


@dataclass(frozen=True)
class _Numbered:
    """Adds the number of the part, and the time that the rest takes, to the title of every stage."""

    progress: Progress
    prefix: str
    remaining: Callable[[], str]

    def stage(self, title: str, total: int) -> None:
        self.progress.stage(f"{self.prefix}{self.remaining()}{title}", total)

    def advance(self, note: str = "") -> None:
        self.progress.advance(note)

    def message(self, text: str) -> None:
        self.progress.message(text)

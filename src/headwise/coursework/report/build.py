"""Build the report: every part, one page that grows with them, and the worked solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headwise.coursework.notebook import CourseNotebook
from headwise.coursework.report.class_section import class_section
from headwise.coursework.report.context import ReportContext
from headwise.coursework.report.finished import finished_report, save_finished
from headwise.coursework.report.notebook import notebook_section
from headwise.coursework.report.page import PARTS, SUBTITLE, TITLE, Page
from headwise.coursework.report.presets import BUDGETS, Budget
from headwise.coursework.report.provenance import provenance_section
from headwise.coursework.results import coursework
from headwise.coursework.solution import write_solution
from headwise.data import Digits, coursework_arrays, load_bundled_mnist
from headwise.document import Document, Section, print_page
from headwise.errors import DataError, MissingExtraError
from headwise.progress import NoProgress, Progress
from headwise.shapes import Array
from headwise.text import Statement


@dataclass(frozen=True)
class Report:
    """Where the report is, and its main results."""

    page: Path  # ``index.html``
    pdf: Path | None  # the same as PDF, if a browser was available
    headlines: tuple[Statement, ...]
    solution: tuple[Path, ...] = ()  # the worked solution as a notebook, page, LaTeX and, with a browser, PDF


def build(
    folder: Path,
    *,
    parts: Sequence[str] = tuple(PARTS),
    budget: Budget = BUDGETS["default"],
    arrays: Mapping[str, Array] | None = None,
    arrays_name: str = "our own, drawn at random and rounded, since those of the sheet's notebook are not to be had",
    heads: int = 3,
    course: CourseNotebook | None = None,
    solutions: Path | None = None,
    load: Callable[[], Digits] = load_bundled_mnist,
    command: str = "headwise report",
    threads: int = 1,
    processes: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Run the experiments and write the report; results that are in the folder already are reused.

    The page is written again after each part, so that it can be read while the others run.

    `folder`: gets ``index.html``, ``report.pdf``, ``solution.ipynb`` (``.html``, ``.tex``, ``.pdf``), ``figures/``,
    ``tables/``, ``arrays/``, ``model/`` and ``studies/``.
    `parts`: keys of `PARTS`; they come in its order.
    `budget`: how many seeds, epochs and samples.
    `arrays`: X, Wq, Wk, Wv (and Wo, biases) for the coursework; random ones by default.
    `arrays_name`: where they are from, for the reader.
    `heads`: the number of heads that is compared with one.
    `course`: a course's notebook, whose arrays are used instead.
    `solutions`: a folder of submissions, whose answers are shown next to the right ones.
    `load`: returns the digits; the bundled ones by default.
    `command`: the command that builds this report, for the provenance section.
    `threads`, `processes`: threads of this process, and processes for independent runs.
    Raises DataError if there is no such part; ShapeError if the arrays do not fit one another; MissingExtraError if a
    part needs a library that is not installed.
    """
    _check(parts)
    if course is not None:
        arrays, heads, arrays_name = course.inputs.arrays, course.inputs.heads, f"those of {course.path.name}"
    arrays = arrays or coursework_arrays()
    context = ReportContext(
        *(folder, budget, arrays, arrays_name, load, threads, processes, progress or NoProgress()),
        heads=heads,
        inputs=course.inputs if course else None,
    )
    if "attention" in parts:
        coursework(arrays, heads=_heads(heads), seed=budget.seed)  # raises an error before anything is written
    key = (command, parts, vars(budget), arrays, heads, arrays_name, course, solutions, load)
    if (finished := finished_report(folder, key)) is not None:
        return Report(*finished)
    page = Page(context, tuple(name for name in PARTS if name in parts), _front(context, course, solutions))
    page.run()
    report = _finish(page, command, course)
    save_finished(folder, key, report.page, report.pdf, report.headlines, report.solution)
    return report


def _finish(page: Page, command: str, course: CourseNotebook | None) -> Report:
    """Write the complete page and its PDF, and the worked solution."""
    context, chapters = page.context, [page.chapters[name] for name in page.parts]
    number = str(len(PARTS) + 1)
    provenance = provenance_section(chapters, context.budget.name, command, page.seconds, page.elapsed, number)
    document = Document(
        TITLE,
        (*SUBTITLE, _basis(context.budget, page.parts)),
        tuple(statement for chapter in chapters for statement in chapter.headline),
        (*page.front, *(chapter.section for chapter in chapters), provenance),
        ("solution.html", "solution.ipynb"),
    )
    context.progress.stage("printing", 2)
    short = [section for chapter in chapters for section in chapter.short]
    study = None
    if "attention" in page.parts:
        study = coursework(context.arrays, heads=_heads(context.heads), seed=context.budget.seed)
    inputs = course.inputs if course else None
    front = page.front[:1] if course else ()
    subtitle = (
        *SUBTITLE[:1],
        Statement("The full account is in {file}, with the same numbers of sections.", {"file": "index.html"}),
    )
    solution = write_solution(context.folder, (*front, *short), subtitle, study, inputs)
    context.progress.advance()
    html, pdf = print_page(document, context.folder)
    context.progress.advance()
    return Report(html, pdf, document.abstract, tuple(solution))


def _front(context: ReportContext, course: CourseNotebook | None, solutions: Path | None) -> tuple[Section, ...]:
    """What comes before the first part."""
    return (
        *([notebook_section(course)] if course else []),
        *([class_section(solutions, context.arrays, context.heads, course)] if solutions else []),
    )


def _heads(heads: int) -> tuple[int, ...]:
    return (1, heads) if heads > 1 else (1,)


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

"""Build the report: every part, one page that grows with them, the answers of a class, and the worked solution.

A finished report is returned as it is, as long as nothing that it depends on has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import headwise
from headwise import __version__
from headwise.checker.catalogue import CATALOGUE
from headwise.coursework.class_grades import with_course_arrays, with_course_names
from headwise.coursework.notebook import CourseNotebook
from headwise.coursework.report.context import Chapter, ReportContext
from headwise.coursework.report.notebook import notebook_section
from headwise.coursework.report.page import PARTS, SUBTITLE, TITLE, Page
from headwise.coursework.report.presets import BUDGETS, Budget
from headwise.coursework.solution import hint_sections, write_solution
from headwise.data import Digits, coursework_arrays, load_bundled_mnist
from headwise.document import Document, Paragraph, Section, Table, browser, print_page
from headwise.errors import DataError, MissingExtraError
from headwise.files import write_text
from headwise.grading import Grade, TaskGrade, default_rubric, grade_class, read_class
from headwise.hashing import fingerprint
from headwise.progress import NoProgress, Progress
from headwise.runtime import blas_name, cpu_name, library_version
from headwise.shapes import Array
from headwise.text import Statement, as_text, pluralize

_SUBTITLE = (Statement("Questions, methods and checks; no answers."),)
_FILE = "report.json"
_LIBRARIES = ("numpy", "scipy", "numba", "matplotlib", "sympy", "mlxtend", "aeon", "safetensors", "dask")


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
        _ = context.coursework  # raises an error before anything is written
    key = (command, parts, vars(budget), arrays, heads, arrays_name, course, solutions, load)
    if (finished := finished_report(folder, key)) is not None:
        return finished
    page = Page(context, tuple(name for name in PARTS if name in parts), _front(context, course, solutions))
    page.run()
    report = _finish(page, command, course)
    save_finished(folder, key, report)
    return report


def _finish(page: Page, command: str, course: CourseNotebook | None) -> Report:
    """Write the complete page and its PDF, and the worked solution."""
    context, chapters = page.context, [page.chapters[name] for name in page.parts]
    number = str(len(PARTS) + 1)
    provenance = _provenance(chapters, context.budget.name, command, page.seconds, page.elapsed, number)
    headlines = tuple(statement for chapter in chapters for statement in chapter.headline)
    sections = (*page.front, *(chapter.section for chapter in chapters), provenance)
    basis = (*SUBTITLE, _basis(context.budget, page.parts))
    document = Document(TITLE, basis, headlines, sections, ("solution.html", "solution.ipynb"))
    context.progress.stage("printing", 2)
    short = [section for chapter in chapters for section in chapter.short]
    study = context.coursework if "attention" in page.parts else None
    inputs = course.inputs if course else None
    front = page.front[:1] if course else ()
    account = Statement("The full account is in {file}, with the same numbers of sections.", {"file": "index.html"})
    solution = write_solution(context.folder, (*front, *short), (SUBTITLE[0], account), study, inputs)
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


def _check(parts: Sequence[str]) -> None:
    """Raise an error before anything is written if a part cannot be built."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise DataError(f"part: expected {', '.join(PARTS)}; got {unknown[0]}.")
    for name in parts:
        needs = PARTS[name].needs
        if needs and find_spec(needs[0]) is None:
            raise MissingExtraError(f"the report's part on {name}", *needs)


def _provenance(
    chapters: Sequence[Chapter], budget: str, command: str, seconds: dict[str, float], total: float, number: str
) -> Section:
    """Versions, seeds, data with checksums, the command, and the time each part took."""
    values = {"budget": "standard" if budget == "default" else budget, "command": command}
    return Section(
        "provenance",
        "Provenance",
        (
            Paragraph(
                Statement("This is the {budget} report. The command “{command}” reproduces it.", values),
                Statement(
                    "On the same processor with the same libraries it is the same byte for byte, except for the "
                    "times; elsewhere the last bits of sums can differ, and with them the trained models. Runs "
                    "that were finished in the same folder are reused, so the times below are for the rest."
                ),
            ),
            Table(
                Statement("Inputs of each part."),
                ("input", "value"),
                tuple(row for chapter in chapters for row in chapter.inputs),
                "provenance",
                words=True,
            ),
            Table(Statement("Machine and software."), ("item", "value"), _software(), "versions"),
            Table(
                Statement("Time of each part, and from beginning to end; parts can run at the same time."),
                ("part", "seconds"),
                tuple((part, f"{time:.0f} s") for part, time in {**seconds, "total": total}.items()),
                "times",
            ),
        ),
        number=number,
    )


def _software() -> tuple[tuple[str, str], ...]:
    """The processor, and the versions of Headwise, Python and the libraries."""
    return (
        ("Headwise", __version__),
        ("Python", platform.python_version()),
        ("processor", cpu_name()),
        ("BLAS", blas_name()),
        *((library, version) for library in _LIBRARIES if (version := library_version(library))),
    )


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


def class_section(folder: Path, arrays: Mapping[str, Array], heads: int, course: CourseNotebook | None) -> Section:
    """Every submission's functions, graded in the sandbox: what each returned, and what is right.

    Each function is also called with the course's arrays and numbers of heads; a course's notebook names what
    submissions may define.
    """
    submissions = read_class(folder)
    rubric = with_course_names(default_rubric(), course) if course else default_rubric()
    graded = grade_class(submissions, rubric, processes=os.cpu_count() or 1)
    grades = with_course_arrays(graded, submissions, arrays, heads)
    rows = tuple(_row(grade, task) for grade in grades.grades for task in grade.tasks)
    right = sum(task.verdict is not None and task.verdict.ok for grade in grades.grades for task in grade.tasks)
    summary = Statement(
        "{students} of {folder}: {right} of {tasks} functions are right. For a wrong one, the smallest input that "
        "shows it is given with the right output and the submission's.",
        {
            "students": pluralize(len(grades.grades), "submission"),
            "folder": folder.name,
            "right": right,
            "tasks": len(rows),
        },
    )
    columns = ("student", "function", "verdict", "on the course's arrays", "input", "right", "submitted")
    table = Table(Statement("Answers of the class."), columns, rows, "class", words=True)
    return Section("class", "The class's answers", (Paragraph(summary), table))


def _row(grade: Grade, task: TaskGrade) -> tuple[str, ...]:
    if task.verdict is None or task.problem:
        return grade.student, task.task, task.problem or "not checked", "", "", "", ""
    example = task.verdict.example
    verdict = "right" if task.verdict.ok else " ".join(CATALOGUE[code].title for code in task.verdict.mistakes)
    if task.verdict.ok or example is None:
        return grade.student, task.task, verdict, task.on_course_arrays, "", "", ""
    inputs = "; ".join(f"{name} = {value}" for name, value in example.inputs)
    return grade.student, task.task, verdict, task.on_course_arrays, inputs, example.expected, example.got


def finished_report(folder: Path, key: Sequence[Any]) -> Report | None:
    """The report with this key, if all its files are there."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        paths = [folder / name for name in content["files"]]
        if content["key"] != _digest(key) or not all(path.is_file() for path in paths):
            return None
        headlines = tuple(Statement("{text}", {"text": text}) for text in content["headlines"])
        pdf = folder / content["pdf"] if content["pdf"] else None
        return Report(folder / content["page"], pdf, headlines, tuple(folder / name for name in content["solution"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save_finished(folder: Path, key: Sequence[Any], report: Report) -> None:
    """Record what a report depends on, and its files."""
    files = [path for part in ("figures", "tables", "arrays", "model") for path in (folder / part).glob("*")]
    files += [report.page, *report.solution, *([report.pdf] if report.pdf else [])]
    content = {
        "key": _digest(key),
        "files": sorted(str(path.relative_to(folder)) for path in files),
        "page": report.page.name,
        "pdf": report.pdf.name if report.pdf else "",
        "solution": [path.name for path in report.solution],
        "headlines": [as_text(statement) for statement in report.headlines],
    }
    write_text(folder / _FILE, json.dumps(content, ensure_ascii=False) + "\n")


def _digest(key: Sequence[Any]) -> str:
    """A digest of everything that a report depends on; arrays by their bytes, files by their content."""
    parts = [str(_software()), _sources(), str(browser()), *(_describe(item) for item in key)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _sources() -> str:
    """A digest of the package's own files, so that a page is not that of an older version of the code."""
    digest, package = hashlib.sha256(), Path(headwise.__file__).parent
    for path in sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _describe(item: Any) -> str:
    if isinstance(item, Path):
        files = sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
        return " ".join(f"{path}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)
    if isinstance(item, dict) and item and all(hasattr(value, "shape") for value in item.values()):
        return f"{list(item)} {fingerprint(*item.values())}"
    if isinstance(item, CourseNotebook):  # its arrays are in the key
        return f"{item.inputs.findings} {item.inputs.assumptions} {item.functions} {item.failures} {item.notes}"
    if hasattr(item, "func"):
        return f"{item.func.__qualname__} {[_describe(argument) for argument in item.args]}"
    return getattr(item, "__qualname__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(item))


def write_hints(folder: Path, parts: Sequence[str], course: CourseNotebook | None) -> list[Path]:
    """Write ``hints.ipynb``, ``.html``, ``.tex`` and, with a browser, ``.pdf``."""
    front = (notebook_section(course),) if course else ()
    sections = (*front, *hint_sections(tuple(parts)))
    return write_solution(folder, sections, _SUBTITLE, None, None, "hints", "Hints")

"""Write the worked solution: an executed notebook, a page, LaTeX, and a PDF if there is a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headwise.coursework.notebook import NotebookArrays
from headwise.coursework.results import Coursework
from headwise.coursework.solution.code import execute, functions_code, run_code, swap_code, why_code
from headwise.coursework.solution.notation import Notation
from headwise.document import (
    Document,
    NotebookCell,
    Section,
    Table,
    as_latex_document,
    markdown_cells,
    notebook_json,
    print_page,
)
from headwise.files import write_text
from headwise.text import Statement, as_markdown

NAME = "solution"


def write_solution(
    folder: Path,
    sections: Sequence[Section],
    subtitle: tuple[Statement, ...],
    study: Coursework | None,
    inputs: NotebookArrays | None,
    name: str = NAME,
    title: str = "Worked solution",
) -> list[Path]:
    """Write ``solution.ipynb``, ``.html``, ``.tex`` and ``.pdf``.

    `folder`: the report's folder.
    `sections`: the short answers; those of the first part have the anchors of `solution_cells`.
    `study`: the results of the first part; without it the notebook has no code.
    `inputs`: arrays in the notation of a course's notebook.
    `name`, `title`: of the files, and of the document.
    """
    document = Document(title, subtitle, (), tuple(sections), files=(f"{name}.ipynb", f"{name}.tex"))
    write_text(folder / f"{name}.tex", as_latex_document(document))
    cells = [NotebookCell(f"# {title}\n\n{' '.join(map(as_markdown, subtitle))}")]
    cells += solution_cells(sections, study, inputs, folder)
    write_text(folder / f"{name}.ipynb", notebook_json(cells))
    page, pdf = print_page(document, folder, f"{name}.pdf", f"{name}.html")
    return [folder / f"{name}.ipynb", page, folder / f"{name}.tex", *([pdf] if pdf else [])]


def solution_cells(
    sections: Sequence[Section], study: Coursework | None, inputs: NotebookArrays | None, folder: Path
) -> list[NotebookCell]:
    """The sections as Markdown, with the code of the first part in the course's notation before its answers."""
    code: dict[str, NotebookCell] = {}
    if study is not None:
        notation = Notation.of(study.arrays, inputs)
        sources = {
            "short-arrays": notation.definitions(study.arrays),
            "short-functions": functions_code(notation),
            "short-runs": run_code(study, notation),
            "short-swap": swap_code(study, notation),
        }
        if len(study.runs) > 1:
            sources["short-difference"] = why_code(study, notation)
        code = dict(zip(sources, execute(list(sources.values()), folder), strict=True))
    cells: list[NotebookCell] = []
    for section in sections:
        if section.anchor in code:  # whose output has the tables, in the course's orientation
            blocks = tuple(block for block in section.blocks if not isinstance(block, Table))
            section = replace(section, blocks=blocks)
        cells += markdown_cells(section)
        if section.anchor == "short-functions" and code:
            cells.append(code["short-arrays"])
        if section.anchor in code:
            cells.append(code[section.anchor])
    return cells

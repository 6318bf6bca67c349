"""Write the worked solution (an executed notebook, a page, LaTeX, and a PDF if there is a browser) or only hints.

The answers are code in the course's notation, and what it prints.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from headwise.coursework.notebook import NotebookArrays
from headwise.coursework.results import Coursework
from headwise.coursework.solution.notation import Notation
from headwise.document import (
    Document,
    NotebookCell,
    Paragraph,
    Section,
    Table,
    as_latex_document,
    markdown_cells,
    notebook_json,
    print_page,
)
from headwise.errors import require_extra
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
            sources["short-difference"] = why_code(study)
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


def attention_lines(notation: Notation) -> str:
    """Self-attention in six lines."""
    n, columns = notation.names, notation.columns

    def project(role: str) -> str:
        product = _product(notation, n[f"W{role}"], n["X"])
        return product + (f" + {n[f'b{role}']}" if f"b{role}" in n else "")

    logits = "K.T @ Q / np.sqrt(len(Q))" if columns else "Q @ K.T / np.sqrt(Q.shape[1])"
    axis = 0 if columns else 1
    return f"""Q = {project("q")}
K = {project("k")}
V = {project("v")}
S = {logits}
A = np.exp(S - S.max(axis={axis}, keepdims=True))
A = A / A.sum(axis={axis}, keepdims=True)"""


def functions_code(notation: Notation) -> str:
    """The two functions; weights are returned with a row for each output."""
    n, columns = notation.names, notation.columns
    roles = [role for role in ("Wq", "Wk", "Wv", "bq", "bk", "bv") if role in n]
    parameters = ", ".join([n["X"], *(n[role] for role in roles)])
    body = "\n".join(f"    {line}" for line in attention_lines(notation).splitlines())
    returned = "V @ A, A.T" if columns else "A @ V, A"
    matrices, biases = (", ".join(n[r] for r in roles if r.startswith(letter)) for letter in "Wb")
    split = f"[np.split(W, H, axis={int(notation.in_out)}) for W in ({matrices})]"
    split += f" + [np.split(b, H) for b in ({biases})]" if biases else ""
    final = "concatenated"
    if "Wo" in n:
        final = _product(notation, n["Wo"], final) + (f" + {n['bo']}" if "bo" in n else "")
    extra = "".join(f", {n[role]}" for role in ("Wo", "bo") if role in n)
    return f'''def self_attention({parameters}):
    """Output and weights; row n of the weights says what output n takes from each input."""
{body}
    return {returned}


def multi_head_attention({parameters}{extra}, H):
    """The rows of the matrices are divided among H heads."""
    parts = {split}
    heads = [self_attention({n["X"]}, *own) for own in zip(*parts)]
    concatenated = np.concatenate([output for output, _ in heads], axis={0 if columns else 1})
    return {final}, [weights for _, weights in heads]'''


def run_code(study: Coursework, notation: Notation) -> str:
    """Outputs and weights for every number of heads."""
    return f"""results = {{H: multi_head_attention({_arguments(notation)}, H) for H in {_heads(study)}}}
for H, (output, weights) in results.items():
    print(f"H = {{H}}, output:\\n{{output}}")
    for h, matrix in enumerate(weights):
        print(f"attention weights of head {{h}}:\\n{{matrix}}")"""


def swap_code(study: Coursework, notation: Notation) -> str:
    """Two inputs change places."""
    x, (a, b) = notation.names["X"], study.swap
    take = f"{x}[:, order]" if notation.columns else f"{x}[order]"
    moved = "output[:, order]" if notation.columns else "output[order]"
    return f"""order = np.arange({study.tokens})
order[[{a}, {b}]] = {b}, {a}
for H in {_heads(study)}:
    output, weights = results[H]
    swapped, moved = multi_head_attention({_arguments(notation, take)}, H)
    print(f"H = {{H}}: outputs permuted alike to {{np.abs(swapped - {moved}).max():.1e}}, "
          f"weights to {{max(np.abs(m - w[order][:, order]).max() for m, w in zip(moved, weights)):.1e}}")"""


def why_code(study: Coursework) -> str:
    """The single head's weights are the product of the heads' weights to the power of one over the root of H."""
    h = study.runs[-1].heads
    return f"""single, several = results[1][1][0], np.array(results[{h}][1])
product = np.exp(np.log(np.maximum(several, 1e-300)).sum(axis=0) / np.sqrt({h}))
product = product / product.sum(axis=1, keepdims=True)
print(f"product rule holds to {{np.abs(product - single).max():.1e}}")
print(f"outputs differ by up to {{np.abs(results[1][0] - results[{h}][0]).max():.4f}}")"""


def execute(sources: Sequence[str], folder: Path) -> Iterator[NotebookCell]:
    """Run the cells one after the other in one namespace, and keep what each prints."""
    namespace: dict[str, Any] = {}
    for source in sources:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.chdir(folder), np.printoptions():
            exec(source, namespace)  # code that was written above
        yield NotebookCell(source, True, printed.getvalue())


def hint_sections(parts: tuple[str, ...]) -> tuple[Section, ...]:
    """A section for each question of these parts of the report."""
    with require_extra("the sheet without answers", "PyYAML", "lab"):
        import yaml
    questions = yaml.safe_load((files("headwise.coursework.solution") / "hints.yaml").read_text(encoding="utf-8"))
    return tuple(
        Section(
            f"hint-{part}-{i}",
            hint["heading"],
            tuple(
                Paragraph(Statement("{label}: {text}", {"label": name.capitalize(), "text": hint[name]}))
                for name in ("question", "method", "check")
            ),
        )
        for part in questions
        if part in parts
        for i, hint in enumerate(questions[part], 1)
    )


def _product(notation: Notation, matrix: str, tokens: str) -> str:
    """A matrix applied to every token, in the course's orientation."""
    if notation.columns:
        return f"{matrix}{'.T' if notation.in_out else ''} @ {tokens}"
    return f"{tokens} @ {matrix}{'' if notation.in_out else '.T'}"


def _heads(study: Coursework) -> str:
    return f"({', '.join(str(run.heads) for run in study.runs)},)"


def _arguments(notation: Notation, x: str = "") -> str:
    roles = ("Wq", "Wk", "Wv", "bq", "bk", "bv", "Wo", "bo")
    return ", ".join([x or notation.names["X"], *(notation.names[role] for role in roles if role in notation.names)])

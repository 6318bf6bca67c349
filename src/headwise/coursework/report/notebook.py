"""What was found in a course's notebook: its arrays, what was assumed about them, and its functions."""

from __future__ import annotations

from headwise.coursework.notebook import CourseNotebook, FunctionResult
from headwise.document import Block, Code, Paragraph, Section, Table
from headwise.text import Statement, capitalize_first, scientific


def notebook_section(course: CourseNotebook) -> Section:
    """A table of the arrays, the assumptions, and the verdict on each function."""
    inputs = course.inputs
    rows = tuple((item.name, " × ".join(map(str, item.shape)), item.role, item.orientation) for item in inputs.findings)
    blocks: list[Block] = [
        Table(
            Statement("Arrays of {file}.", {"file": course.path.name}),
            ("name", "shape", "role", "orientation"),
            rows,
            "notebook-arrays",
            words=True,
        ),
        Paragraph(*_remarks(course)),
    ]
    if course.functions:
        blocks.append(_functions(course))
        blocks += [
            Code(Statement("What the checker says about {name}", {"name": item.checked.name}), item.checked.report())
            for item in course.functions
            if (verdict := item.checked.verdict) and not (verdict.ok or item.comparison.zeros or _fits_only_here(item))
        ]
    return Section("notebook", f"What was found in {course.path.name}", tuple(blocks))


def _remarks(course: CourseNotebook) -> list[Statement]:
    inputs = course.inputs
    remarks = [
        Statement(
            "The report uses H = {heads} next to one head, tokens as rows and matrices (out, in); the worked solution "
            "keeps the notebook's names and orientation.",
            {"heads": inputs.heads},
        )
    ]
    if inputs.reason:
        remarks.append(Statement("What shows the orientation: {reason}.", {"reason": inputs.reason}))
    remarks += [Statement("Assumed: {text}", {"text": text}) for text in inputs.assumptions]
    remarks += [
        Statement(
            "Cell {cell} failed at “{line}” ({error}); the rest ran.",
            {"cell": item.cell, "line": item.line, "error": item.error},
        )
        for item in course.failures
    ]
    remarks += [Statement("{note}.", {"note": capitalize_first(note)}) for note in course.notes]
    if not course.functions:
        remarks.append(Statement("It defines no function that can be called as attention."))
    return remarks


def _functions(course: CourseNotebook) -> Table:
    rows = tuple((item.checked.name, _verdict(item), item.comparison.description) for item in course.functions)
    return Table(
        Statement("Functions of the notebook: the checker's verdict on random inputs, and the notebook's own arrays."),
        ("function", "verdict", "on the notebook's arrays"),
        rows,
        "notebook-functions",
        words=True,
    )


def _fits_only_here(item: FunctionResult) -> bool:
    """Whether it is right on the notebook's arrays, and what it does otherwise has no name."""
    return item.comparison.agrees and item.checked.verdict is not None and item.checked.verdict.mistakes == ("unknown",)


def _verdict(item: FunctionResult) -> str:
    verdict = item.checked.verdict
    if verdict is None:
        return "not checked: its arguments are of no known form"
    if item.comparison.zeros:
        return "not written yet: it returns zeros only"
    if _fits_only_here(item):
        uses = f": it uses the notebook's {' and '.join(item.checked.sizes)}" if item.checked.sizes else ""
        return f"right for these arrays, but not for inputs of other sizes{uses}"
    if verdict.ok:
        text = f"right: it agrees with the library to {scientific(verdict.difference)}, which is rounding"
        return text + (f" (hazards: {', '.join(verdict.hazards)})" if verdict.hazards else "")
    return f"wrong: {', '.join(verdict.mistakes)}"

"""The worked solution of the exercise sheet in the course's own notation, and hints without answers."""

from headwise.coursework.solution.notation import Notation
from headwise.coursework.solution.write import (
    attention_lines,
    functions_code,
    hint_sections,
    solution_cells,
    write_solution,
)

__all__ = ["Notation", "attention_lines", "functions_code", "hint_sections", "solution_cells", "write_solution"]

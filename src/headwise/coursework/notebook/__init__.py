"""Course notebooks: run in a sandbox, their arrays identified, their functions checked."""

from headwise.coursework.notebook.arrays import ArrayOptions, NotebookArrays, find_arrays
from headwise.coursework.notebook.comparison import OutputComparison, compare_on_arrays
from headwise.coursework.notebook.course import CourseNotebook, FunctionResult, read_course, read_functions
from headwise.coursework.notebook.functions import CheckedFunction, check_functions
from headwise.coursework.notebook.run import NotebookRun, run_notebook

__all__ = [
    "ArrayOptions",
    "CheckedFunction",
    "CourseNotebook",
    "FunctionResult",
    "NotebookArrays",
    "NotebookRun",
    "OutputComparison",
    "check_functions",
    "compare_on_arrays",
    "find_arrays",
    "read_course",
    "read_functions",
    "run_notebook",
]

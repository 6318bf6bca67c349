"""Course notebooks: run in a sandbox, their arrays identified, their functions checked."""

from headwise.coursework.notebook.arrays import ArrayOptions, NotebookArrays, find_arrays
from headwise.coursework.notebook.course import CourseNotebook, FunctionResult, read_course
from headwise.coursework.notebook.functions import CheckedFunction, OwnArrays, check_functions, compare_on_arrays
from headwise.coursework.notebook.run import NotebookRun, run_notebook

__all__ = [
    "ArrayOptions",
    "CheckedFunction",
    "CourseNotebook",
    "FunctionResult",
    "NotebookArrays",
    "NotebookRun",
    "OwnArrays",
    "check_functions",
    "compare_on_arrays",
    "find_arrays",
    "read_course",
    "run_notebook",
]

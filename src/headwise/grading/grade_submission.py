"""Grade one submission: run it in a sandbox, check its functions, count the points."""

from __future__ import annotations

import ast
import builtins
import copy
import math
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headwise.checker import UncallableError, Verdict, check
from headwise.checker.arguments.roles import role_of
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.modules import is_module
from headwise.checker.modules.own_heads import take_heads
from headwise.checker.modules.sizes_of_file import code_for, roles_of_sizes
from headwise.checker.probes import PROBES
from headwise.checker.user_code.notebooks import name_cells
from headwise.errors import DataError
from headwise.grading.class_stand_in import class_stand_in, is_class
from headwise.grading.column_lists import define_column_list_adapter
from headwise.grading.rubric import PROPERTIES, Rubric, Task
from headwise.grading.sandbox import Proxy, Sandbox, SubmissionError, printable
from headwise.grading.signature import names_from_outside, statements
from headwise.grading.submissions import Submission, definitions, describe_definitions, find_function, uses_torch

_ARRAYS = ("X", "Wq", "Wk", "Wv", "Wo", "Wqkv")  # that a function takes as arguments
CHECK_SECONDS = 60.0  # for the checker's own work on one task; it takes a twentieth of that


@dataclass(frozen=True, slots=True)
class Mark:
    """The points for one property: earned, possible, and the reason if not all were earned."""

    property: str
    description: str
    points: float
    out_of: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskGrade:
    """The grade of one task.

    Attributes
    ----------
    task : str
        The task's name.
    function : str
        The name of the function; empty if it was not found.
    marks : tuple of Mark
        One for each property, in the rubric's order.
    verdict : Verdict or None
        From the checker; None if it could not run.
    problem : str
        What prevented the task from being graded; empty if nothing did.
    file, source : str
        The name of the file that defines it, and its text.
    failed : tuple of (int, str)
        Lines of the file that raised an error when it was run, with the error.
    unconfined : tuple of str
        What this system could not confine while it ran.
    on_course_arrays : str
        How its result for a course's arrays compares with the library's, in words; empty without such arrays.
    """

    task: str
    function: str
    marks: tuple[Mark, ...]
    verdict: Verdict | None = None
    problem: str = ""
    file: str = ""
    source: str = ""
    failed: tuple[tuple[int, str], ...] = ()
    unconfined: tuple[str, ...] = ()
    on_course_arrays: str = ""

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self) -> float:
        """Points possible."""
        return sum(mark.out_of for mark in self.marks)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Codes of the mistakes and hazards; empty if the task was not graded."""
        return (*self.verdict.mistakes, *self.verdict.hazards) if self.verdict and not self.problem else ()


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of one submission."""

    student: str
    tasks: tuple[TaskGrade, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(task.points for task in self.tasks)

    @property
    def out_of(self) -> float:
        """Points possible."""
        return sum(task.out_of for task in self.tasks)


def grade_submission(submission: Submission, rubric: Rubric, seed: int) -> Grade:
    """Grade one submission; whatever it does costs points but raises no error."""
    tasks = tuple(_grade_task(submission, task, rubric, np.random.default_rng(seed)) for task in rubric.tasks)
    notes = [*submission.notes]
    if not all(task.function for task in tasks) and (names := describe_definitions(submission)):
        notes.append(f"the code defines {names}")
    for task in tasks:
        failed = (f"{task.file}, line {line}, did not run: {message}" for line, message in task.failed)
        notes += [name_cells(task.source, note) for note in failed]
    return Grade(submission.student, tasks, tuple(dict.fromkeys(notes)))


def _grade_task(submission: Submission, task: Task, rubric: Rubric, rng: np.random.Generator) -> TaskGrade:
    location = find_function(submission, task.function)
    no_marks = tuple(Mark(name, PROPERTIES[name], 0.0, out_of) for name, out_of in task.points.items())
    if location is None:
        missing = f"there is no function {' or '.join(task.function[:3])}"
        problem = missing if submission.files else "; ".join(submission.notes) or missing
        return TaskGrade(task.name, "", no_marks, problem=problem)
    file, name = location
    try:
        with Sandbox(submission.files, file, rubric.limits) as box:
            verdict, problem, source = None, "", submission.files[file]
            try:
                with _deadline(rubric.limits.seconds_in_all + CHECK_SECONDS):
                    verdict = _check(box, submission, location, task, rng)
            except _OutOfTimeError:
                problem = "its check did not finish; grade it by hand"
            except (UncallableError, DataError) as error:
                problem = name_cells(source, _with_variables(_describe_refusal(error), source, name))
            except Exception as error:  # a failure of the checker itself is reported, so that a person grades the task
                problem = f"it could not be checked: {type(error).__name__}: {printable(error)}"
            marks = tuple(_mark(task, name, verdict, box.end) for name in task.points) if verdict else no_marks
            problem = box.end or _definition_failure(box, source, name) or problem
            return TaskGrade(task.name, name, marks, verdict, problem, file, source, box.failed, box.unconfined)
    except (SubmissionError, OSError) as error:
        return TaskGrade(task.name, name, no_marks, problem=str(error), file=file)


def _check(
    box: Sandbox, submission: Submission, location: tuple[str, str], task: Task, rng: np.random.Generator
) -> Verdict:
    """The checker's verdict on a class, or on a function in the first of its forms that suits the task."""
    file, name = location
    source = submission.files[file]
    if is_class(source, name):
        with class_stand_in(box, submission.files, file, name) as cls:
            if not is_module(cls):
                raise DataError(f"{name} has no method forward or __call__.")
            verdict = check(cls, task.kind, convention=task.conventions, rng=rng)
        if task.kind == "multi_head" and any(phrase.startswith("one head") for phrase in verdict.phrases):
            raise DataError(f"{name} has one head, and the task is about several.")
        if "norm-added" in verdict.mistakes and uses_torch(source):  # which may be the class's own, by design
            raise DataError(f"{name} normalises its tokens or its output; grade it by hand.")
        return verdict
    errors: list[tuple[bool, UncallableError | DataError]] = []
    verdicts: list[Verdict] = []
    for forms in (_forms, _forms_for_any_sizes):
        found = _first_verdict(forms(box, name, source, task), source, task, rng, errors)
        verdicts += [found] if found else []
        if found and found.ok:
            return found
    if not verdicts:
        raise max(errors, key=_informativeness)[1]
    return min(verdicts, key=lambda verdict: verdict.rank)


def _first_verdict(
    forms: Iterator[tuple[Proxy, str]],
    source: str,
    task: Task,
    rng: np.random.Generator,
    errors: list[tuple[bool, UncallableError | DataError]],
) -> Verdict | None:
    """The verdict on the first form of a function that suits the task; the refusals of others are added to `errors`."""
    for function, kind in forms:
        try:
            verdict = check(function, kind, convention=task.conventions, source=source, rng=rng)
            if task.kind in ("auto", verdict.kind):
                return verdict
        except (UncallableError, DataError) as error:
            errors.append((function.tensors, error))
    return None


def _informativeness(refusal: tuple[bool, UncallableError | DataError]) -> tuple[bool, bool, bool]:
    """How much a refusal says: what a function does says most, and what a call raises more than its signature.

    Arrays for a function of tensors fail for another reason.
    """
    of_tensors, error = refusal
    return isinstance(error, DataError), of_tensors, bool(getattr(error, "error", ""))


def _describe_refusal(error: UncallableError | DataError) -> str:
    if isinstance(error, DataError):  # without what a caller of the checker could do about it
        reason = re.sub(
            r" (Give it|Give its arguments|To check only its attention): .*", "", str(error), flags=re.DOTALL
        )
        return printable(f"it could not be checked: {reason.replace('SubmissionError: ', '')}")
    if not error.error:
        return printable(f"it could not be called: {str(error).splitlines()[0].removeprefix('function: ')}")
    message = re.sub(r"^(AnswerError|SubmissionError): ", "", error.error).replace("Error: (line", "Error (line")
    return printable(f"it could not be called as {error.called_as}: {message}")


def _definition_failure(box: Sandbox, source: str, name: str) -> str:
    """Why there is no function of this name once the file has run, if the statement that defines it failed last."""
    lines = [node.lineno for node in ast.parse(source).body if name in definitions(ast.unparse(node))]
    error = dict(box.failed).get(lines[-1]) if lines else None
    return name_cells(source, f"its definition in line {lines[-1]} did not run: {error}") if error else ""


def _with_variables(problem: str, source: str, name: str) -> str:
    """Why a function is refused, and which tokens and matrices it takes from variables of its file."""
    functions = {node.name: node for node in statements(source) if isinstance(node, ast.FunctionDef)}
    read = set(names_from_outside(functions[name], functions) if name in functions else []) - vars(builtins).keys()
    arrays = sorted((n for n in read if role_of(n) in _ARRAYS), key=lambda n: (_ARRAYS.index(str(role_of(n))), n))
    variables = f" It takes {', '.join(arrays)} from variables of the file; make them arguments."
    return f"{problem.rstrip('.')}.{variables}" if arrays else problem


def _forms(box: Sandbox, name: str, source: str, task: Task) -> Iterator[tuple[Proxy, str]]:
    """The function with arrays, with torch's tensors and with a list of columns, and the kind that it may be."""
    for tensors in (False, True) if uses_torch(source) else (False,):
        for kind in dict.fromkeys((task.kind, "auto")):  # such as a list of matrices, and no number of heads
            if not box.end:
                yield box.function(name, tensors=tensors), kind
    definition = None if box.end else _definition(source, name)
    if definition and (adapter := define_column_list_adapter(box, definition)):
        yield box.function(adapter, title=name), task.kind


def _forms_for_any_sizes(box: Sandbox, name: str, source: str, task: Task) -> Iterator[tuple[Proxy, str]]:
    """The function for other sizes than those of an example, if it has such."""
    definition = None if box.end else _definition(source, name)
    if definition and (adapted := _define_for_any_sizes(box, definition, source, task.kind)):
        yield box.function(adapted, tensors=uses_torch(source), title=name), task.kind


def _definition(source: str, name: str) -> ast.FunctionDef | None:
    """The last definition of a function."""
    defined = [node for node in statements(source) if isinstance(node, ast.FunctionDef) and node.name == name]
    return defined[-1] if defined else None


def _define_for_any_sizes(box: Sandbox, definition: ast.FunctionDef, source: str, kind: str) -> str | None:
    """Define a function for other sizes than those of its file; its name, or None if it has no such sizes.

    The number of heads that it sets itself becomes an argument, and other sizes those of its arguments.
    """
    name, functions = f"{definition.name}_of_heads", {definition.name: definition}
    functions |= {node.name: node for node in statements(source) if isinstance(node, ast.FunctionDef)}
    if definition.decorator_list or not (definition.args.posonlyargs or definition.args.args):
        return None
    try:
        read = set(names_from_outside(definition, functions))
        values = box.values()
        numbers = {n: value for n, value in values.items() if n in read and type(value) is int}
        if roles := roles_of_sizes(numbers, values):
            heads = next((numbers[n] for n, role in roles.items() if role == "heads"), None)
            if heads is not None and kind == "self_attention":
                return None
            box.define(code_for(roles, definition, heads, name))
            return name
        changed = copy.deepcopy(definition)
        if kind != "self_attention" and take_heads(changed, numbers):
            changed.name = name
            box.define(f"\n\n{ast.unparse(changed)}\n")
            return name
    except SubmissionError:  # of what stands in its arguments
        return None
    return None


class _OutOfTimeError(KeyboardInterrupt):
    """An interruption, as the checker takes every other exception for the submission's."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the block after a number of seconds: a source can be written so that searching it here takes forever.

    Signals reach only the main thread, in which worker processes grade; in another thread there is no deadline.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: object) -> None:
        raise _OutOfTimeError

    previous = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _mark(task: Task, name: str, verdict: Verdict, end: str) -> Mark:
    out_of = task.points[name]
    if name == "right":
        points, reason = _right(task, verdict, end)
    else:
        holds, reason = _holds(name, verdict)
        points = out_of if holds else 0.0
    return Mark(name, PROPERTIES[name], points, out_of, reason)


def _right(task: Task, verdict: Verdict, end: str) -> tuple[float, str]:
    """All points, or what remains after the deductions for the mistakes if each has one."""
    worth = task.points["right"]
    if end:
        return 0.0, end
    deductions = {code: task.mistakes.get(code, worth) for code in verdict.mistakes}
    deductions |= {code: task.mistakes[code] for code in verdict.hazards if code in task.mistakes}
    return max(worth - sum(deductions.values()), 0.0), " ".join(CATALOGUE[code].title for code in deductions)


def _holds(name: str, verdict: Verdict) -> tuple[bool, str]:
    """Whether a property holds, and if not, what was observed."""
    if name == "runs":
        return (True, "") if verdict.inputs else (False, "it returned no result for any input")
    for item in verdict.properties:
        if item.name == name:
            return bool(item.holds), "" if item.holds else item.description
    if name not in PROBES:
        return False, "this could not be tested"
    tried = [probe for probe in verdict.probes if probe.name == name and probe.inputs]
    if any(probe.agrees is None for probe in tried):
        return False, "it returned no result for these inputs"
    if not all(probe.agrees for probe in tried):
        worst = max(probe.difference for probe in tried)
        off = f"it is off by {worst:.1g}, relative to the largest output"
        return False, off if math.isfinite(worst) else "another shape came back, or NaN"
    return bool(tried), "" if tried else "it takes no such input"

"""One submission against a rubric: run it apart, have it checked, count the points."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headwise.checker import UncallableError, Verdict, check
from headwise.checker.catalogue import CATALOGUE
from headwise.grading.rubric import FACTS, PROPERTIES, Rubric, Task
from headwise.grading.sandbox import Sandbox, SubmissionError, printable
from headwise.grading.submissions import Submission, defining

__all__ = ["Grade", "Mark", "TaskGrade", "grade_submission"]

_CHECKING = 60.0  # seconds for the checker's own work on one task, twenty times what it takes


@dataclass(frozen=True, slots=True)
class Mark:
    """The points of one property: what it is, what was earned of how much, and why not all."""

    property: str
    says: str
    points: float
    out_of: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class TaskGrade:
    """How a submission did on one task.

    Attributes
    ----------
    task : str
        The task's name.
    function : str
        The name under which the function was found; empty where it was not.
    marks : tuple of Mark
        One a property, in the rubric's order.
    verdict : Verdict or None
        What the checker said; None where it could not be asked.
    problem : str
        What kept the task from being judged to the end; empty where nothing did.
    file : str
        The file that it was found in.
    failed : tuple of (int, str)
        Lines of the file that raised when it was run, and what they said.
    open_doors : tuple of str
        What this system could not confine while it ran.
    """

    task: str
    function: str
    marks: tuple[Mark, ...]
    verdict: Verdict | None = None
    problem: str = ""
    file: str = ""
    failed: tuple[tuple[int, str], ...] = ()
    open_doors: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """What was earned."""
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self) -> float:
        """What could be earned."""
        return sum(mark.out_of for mark in self.marks)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The mistakes and hazards that were named; none where the task was not judged to the end."""
        return (*self.verdict.mistakes, *self.verdict.hazards) if self.verdict and not self.problem else ()


@dataclass(frozen=True, slots=True)
class Grade:
    """How a submission did."""

    student: str
    tasks: tuple[TaskGrade, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """What was earned."""
        return sum(task.points for task in self.tasks)

    @property
    def out_of(self) -> float:
        """What could be earned."""
        return sum(task.out_of for task in self.tasks)


def grade_submission(submission: Submission, rubric: Rubric, seed: int) -> Grade:
    """Grade one submission; whatever it does costs points and raises nothing."""
    tasks = tuple(_judge_task(submission, task, rubric, np.random.default_rng(seed)) for task in rubric.tasks)
    failed = (f"{t.file}, line {line}, did not run: {says}" for t in tasks for line, says in t.failed)
    return Grade(submission.student, tasks, tuple(dict.fromkeys([*submission.notes, *failed])))


def _judge_task(submission: Submission, task: Task, rubric: Rubric, rng: np.random.Generator) -> TaskGrade:
    found = defining(submission, task.function)
    nothing = tuple(Mark(name, PROPERTIES[name], 0.0, out_of) for name, out_of in task.points.items())
    if found is None:
        wanted = " or ".join(task.function[:3])
        return TaskGrade(task.name, "", nothing, problem=f"there is no function {wanted}")
    file, name = found
    try:
        with Sandbox(submission.files, file, rubric.limits) as box:
            verdict, problem = None, ""
            try:
                with _deadline(rubric.limits.seconds_in_all + _CHECKING):
                    function, source = box.function(name), submission.files[file]
                    verdict = check(function, task.kind, convention=task.conventions, source=source, rng=rng)
            except _OutOfTimeError:
                problem = "its check did not come to an end; look at it by hand"
            except UncallableError as error:
                problem = f"it could not be called: {box.said or printable(error)}"
            except Exception as error:  # the checker's own failure is for a person to look at, not for a traceback
                problem = f"it could not be checked: {type(error).__name__}: {printable(error)}"
            marks = tuple(_mark(task, each, verdict, box.end) for each in task.points) if verdict else nothing
            return TaskGrade(task.name, name, marks, verdict, box.end or problem, file, box.failed, box.open_doors)
    except (SubmissionError, OSError) as error:
        return TaskGrade(task.name, name, nothing, problem=str(error), file=file)


class _OutOfTimeError(BaseException):
    """Not an `Exception`, which a checker may take for the submission's."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the block when it takes longer: the source is read here too, and can be made to take for ever to search.

    Signals reach the main thread only, where a worker process does its work; elsewhere there is no deadline.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: object) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _mark(task: Task, name: str, verdict: Verdict, end: str) -> Mark:
    out_of = task.points[name]
    if name == "right":
        points, why = _right(task, verdict, end)
    else:
        earned, why = _holds(name, verdict)
        points = out_of if earned else 0.0
    return Mark(name, PROPERTIES[name], points, out_of, why)


def _right(task: Task, verdict: Verdict, end: str) -> tuple[float, str]:
    """All of it, or what the named mistakes leave of it where each has a price."""
    worth = task.points["right"]
    if end:
        return 0.0, end
    prices = {code: task.mistakes.get(code, worth) for code in verdict.mistakes}
    prices |= {code: task.mistakes[code] for code in verdict.hazards if code in task.mistakes}
    return max(worth - sum(prices.values()), 0.0), " ".join(CATALOGUE[code].title for code in prices)


def _holds(name: str, verdict: Verdict) -> tuple[bool, str]:
    """Whether a property holds, and if it does not, what was seen."""
    if name == "runs":
        return (True, "") if verdict.inputs else (False, "it answered none of the inputs")
    for fact in verdict.properties:
        if fact.name == name:
            return bool(fact.holds), "" if fact.holds else fact.description
    if name in FACTS:
        return False, "this could not be tested"
    tried = [each for each in verdict.probes if each.name == name and each.inputs]
    if any(each.agrees is None for each in tried):
        return False, "it did not answer these inputs"
    if not all(each.agrees for each in tried):
        worst = max(each.difference for each in tried)
        off = f"it is off by {worst:.1g}, relative to the largest output"
        return False, off if math.isfinite(worst) else "another shape came back, or NaN"
    return bool(tried), "" if tried else "it takes no such input"

"""One submission against a rubric: run it apart, have it checked, count the points."""

from __future__ import annotations

from dataclasses import dataclass

from headwise.check import Verdict, check
from headwise.check.catalogue import CATALOGUE
from headwise.studies.grading.rubric import PROPERTIES, Rubric, Task
from headwise.studies.grading.sandbox import Sandbox, SubmissionError
from headwise.studies.grading.submissions import Submission, defining

__all__ = ["Grade", "Mark", "TaskGrade", "judge"]


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
    notes : tuple of str
        What else a reader should know.
    source : str
        The text of the file that was run.
    open_doors : tuple of str
        What this system could not confine while it ran.
    """

    task: str
    function: str
    marks: tuple[Mark, ...]
    verdict: Verdict | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()
    source: str = ""
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
        """The mistakes that were named; none where the task was not judged to the end."""
        return self.verdict.mistakes if self.verdict and not self.problem else ()


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


def judge(submission: Submission, rubric: Rubric) -> Grade:
    """Grade one submission; whatever it does costs points and raises nothing."""
    tasks = tuple(_judge_task(submission, task, rubric) for task in rubric.tasks)
    return Grade(submission.student, tasks, tuple(submission.notes))


def _judge_task(submission: Submission, task: Task, rubric: Rubric) -> TaskGrade:
    found = defining(submission, task.function)
    if found is None:
        wanted = " or ".join(f"`{name}`" for name in task.function[:3])
        return _nothing(task, "", f"no function {wanted} was found")
    file, function = found
    source = submission.files[file]
    try:
        with Sandbox(submission.files, file, rubric.limits) as box:
            notes = tuple(f"line {line} failed when the file was run: {says}" for line, says in box.failed)
            try:
                verdict = check(box.function(function), task.kind, source=source)
            except Exception as error:  # what the checker cannot take is for a person to look at, not for a traceback
                problem = box.end or f"could not be checked ({type(error).__name__}: {error})"
                return _nothing(task, function, problem, notes)
            marks = tuple(_mark(task, name, verdict, box.end) for name in task.points)
            return TaskGrade(task.name, function, marks, verdict, box.end, notes, source, box.open_doors)
    except SubmissionError as error:
        return _nothing(task, function, str(error))


def _nothing(task: Task, function: str, problem: str, notes: tuple[str, ...] = ()) -> TaskGrade:
    marks = tuple(Mark(name, PROPERTIES[name], 0.0, out_of) for name, out_of in task.points.items())
    return TaskGrade(task.name, function, marks, problem=problem, notes=notes)


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
    if verdict.ok and not end:
        return worth, ""
    if end:
        return 0.0, f"it {end}"
    left = (
        max(worth - sum(task.mistakes.get(code, worth) for code in verdict.mistakes), 0.0) if verdict.mistakes else 0.0
    )
    return left, " ".join(CATALOGUE[code].title for code in verdict.mistakes if code in CATALOGUE)


def _holds(name: str, verdict: Verdict) -> tuple[bool, str]:
    """Whether a property holds, and if it does not, what was seen."""
    if name == "runs":
        return (True, "") if verdict.inputs else (False, "it answered none of the inputs")
    for fact in verdict.facts:
        if fact.name == name:
            return bool(fact.holds), "" if fact.holds else fact.says
    tried = [each for each in verdict.tried if each.name == name and each.inputs]
    if any(each.agrees is None for each in tried):
        return False, "it did not answer these inputs"
    if not all(each.agrees for each in tried):
        worst = max(each.difference for each in tried)
        return False, f"it is off by {worst:.1g}, relative to the largest output"
    return bool(tried), "" if tried else "it takes no such input"

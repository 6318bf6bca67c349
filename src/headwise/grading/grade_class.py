"""A whole class: every submission judged, on as many cores as asked, in an order that does not depend on them."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TypeAlias

from headwise.grading.grade_submission import Grade, grade_submission
from headwise.grading.rubric import Rubric
from headwise.grading.submissions import Submission

__all__ = ["ClassGrades", "Group", "grade_class"]

Judge: TypeAlias = Callable[[Submission], Grade]


@dataclass(frozen=True, slots=True)
class Group:
    """Students whose solutions of one task are wrong in the same way.

    Attributes
    ----------
    task : str
        The task's name.
    mistakes : tuple of str
        The mistakes that were named, if any.
    problem : str
        What kept them from being judged, if anything.
    students : tuple of str
        Who.
    """

    task: str
    mistakes: tuple[str, ...]
    problem: str
    students: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassGrades:
    """The grades of a class, in the order of the students' names."""

    rubric: Rubric
    grades: tuple[Grade, ...]

    @property
    def open_doors(self) -> tuple[str, ...]:
        """What this system could not confine while the submissions ran."""
        doors = {door for grade in self.grades for task in grade.tasks for door in task.open_doors}
        return tuple(sorted(doors))

    def groups(self) -> tuple[Group, ...]:
        """Solutions that are wrong in the same way, the largest group of each task first.

        What no entry of the catalogue explains is grouped by what it answers to the smallest example.
        """
        together: dict[tuple[str, tuple[str, ...], str, str], list[str]] = {}
        for grade in self.grades:
            for task in grade.tasks:
                if task.problem or task.mistakes:
                    example = task.verdict.example if task.verdict and task.mistakes == ("unknown",) else None
                    key = (task.task, task.mistakes, task.problem, example.got if example else "")
                    together.setdefault(key, []).append(grade.student)
        order = {task.name: place for place, task in enumerate(self.rubric.tasks)}
        groups = [Group(*key[:3], tuple(students)) for key, students in together.items()]
        return tuple(sorted(groups, key=lambda g: (order[g.task], -len(g.students), g.mistakes, g.problem)))


def grade_class(
    submissions: Sequence[Submission],
    rubric: Rubric,
    *,
    jobs: int | None = None,
    seed: int | None = None,
    on_each: Callable[[Grade], None] = lambda grade: None,
) -> ClassGrades:
    """Grade every submission.

    Each is judged by a process that holds the reference and runs in another that does not; see
    `headwise.grading.sandbox`.

    Parameters
    ----------
    submissions : sequence of Submission
        From `read_class`.
    rubric : Rubric
        From `read_rubric`, or `default_rubric`.
    jobs : int, optional
        How many to judge at a time; by default one a core.
    seed : int, optional
        What the inputs are drawn from; by default it comes from the submissions themselves, so that the same class gets
        the same inputs and nobody can know them before.
    on_each : callable
        Called with each grade as it comes, in any order.

    Returns
    -------
    ClassGrades
        The same, whatever the number of jobs.
    """
    judged = partial(grade_submission, rubric=rubric, seed=_seed(submissions) if seed is None else seed)
    jobs = min(jobs or os.cpu_count() or 1, len(submissions))
    grades: dict[str, Grade] = {}
    left = list(submissions)
    try:
        for grade in _judged(judged, left, jobs):
            grades[grade.student] = grade
            on_each(grade)
    except (
        BrokenProcessPool
    ):  # a judge died, of lack of memory perhaps: the rest one by one, so that each pays for itself
        for submission in left:
            if submission.student not in grades:
                grades[submission.student] = grade = _alone(judged, submission)
                on_each(grade)
    return ClassGrades(rubric, tuple(grades[submission.student] for submission in submissions))


def _alone(judged: Judge, submission: Submission) -> Grade:
    try:
        return next(_judged(judged, [submission], 1))
    except BrokenProcessPool:
        note = "the grader itself ended while it judged this one: look at it by hand"
        return judged(Submission(submission.student, {}, [*submission.notes, note]))


def _judged(judged: Judge, submissions: Sequence[Submission], jobs: int) -> Iterator[Grade]:
    with _pool(jobs) as pool:
        futures: list[Future[Grade]] = [pool.submit(judged, each) for each in submissions]
        for future in as_completed(futures):
            yield future.result()


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that end at once when the block is left by an exception, Ctrl-C among them."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise


def _seed(submissions: Sequence[Submission]) -> int:
    """A number that every byte of every submission has a part in."""
    handed_in = json.dumps([[each.student, each.files] for each in submissions], sort_keys=True)
    return int.from_bytes(sha256(handed_in.encode()).digest()[:8], "big")


def _start_worker() -> None:
    """Leave Ctrl-C to the process that the workers work for, and take one core each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)

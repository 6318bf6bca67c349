"""Grade a class: every submission in a worker process, with results that do not depend on how many there are."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, TypeAlias

from headwise.grading.grade_submission import Grade, grade_submission
from headwise.grading.rubric import Rubric
from headwise.grading.submissions import Submission
from headwise.parallel.tasks import run_tasks
from headwise.validation import check_counts

Grader: TypeAlias = Callable[[Submission], Grade]


@dataclass(frozen=True, slots=True)
class Group:
    """Students with the same mistakes in one task.

    Attributes
    ----------
    task : str
        The task's name.
    mistakes : tuple of str
        Codes of the mistakes, if any.
    problem : str
        What prevented grading, if anything.
    students : tuple of str
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
    def unconfined(self) -> tuple[str, ...]:
        """What this system could not confine while the submissions ran."""
        return tuple(sorted({item for grade in self.grades for task in grade.tasks for item in task.unconfined}))

    def groups(self) -> tuple[Group, ...]:
        """Solutions with the same mistakes, the largest group of each task first.

        Unknown mistakes are grouped by the output for the counterexample.
        """
        groups: dict[tuple[str, tuple[str, ...], str, str], list[str]] = {}
        for grade in self.grades:
            for task in grade.tasks:
                if task.problem or task.mistakes:
                    example = task.verdict.example if task.verdict and task.mistakes == ("unknown",) else None
                    key = (task.task, task.mistakes, task.problem, example.got if example else "")
                    groups.setdefault(key, []).append(grade.student)
        order = {task.name: i for i, task in enumerate(self.rubric.tasks)}
        result = [Group(*key[:3], tuple(students)) for key, students in groups.items()]
        return tuple(sorted(result, key=lambda g: (order[g.task], -len(g.students), g.mistakes, g.problem)))


def grade_class(
    submissions: Sequence[Submission],
    rubric: Rubric,
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
    on_grade: Callable[[Grade], None] = lambda grade: None,
) -> ClassGrades:
    """Grade every submission.

    A submission runs in a separate process, which does not contain the reference; see `headwise.grading.sandbox`.

    Parameters
    ----------
    submissions : sequence of Submission
        From `read_class`.
    rubric : Rubric
        From `read_rubric`, or `default_rubric`.
    processes : int, optional
        How many submissions to grade at the same time; one for each core by default.
    scheduler : str, optional
        Address of a Dask scheduler whose workers to use instead, such as ``"tcp://10.0.0.1:8786"``.
    seed : int, optional
        Random seed for the inputs; by default it is derived from the submissions, so that the same class gets the same
        inputs and students cannot know them in advance.
    on_grade : callable
        Called with each grade, in any order.

    Returns
    -------
    ClassGrades
        It does not depend on the number of processes.
    """
    grader = partial(grade_submission, rubric=rubric, seed=derive_seed(submissions) if seed is None else seed)
    processes = (os.cpu_count() or 1) if processes is None else processes
    check_counts(processes=processes)
    grades: dict[str, Grade] = {}
    for grade in _on_scheduler(grader, submissions, scheduler) if scheduler else _here(grader, submissions, processes):
        grades[grade.student] = grade
        on_grade(grade)
    return ClassGrades(rubric, tuple(grades[submission.student] for submission in submissions))


def _here(grader: Grader, submissions: Sequence[Submission], processes: int) -> Iterator[Grade]:
    """Grade in worker processes; if one dies, grade the rest one by one, so that only its submission is affected."""
    graded = set()
    try:
        for grade in _in_pool(grader, submissions, min(processes, len(submissions))):
            graded.add(grade.student)
            yield grade
    except BrokenProcessPool:
        for submission in submissions:
            if submission.student not in graded:
                yield _alone(grader, submission)


def _on_scheduler(grader: Grader, submissions: Sequence[Submission], scheduler: str) -> Iterator[Grade]:
    """Grade on the workers of a Dask scheduler, each submission in a process whose main thread can be interrupted."""
    tasks = {f"grade-{submission.student}": partial(_in_process, grader, submission) for submission in submissions}
    for _, grade in run_tasks(tasks, scheduler=scheduler):
        yield grade


def _in_process(grader: Grader, submission: Submission) -> Grade:
    """Grade in a new Python process, since the processes of Dask's workers may not have children."""
    command = [sys.executable, "-c", _CHILD]
    completed = subprocess.run(command, input=pickle.dumps((grader, submission)), capture_output=True)
    if completed.returncode:
        return grader(_ungraded(submission))
    grade: Grade = pickle.loads(completed.stdout)
    return grade


_CHILD = "import pickle, sys; f, x = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(pickle.dumps(f(x)))"


def _alone(grader: Grader, submission: Submission) -> Grade:
    try:
        return next(_in_pool(grader, [submission], 1))
    except BrokenProcessPool:
        return grader(_ungraded(submission))


def _ungraded(submission: Submission) -> Submission:
    """The same submission without files, and a note that its grader's process died."""
    note = "the grader itself ended while it graded this submission: grade it by hand"
    return Submission(submission.student, {}, [*submission.notes, note])


def _in_pool(grader: Grader, submissions: Sequence[Submission], processes: int) -> Iterator[Grade]:
    with _pool(processes) as pool:
        with _without_program():
            futures: list[Future[Grade]] = [pool.submit(grader, submission) for submission in submissions]
        for future in as_completed(futures):
            yield future.result()


@contextmanager
def _without_program() -> Iterator[None]:
    """Let processes that start not import the program that grades: a script would grade again in each of them."""
    program = vars(sys.modules["__main__"])
    before: dict[str, Any] = {name: program[name] for name in ("__file__", "__spec__") if name in program}
    program.update(dict.fromkeys(before))
    try:
        yield
    finally:
        program.update(before)


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are terminated when the block ends with an exception, such as Ctrl-C."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise


def derive_seed(submissions: Sequence[Submission]) -> int:
    """A number that depends on every byte of every submission."""
    content = json.dumps([[submission.student, submission.files] for submission in submissions], sort_keys=True)
    return int.from_bytes(sha256(content.encode()).digest()[:8], "big")


def _start_worker() -> None:
    """Leave Ctrl-C to the main process, and use one core in each worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)

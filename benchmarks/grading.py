"""How long a class of 200 takes to grade: the sample class over and over, five of it endless.

Run `python benchmarks/grading.py`.
"""

import tempfile
import time
from itertools import cycle
from pathlib import Path

from headwise.grading import default_rubric, grade_class, read_class
from headwise.parallel.threads import num_threads

CLASS = Path(__file__).parents[1] / "examples/class"
ENDLESS = CLASS / "emil.py"
STUDENTS, NEVER_END = 200, 5


def main() -> None:
    ending = cycle(sorted(path for path in CLASS.glob("*.py") if path != ENDLESS))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(STUDENTS):
            source = ENDLESS if i < NEVER_END else next(ending)
            (Path(folder) / f"student{i:03d}.py").write_text(source.read_text())
        submissions = read_class(Path(folder))
        began = time.perf_counter()
        grades = grade_class(submissions, default_rubric(), processes=num_threads())
        seconds = time.perf_counter() - began
    right = sum(not task.problem and not task.mistakes for each in grades.grades for task in each.tasks)
    tasks = sum(len(each.tasks) for each in grades.grades)
    print(
        f"{len(grades.grades)} submissions, {tasks} tasks, {right} of them right: "
        f"{seconds:.0f} s, {num_threads()} at a time"
    )


if __name__ == "__main__":
    main()

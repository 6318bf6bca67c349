"""A class from folder to files: what is named, what it is worth, and what nobody can change."""

import importlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headwise.checker import Example, Verdict
from headwise.coursework.class_grades import with_course_arrays
from headwise.grading.feedback import student_page, write_feedback
from headwise.grading.grade_class import ClassGrades, derive_seed, grade_class
from headwise.grading.grade_submission import Grade, TaskGrade, grade_submission
from headwise.grading.rubric import Rubric, Task, default_rubric
from headwise.grading.sandbox import Limits
from headwise.grading.submissions import Submission
from headwise.grading.tables import as_json, plain_table
from helpers.processes import PATIENCE, restore_sigint, wait_until

HEAD = "import numpy as np\n"
RIGHT = """
def self_attention(X, Wq, Wk, Wv):
    Q, K, V = X @ Wq.T, X @ Wk.T, X @ Wv.T
    S = Q @ K.T / np.sqrt(Q.shape[1])
    P = np.exp(S - S.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True) @ V
"""
UNSCALED = RIGHT.replace(" / np.sqrt(Q.shape[1])", "")
TASK = Task(
    "One head",
    ("self_attention",),
    "self_attention",
    {"runs": 1, "rows-sum-to-one": 2, "depends-on-mask": 1, "plain": 3, "mask": 1, "right": 4},
    {"scale-missing": 1},
)
RUBRIC = Rubric("Sheet", (TASK,), Limits(seconds_per_call=2, seconds_in_all=20))

# Each tries something, and otherwise forgets the scale: so each should get what `UNSCALED` gets, or nothing.
WRONG = UNSCALED.replace("self_attention", "wrong")
CHEATS = {
    "patches allclose": """
np.allclose = np.array_equal = np.isclose = np.testing.assert_allclose = lambda *a, **k: True
self_attention = wrong""",
    "equals everything": """
class Yes(np.ndarray):
    __eq__ = lambda self, other: True
    __array_ufunc__ = lambda self, *a, **k: True
def self_attention(X, Wq, Wk, Wv):
    return wrong(X, Wq, Wk, Wv).view(Yes)""",
    "patches headwise": """
import sys
try:
    import headwise.checker
    headwise.checker.check = print
except Exception:
    sys.modules["headwise"] = sys.modules["headwise.checker"] = np
self_attention = wrong""",
    "reads the stack": """
import sys
def self_attention(X, Wq, Wk, Wv):
    frame = sys._getframe()
    while frame := frame.f_back:
        for name, value in {**frame.f_globals, **frame.f_locals}.items():
            if "reference" in name or "expected" in name or "multi_head_attention" in name:
                return value(X, Wq, Wk, Wv)
    return wrong(X, Wq, Wk, Wv)""",
    "empties the inputs": """
def self_attention(X, Wq, Wk, Wv):
    answer = wrong(X, Wq, Wk, Wv)
    for a in (X, Wq, Wk, Wv):
        a[...] = 0
    return answer""",
    "writes the grades": """
def self_attention(X, Wq, Wk, Wv):
    try:
        open({folder!r} + "/grades.csv", "w").write("student,points\\ncheat,100")
    except OSError:
        return wrong(X, Wq, Wk, Wv)""",
    "runs another's": """
try:
    exec(open({folder!r} + "/ada.py").read())
except OSError:
    self_attention = wrong""",
    "forges an answer": """
import os
def self_attention(X, Wq, Wk, Wv):
    for fd in range(3, 64):
        try: os.write(fd, b"\\0\\0\\0\\1T" * 99)
        except OSError: pass
    return wrong(X, Wq, Wk, Wv)""",
    "leaves late": """
import atexit, os
atexit.register(lambda: os._exit(0))
def self_attention(X, Wq, Wk, Wv):
    raise SystemExit(0)""",
}


def submission(name, source):
    return Submission(name, {f"{name}.py": HEAD + source})


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A right solution among all the cheats, graded once."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "grades.csv").write_text("untouched")
    (folder / "ada.py").write_text(HEAD + RIGHT)
    place = repr(str(folder))
    cheats = [submission(name, WRONG + source.replace("{folder!r}", place)) for name, source in CHEATS.items()]
    handed_in = [submission("ada", RIGHT), submission("bo", UNSCALED), submission("hana", UNSCALED + "\n"), *cheats]
    return folder, grade_class(handed_in, RUBRIC, processes=2)


def of(grades, student):
    return next(grade for grade in grades.grades if grade.student == student)


@pytest.mark.xdist_group("graded")
def test_points_by_property(graded):
    ada, bo = of(graded[1], "ada"), of(graded[1], "bo")
    assert {mark.property: mark.points for mark in ada.tasks[0].marks} == {
        "runs": 1,
        "rows-sum-to-one": 2,
        "depends-on-mask": 0,  # it takes none
        "plain": 3,
        "mask": 0,
        "right": 4,
    }
    assert [(mark.property, mark.points) for mark in bo.tasks[0].marks if mark.points != mark.out_of] == [
        ("depends-on-mask", 0),
        ("plain", 0),
        ("mask", 0),
        ("right", 3),  # 4, less the price of a missing scale
    ]
    assert bo.tasks[0].mistakes == ("scale-missing",)


@pytest.mark.xdist_group("graded")
@pytest.mark.sampled
@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_gains_nothing(graded, name):
    folder, grades = graded
    task = of(grades, name).tasks[0]
    assert task.problem or "scale-missing" in task.mistakes
    assert task.points <= of(grades, "bo").points
    assert (folder / "grades.csv").read_text() == "untouched"
    assert not grades.unconfined


@pytest.mark.xdist_group("graded")
def test_the_same_mistake_is_grouped(graded):
    groups = graded[1].groups()
    assert groups[0].mistakes == ("scale-missing",)
    assert {"bo", "hana"} <= set(groups[0].students)
    assert "ada" not in {student for group in groups for student in group.students}


def test_unknown_mistakes_are_grouped_by_what_they_answer():
    def unknown(student, got):
        verdict = Verdict(
            "f", "self_attention", "", False, ("unknown",), (), (), (), (), 1, 0.5, (), Example((), "[[1.]]", got)
        )
        return Grade(student, (TaskGrade("One head", "f", (), verdict),))

    grades = ClassGrades(RUBRIC, (unknown("a", "[[2.]]"), unknown("b", "[[3.]]"), unknown("c", "[[2.]]")))
    assert [group.students for group in grades.groups()] == [("a", "c"), ("b",)]


@pytest.mark.xdist_group("graded")
@pytest.mark.exhaustive
def test_the_number_of_processes_changes_no_byte(graded, tmp_path):
    handed_in = [
        submission("ada", RIGHT),
        submission("bo", UNSCALED),
        submission("c", "x = 1"),
        submission("d", "1 / 0"),
    ]
    for processes in (1, 3):
        grades = grade_class(handed_in, RUBRIC, processes=processes)
        write_feedback(grades, tmp_path / str(processes))
        (tmp_path / str(processes) / "all.json").write_text(as_json(grades) + plain_table(grades))
    one, three = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (tmp_path / "1", tmp_path / "3"))
    assert one == three
    assert len(one) == 1 + 1 + 2 * 4


def test_a_script_needs_no_guard(tmp_path):
    (tmp_path / "main.py").write_text(
        "from headwise.grading import Submission, default_rubric, grade_class\n"
        "print(grade_class([Submission('ada', {'a.py': 'x = 1'})], default_rubric()).grades[0].tasks[0].problem)\n"
        "print(__file__)\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "main.py"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.startswith("there is no function")
    assert done.stdout.endswith(f"{tmp_path / 'main.py'}\n")
    assert not done.stderr


def test_the_inputs_come_from_everything_handed_in():
    handed_in = [submission("a", "x"), submission("b", "y")]
    assert derive_seed(handed_in) == derive_seed(handed_in[:])
    assert (
        len({derive_seed(handed_in), derive_seed(handed_in[:1]), derive_seed([handed_in[0], submission("b", "z")])})
        == 3
    )
    seen = {grade_class([submission("bo", UNSCALED)], RUBRIC, seed=s).grades[0].tasks[0].verdict.probes for s in (1, 2)}
    assert len(seen) == 2


@pytest.mark.exhaustive
def test_a_judge_that_dies_costs_nobody_else():
    handed_in = [submission(name, UNSCALED) for name in "abcd"]
    killed = []

    def kill_a_judge(grade):
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    grades = grade_class(handed_in, RUBRIC, processes=2, on_grade=kill_a_judge)
    assert [grade.points for grade in grades.grades] == [6] * 4


@pytest.mark.filterwarnings("ignore")  # what the sockets of a closed scheduler report
@pytest.mark.exhaustive  # as with any number of processes
def test_on_a_scheduler_the_grades_are_the_same():
    distributed = pytest.importorskip("distributed")
    submissions = [submission(name, UNSCALED) for name in "ab"]
    with distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        grades = grade_class(submissions, RUBRIC, scheduler=cluster.scheduler_address)
    assert as_json(grades) == as_json(grade_class(submissions, RUBRIC, processes=1))


SLOW = """
import sys, time
from headwise.grading.grade_class import grade_class
from headwise.grading.rubric import default_rubric
from headwise.grading.submissions import Submission
if __name__ == "__main__":
    slow = "print('began', flush=True)\\nwhile True: pass\\ndef self_attention(X, Wq, Wk, Wv): pass"
    print("ready", flush=True)
    grade_class([Submission("a", {"a.py": slow}), Submission("b", {"b.py": slow})], default_rubric(), processes=2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_ctrl_c_ends_everything_at_once(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, script], preexec_fn=restore_sigint, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    wait_until(lambda: len(descendants(process.pid)) >= 4)  # two judges, two submissions
    family = descendants(process.pid)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode
    assert errors.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not any(map(alive, family)))


def descendants(root):
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


HEADS_IN_LISTS = """
import numpy as np
def multi_head_attention(X, WQs, WKs, WVs):
    heads = []
    for WQ, WK, WV in zip(WQs, WKs, WVs):
        logits = (X @ WQ) @ (X @ WK).T / SCALE
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        heads.append(weights / weights.sum(axis=1, keepdims=True) @ X @ WV)
    return np.hstack(heads)
"""
TENSORS = """
import torch
def multi_head_attention(X, WQ, WK, WV, heads):
    q, k, v = ((X @ W).unflatten(-1, (heads, -1)).transpose(0, 1) for W in (WQ, WK, WV))
    weights = torch.softmax(q @ k.transpose(-2, -1) / SCALE, dim=-1)
    return (weights @ v).transpose(0, 1).flatten(1)
"""


@pytest.mark.parametrize(
    ("source", "root"),
    [
        (HEADS_IN_LISTS, "np.sqrt(WQ.shape[1])"),
        pytest.param(TENSORS, "q.shape[-1] ** 0.5", marks=pytest.mark.exhaustive),
    ],
    ids=["lists", "tensors"],
)
def test_a_list_of_heads_and_tensors_are_graded_and_compared_on_the_courses_arrays(source, root):
    if source == TENSORS:
        pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    arrays = {"X": rng.normal(size=(5, 7)), **{f"W{part}": rng.normal(size=(6, 7)) for part in "qkv"}}
    rubric = Rubric("", (Task("heads", ("multi_head_attention",), "multi_head", {"right": 1.0}),))
    right, wrong = (submission("ada", source.replace("SCALE", scale)) for scale in (root, "1"))
    grades = ClassGrades(rubric, tuple(grade_submission(item, rubric, 3) for item in (right, wrong)))
    compared = with_course_arrays(grades, (right, wrong), arrays, 3)
    (first,), (second,) = (grade.tasks for grade in compared.grades)
    assert (first.points, second.mistakes) == (1.0, ("scale-missing",))
    assert "which is rounding" in first.on_course_arrays
    assert second.on_course_arrays == "agrees with attention that does not divide by √d"


# the alarm may fall into a callback of a weak reference, where Python only warns; it is repeated a second later
@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_source_that_takes_for_ever_to_search(monkeypatch):
    monkeypatch.setattr(importlib.import_module("headwise.grading.grade_submission"), "CHECK_SECONDS", -19.0)
    endless = "einsum(" * 100_000
    source = RIGHT.replace("W", "w").replace("wq.T", "wq").replace("    P =", f"    P = '{endless}'; P =")
    (task,) = grade_submission(submission("eve", source), RUBRIC, 0).tasks
    assert (task.problem, task.points) == ("its check did not finish; grade it by hand", 0)


def test_what_was_not_handed_in():
    (grade,) = grade_class([Submission("x", {}, ["x.py: not UTF-8 text"])], default_rubric()).grades
    assert (grade.points, grade.out_of, grade.notes) == (0, 20, ("x.py: not UTF-8 text",))
    assert grade.tasks[0].problem == "x.py: not UTF-8 text"
    (grade,) = grade_class([Submission("x", {"x.py": "pass"})], default_rubric()).grades
    names = (
        "scaled_dot_product_self_attention or self_attention or selfattention"  # a notebook may define the first two
    )
    assert grade.tasks[0].problem == f"there is no function {names}"


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("N, D = X.shape\n    return softmax(X)", "NameError: name 'softmax' is not defined (line 4)"),
        ("B, N, D = X.shape\n    return X @ here", "NameError: name 'here' is not defined (line 4)"),
        ("raise NotImplementedError", "NotImplementedError (line 3)"),
        ("pass", "it returned None; is a return missing?"),
        ("import torch\n    return torch.softmax(X.view(5, 7), -1) + 'a'", "TypeError: unsupported operand type(s)"),
    ],
)
def test_the_problem_is_the_error_of_the_likeliest_call(body, problem):
    if "torch" in body:
        pytest.importorskip("torch")
    source = f"import numpy as np\ndef self_attention(X, Wq, Wk, Wv):\n    {body}\n"
    task = Task("one head", ("self_attention",), "self_attention", {"right": 1.0})
    (grade,) = grade_submission(Submission("ada", {"ada.py": source}), Rubric("", (task,)), 3).tasks
    assert grade.problem.startswith("it could not be called as self_attention with X of shape (")
    assert f"): {problem}" in grade.problem


def test_what_a_call_raises_is_the_problem_rather_than_its_signature():
    source = "def multi_head_attention(X, Wq, Wk, Wv):\n    assert X.shape == (5, 12), 'wrong input'\n"
    task = Task("heads", ("multi_head_attention",), "multi_head", {"right": 1.0})
    (grade,) = grade_submission(Submission("ada", {"ada.py": source}), Rubric("", (task,)), 3).tasks
    assert grade.problem.endswith("X of shape (N, D): AssertionError: wrong input (line 2)")


def test_arrays_from_variables_are_to_be_arguments():
    source = (
        f"{HEAD}X, Wk = np.eye(2), np.eye(2)\nWq = Wv = Wk\ndef self_attention(): return rows(X @ Wq @ Wk) @ X @ Wv\n"
    )
    task = Task("one head", ("self_attention",), "self_attention", {"right": 1.0})
    (grade,) = grade_submission(Submission("ada", {"ada.py": source}), Rubric("", (task,)), 3).tasks
    assert grade.problem.endswith("It takes X, Wq, Wk, Wv from variables of the file; make them arguments.")


def test_what_is_defined_instead_is_noted():
    source = "def softmax(x): pass\nclass SelfAttention:\n    def __call__(self, X): pass\n"
    task = Task("one head", ("self_attention",), "self_attention", {"right": 1.0})
    grade = grade_submission(Submission("ada", {"ada.py": source}), Rubric("", (task,)), 3)
    assert grade.notes == ("the code defines softmax, class SelfAttention (__call__)",)
    assert grade.tasks[0].problem == "there is no function self_attention"


def test_a_definition_that_did_not_run_is_the_problem():
    source = "H = int(input('heads: '))\ndef self_attention(X, Wq, Wk, Wv, heads=H): pass\n"
    task = Task("one head", ("self_attention",), "self_attention", {"right": 1.0})
    grade = grade_submission(Submission("ada", {"ada.py": source}), Rubric("", (task,)), 3)
    assert "input() gets no text where a submission is graded" in grade.notes[0]
    assert grade.tasks[0].problem == ("its definition in line 2 did not run: NameError: name 'H' is not defined")


def test_lines_of_a_notebook_are_those_of_its_cells():
    wrong = UNSCALED[UNSCALED.index("def self_attention") :]
    cells = [HEAD + "open('X.npy')", wrong]
    source = "\n".join(f"# %% cell {2 * i + 2}\n{cell}" for i, cell in enumerate(cells))
    task = Task("one head", ("self_attention",), "self_attention", {"right": 1.0})
    grade = grade_submission(Submission("ada", {"ada.ipynb": source}), Rubric("", (task,)), 3)
    line = len((HEAD + "open('X.npy')").splitlines())
    assert grade.notes[0].startswith(f"ada.ipynb, cell 2, line {line}, did not run: FileNotFoundError")
    page = student_page(grade, "Sheet")
    assert re.search(r"cell 4, line \d", page)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("above", "heads", "divisor", "mistakes"),
    [
        ("", "3", "D // 3", ()),
        ("", "3", "D", ("scale-model-width",)),
        ("num_heads = 3", "num_heads", "D // 3", ()),
        ("N, H = 5, 3", "H", "D // 3", ()),
    ],
)
def test_a_number_of_heads_may_be_written_into_the_code(above, heads, divisor, mistakes):
    source = f"""
import numpy as np
{above}
def multi_head_attention(X, Wq, Wk, Wv):
    N, D = X.shape
    q, k, v = ((X @ W.T).reshape(N, {heads}, D // {heads}).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    logits = q @ k.transpose(0, 2, 1) / np.sqrt({divisor.replace("3", heads)})
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (p / p.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(N, D)
"""
    task = Task("several", ("multi_head_attention",), "multi_head", {"right": 1.0})
    (grade,) = grade_submission(submission("ada", source), Rubric("", (task,)), 3).tasks
    assert grade.problem == ""
    assert grade.verdict.mistakes == mistakes


@pytest.mark.parametrize(("root", "mistakes"), [("** 0.5", ()), ("", ("scale-no-root",))])
def test_what_is_refused_as_another_kind_is_also_tried_with_the_number_of_heads_as_an_argument(root, mistakes):
    source = f"""
import numpy as np
def multi_head_attention(X, Wq, Wk, Wv):
    \"\"\"Sigmoid attention with three heads.\"\"\"
    N, D = X.shape
    q, k, v = ((X @ W.T).reshape(N, 3, D // 3).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    p = 1 / (1 + np.exp(-(q @ k.transpose(0, 2, 1)) / (D // 3) {root}))
    return (p @ v).transpose(1, 0, 2).reshape(N, D)
"""
    task = Task("several", ("multi_head_attention",), "multi_head", {"right": 1.0})
    (grade,) = grade_submission(submission("ada", source), Rubric("", (task,)), 3).tasks
    assert (grade.problem, grade.mistakes) == ("", mistakes)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("divisor", "mistakes"), [("len(Wq) ** 0.5", ()), ("len(Wq)", ("scale-no-root",))])
def test_a_solution_that_takes_a_list_of_columns(divisor, mistakes):
    source = f"""
import numpy as np
def self_attention(all_x, Wq, Wk, Wv):
    out = []
    for x in all_x:
        logits = np.array([((Wq @ x).T @ (Wk @ y))[0, 0] for y in all_x]) / ({divisor})
        weights = np.exp(logits - logits.max())
        out.append(sum(w * (Wv @ y) for w, y in zip(weights / weights.sum(), all_x)))
    return out
"""
    task = Task("one head", ("self_attention",), "self_attention", {"right": 1.0})
    (grade,) = grade_submission(submission("ada", source), Rubric("", (task,)), 3).tasks
    assert grade.mistakes == mistakes
    assert (grade.points, grade.problem) == (float(not mistakes), "")

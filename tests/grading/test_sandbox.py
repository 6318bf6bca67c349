"""What a submission may try. Each attack costs its own call and reaches nothing else."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import numpy as np
import pytest

import headwise
from headwise.grading.sandbox import Limits, Sandbox, SubmissionError
from headwise.grading.sandbox.worker.confinement import CHECKED_CALLS, SYSTEM_CALLS, visible_paths
from headwise.grading.signature import signature_of
from helpers.processes import PATIENCE

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the walls are Linux's")
X = np.arange(6.0).reshape(2, 3)


def sandbox(source, **limits):
    return Sandbox({"main.py": dedent(source)}, "main.py", Limits(**{"seconds_per_call": 5, **limits}))


def call(body, *args, **limits):
    """What a function of that body answers, the argument being x."""
    with sandbox("import numpy as np\ndef f(x):\n" + indent(dedent(body), "    "), **limits) as box:
        return box.function("f")(*(args or (X,)))


def test_answers_arrive_as_plain_arrays():
    with sandbox("""
        import numpy as np
        from collections import namedtuple
        Both = namedtuple("Both", "output weights")
        def both(x): return Both(x.astype(np.float32), [[1, 2], [3, 4]])
        def several(x): return [x, x + 1]
        def rows(x): return [row for row in np.repeat(x, 5, axis=0)]
        def named(x): return {"output": x, "weights": x + 1}
        @__import__("dataclasses").dataclass
        class Result:
            output: object
            loss: object = None
        def result(x): return Result(x)
        def masked(x): return np.ma.masked_array(x, x > 2)
        def nothing(x): pass
    """) as box:
        output, weights = box.function("both")(X)
        assert output.dtype == np.float32
        np.testing.assert_array_equal(weights, [[1, 2], [3, 4]])
        assert [type(each) for each in box.function("several")(X)] == [np.ndarray] * 2
        np.testing.assert_array_equal(box.function("rows")(X), np.repeat(X, 5, axis=0))
        assert type(box.function("masked")(X)) is np.ndarray
        named = box.function("named")(X)
        assert list(named) == ["output", "weights"]
        np.testing.assert_array_equal(named["weights"], X + 1)
        assert list(box.function("result")(X)) == ["output", "loss"]
        with pytest.raises(TypeError, match=r"it returned None; is a return missing\?"):
            box.function("nothing")(X)


def test_arguments_arrive_as_they_were():
    arrays = [np.array(3.0), X.T, X[:, ::2], np.zeros((0, 4), np.float16), X > 2, np.arange(3), X.astype(">f8")]
    with sandbox("def same(a, *, b=None, c=None): return a") as box:
        same = box.function("same")
        for array in arrays:
            got = same(array, b=(1, None), c="rows")
            np.testing.assert_array_equal(got, array)
            assert got.dtype == array.dtype.newbyteorder("=")


def test_writing_into_an_argument_is_seen():
    mine, frozen = X.copy(), X.copy()
    frozen.flags.writeable = False
    with sandbox("def f(x):\n    x *= 2\n    return x") as box:
        box.function("f")(mine)
        np.testing.assert_array_equal(mine, 2 * X)
        with pytest.raises(ValueError, match="read-only"):
            box.function("f")(frozen)
        large = np.ones((400, 400))  # more than the largest answer
        with sandbox("def f(x):\n    x *= 2\n    return x.sum()") as other:
            assert other.function("f")(large) == 2 * 400**2
        np.testing.assert_array_equal(large, 2)


def test_errors_arrive_as_errors():
    with pytest.raises(TypeError, match=r"UFuncTypeError: .*\(line 3\)"):
        call("return x + 'one'")
    with pytest.raises(OverflowError, match=r"^math range error \(line 3\)$"):
        call("return __import__('math').exp(1000)")
    with pytest.raises(SubmissionError, match="SystemExit: 3"):
        call("raise SystemExit(3)")
    with pytest.raises(TypeError, match=r"^it returned set, which is no array of numbers"):
        call("return {1, 2}")
    with pytest.raises(NotImplementedError, match=r"^\(line 3\)$"):
        call("raise NotImplementedError")


def test_a_failing_statement_does_not_cost_the_rest():
    with sandbox("""
        open("X.npy")
        def f(x): return x
        import sys; sys.exit()
    """) as box:
        assert [line for line, _ in box.failed] == [2, 4]
        np.testing.assert_array_equal(box.function("f")(X), X)


def test_drawing_costs_only_the_drawing():
    pytest.importorskip("matplotlib")
    with sandbox("""
        import matplotlib.pyplot as plt
        plt.plot([1, 2])
        plt.savefig("mine.png")
        def f(x): return x
    """) as box:
        assert [line for line, _ in box.failed] == [4]
        np.testing.assert_array_equal(box.function("f")(X), X)


def test_files_of_a_submission_import_one_another():
    files = {"main.py": "from helper import g\ndef f(x): return g(x)", "helper.py": "def g(x): return x + 1"}
    with Sandbox(files, "main.py") as box:
        np.testing.assert_array_equal(box.function("f")(X), X + 1)


@pytest.mark.parametrize(
    ("main", "line"),
    [
        ("sheet 3/src/main.py", "from utils.ops import g"),
        ("sheet 3/src/main.py", "from .utils.ops import g"),
        ("sheet 3/src/main.py", "from src.utils.ops import g"),
        ("sheet 3/src/main.py", "import utils.ops; g = utils.ops.g"),
        ("sheet 3/src/main.py", "from package import g"),
        ("sheet 3/src/sub/main.py", "from ..utils.ops import g"),
        ("sheet 3/src/sub/main.py", "from utils import ops; g = ops.g"),
    ],
)
def test_folders_of_a_submission_are_packages(main, line):
    files = {
        main: f"import json.decoder\n{line}\ndef f(x): return g(x)",
        "sheet 3/src/utils/ops.py": "def g(x): return x + 1",
        "sheet 3/src/package/__init__.py": "from .layers import g",
        "sheet 3/src/package/layers.py": "from utils import ops\ng = ops.g",
        "sheet 3/src/json/data.py": "raise ValueError",  # does not stand for the module of that name
    }
    with Sandbox(files, main) as box:
        assert box.failed == ()
        np.testing.assert_array_equal(box.function("f")(X), X + 1)


def test_the_signature_is_read_here():
    source = """if True:\n    import numpy
def f(X, /, Wq, heads=2, *rest, mask=None, scale=1/2, **more): ...
g = lambda q, k=0: q
@cached\ndef h(x): ...
"""
    assert str(signature_of(source, "f")) == "(X, /, Wq, heads=2, *rest, mask=None, scale=Ellipsis, **more)"
    assert str(signature_of(source, "g")) == "(q, k=0)"
    assert signature_of(source, "h") is None
    with sandbox("def f(q, k=3): return q") as box:
        assert str(inspect.signature(box.function("f"))) == "(q, k=3)"


WRITE_TO_ALL = """
import os
for fd in range(3, 64):
    try:
        {}
    except OSError:
        pass
"""
DEATHS = {
    "endless loop": ("while True: pass", "it did not come to an end within 1 s"),
    "asleep": ("import time; time.sleep(99)", "it did not come to an end within 1 s"),
    "exit": ("import os; os._exit(0)", "ended its own process"),
    "crash": ("import ctypes; ctypes.string_at(0)", "crashed .SIGSEGV"),
    "abort": ("import os; os.abort()", "crashed .SIGABRT"),
    "huge answer": ("return np.zeros((1 << 24, 1))", "an answer of more than 1 MB"),
    "garbage": (WRITE_TO_ALL.format("os.write(fd, b'\\0' * 64)"), "wrote into the grader's channel"),
    "flood": (WRITE_TO_ALL.format("while True: os.write(fd, b'x' * 4096)"), "an answer of more than 1 MB"),
    "closed": ("import os, time; os.closerange(0, 64); time.sleep(9)", "closed the grader's channel"),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", DEATHS)
def test_a_death_is_named_and_stays(name):
    body, why = DEATHS[name]
    seconds = 1 if "within 1 s" in why else PATIENCE
    with sandbox("import numpy as np\ndef f(x):\n" + indent(body, "    "), seconds_per_call=seconds) as box:
        for _ in range(2):
            with pytest.raises(SubmissionError, match=why):
                box.function("f")(X)
        assert box.end
        assert box._process.poll() is not None


def test_many_slow_calls_run_out_of_time_together():
    with sandbox("import time\ndef f(x): return time.sleep(0.3) or x", seconds_in_all=1.0) as box:
        f = box.function("f")
        f(X)
        f(X)
        with pytest.raises(SubmissionError, match="did not come to an end"):
            [f(X) for _ in range(9)]


@pytest.mark.parametrize("source", ["import os; os._exit(1)", "def f(:", "(" * 5000, "\0"])
def test_a_file_that_does_not_load(source):
    with pytest.raises(SubmissionError):
        sandbox(source, seconds_per_call=1)


def test_a_missing_return_is_named():
    with pytest.raises(TypeError, match="it returned None; is a return missing"):
        call("y = x + 1")
    x = X.copy()
    assert call("x += 1", x) is None
    np.testing.assert_array_equal(x, X + 1)


@pytest.mark.exhaustive
def test_endless_statements_leave_time_for_the_rest():
    source = "def f(x): return x\n" + "while True: pass\nimport time; time.sleep(99)\n" * 2 + "def g(x): return x + 1"
    with sandbox(source, seconds_per_call=2) as box:
        assert [line for line, _ in box.failed] == [2, 3, 4, 5]
        assert "took too long" in box.failed[0][1]
        np.testing.assert_array_equal(box.function("g")(X), X + 1)
    with pytest.raises(SubmissionError, match="did not come to an end within 1 s while its file was run"):
        sandbox("import time\nwhile True:\n    try: time.sleep(99)\n    except BaseException: pass", seconds_per_call=1)


REFUSED = {
    "fork": "import os; os.fork()",
    "program": "import subprocess; subprocess.run(['true'])",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "thread": "import threading; threading.Thread(target=print).start()",
    "memory": "np.ones(1 << 32)",
    "network": "import socket; socket.socket()",
    "name service": "import socket; socket.socket(socket.AF_UNIX)",
    "shared memory": "from multiprocessing import shared_memory; shared_memory.SharedMemory('x', True, 99)",
    "kill the grader": "import os; os.kill(os.getppid(), 0)",
    "kill all": "import os; os.kill(-1, 0)",
    "aim a signal": "import fcntl, os; fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "limit the grader": "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
    "raise own limits": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "grader's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
    "become root": "import os; os.setuid(0); open('/proc/self/status')",
    "change root": "import os; os.chroot('/')",
    "write": "open(VICTIM, 'w')",
    "append": "open(VICTIM, 'a')",
    "truncate": "import os; os.truncate(VICTIM, 0)",
    "remove": "import os; os.remove(VICTIM)",
    "rename": "import os; os.rename(VICTIM, VICTIM + '2')",
    "replace": "import os; os.symlink('/dev/null', VICTIM + '2')",
    "lock away": "import os; os.chmod(VICTIM, 0)",
    "give away": "import os; os.chown(VICTIM, 1, 1)",
    "touch": "import os; os.utime(VICTIM)",
    "fill the disk": "import tempfile; tempfile.NamedTemporaryFile()",
    "spoil numpy": "open(np.__file__, 'a')",
    "read another's": "open(VICTIM)",
    "list others": "import os, pathlib; os.listdir(pathlib.Path(VICTIM).parent)",
    "read the reference": "open(REFERENCE)",
    "import the reference": "import headwise.attention",
}


@pytest.mark.sampled
@LINUX
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    victim = tmp_path / "grades.csv"
    victim.write_text("student,points\n")
    before = victim.stat()
    reference = str(Path(headwise.__file__).parent / "attention" / "textbook.py")
    body = f"VICTIM, REFERENCE = {str(victim)!r}, {reference!r}\n{REFUSED[name]}"
    with pytest.raises((SubmissionError, ValueError, RuntimeError)):
        call(body, seconds_per_call=20)
    after = victim.stat()
    assert victim.read_text() == "student,points\n"
    assert [p.name for p in tmp_path.iterdir()] == ["grades.csv"]
    assert (before.st_mode, before.st_uid, before.st_mtime_ns) == (after.st_mode, after.st_uid, after.st_mtime_ns)


@LINUX
def test_libraries_take_nothing_of_the_memory():
    with sandbox("import numpy as np\ndef f(): return np.ones(1 << 21).sum()", memory_mb=64) as box:  # they have more
        assert box.function("f")() == 1 << 21
    with pytest.raises((SubmissionError, ValueError, RuntimeError)):
        call("np.ones(1 << 24)", memory_mb=64)


@LINUX
def test_a_script_may_parse_its_arguments():
    source = "import argparse, sys\nargs = argparse.ArgumentParser().parse_args()\ndef f(): return len(sys.argv)"
    with sandbox(source) as box:
        assert (box.failed, box.function("f")()) == ((), 1)


def test_a_library_that_needs_threads_costs_only_its_import():
    with Sandbox({"x.py": "import jax.numpy as jnp\ndef f():\n    return 1"}, "x.py") as box:
        ((line, message),) = box.failed
        assert (line, box.call("f", (), {})) == (1, 1)
        assert message.startswith("ImportError: jax starts threads")


def test_what_is_hidden_cannot_be_imported_where_others_can(monkeypatch):
    import yaml

    monkeypatch.setattr("headwise.grading.sandbox.process.HIDDEN", Path(yaml.__file__).parent)
    with sandbox(f"import jinja2\nimport yaml\nopen({yaml.__file__!r})") as box:
        assert [line for line, _ in box.failed] == [2, 3]


def test_a_package_among_pythons_own_can_be_hidden(tmp_path):
    for package in ("lib/site/headwise/check", "lib/site/numpy", "lib/other"):
        (tmp_path / package).mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")  # as in a virtual environment
    rules = dict(visible_paths(tmp_path, [tmp_path / "lib/site/headwise"], 3, 1))
    readable = {str(Path(path).relative_to(tmp_path)) for path, rights in rules.items() if rights == 3}
    assert readable == {"lib/site/numpy", "lib/other"}
    assert dict(visible_paths(tmp_path, [tmp_path.parent / "headwise"], 3, 1)) == {str(tmp_path): 3}


@LINUX
def test_bombs_leave_nothing_behind():
    with sandbox("") as box:
        if box.unconfined:
            pytest.skip("not confined here, and then this is no test to run")
    fork = "import os\nfor _ in range(10_000):\n    try: os.fork()\n    except Exception: pass\nreturn x"
    thread = fork.replace("os.fork()", "__import__('_thread').start_new_thread(print, ())").replace(
        "OSError", "Exception"
    )
    for bomb in (fork, thread):
        np.testing.assert_array_equal(call(bomb), X)  # ten thousand refusals, and then it answers


def test_a_flood_of_output_goes_nowhere():
    answer = call("import os\nfor _ in range(100): print('x' * (1 << 20)); os.write(2, b'y' * (1 << 20))\nreturn x")
    np.testing.assert_array_equal(answer, X)  # 200 megabytes


def test_this_system_confines():
    if not Path("/sys/kernel/security").exists():
        pytest.skip("not on Linux")
    with sandbox("") as box:
        assert not [item for item in box.unconfined if "seccomp" in item]


WITHOUT_LANDLOCK = """
import sys
from headwise.grading.sandbox.worker import confinement as confine
confine._landlock = lambda libc, hidden, folders: False
print(*confine.confine(1 << 32, 9, []))
for mode in ("w", "a", "r+", "x"):
    try:
        open(sys.argv[1], mode)
    except PermissionError:
        continue
    sys.exit(f"opened with {mode}")
print(open(sys.argv[1]).read())
"""


@LINUX
def test_without_landlock_nothing_is_written_either(tmp_path):
    victim = tmp_path / "grades.csv"
    victim.write_text("whole")
    command = [sys.executable, "-c", WITHOUT_LANDLOCK, str(victim)]
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread)
    assert done.stdout == "other files can be read (Landlock needs Linux 5.13)\nwhole\n"


def test_nothing_of_the_grader_is_in_its_memory():
    body = """
        import gc, sys
        frame, names = sys._getframe(), []
        while frame:
            names += [frame.f_globals.get("__name__")]
            frame = frame.f_back
        modules = [m for m in sys.modules if "headwise" in m]
        texts = [o for o in gc.get_objects() if getattr(o, "__name__", "") in ("self_attention", "dense", "softmax")]
        return np.array([len(modules), len(texts), sum("check" in n for n in names)])
    """
    np.testing.assert_array_equal(call(body), [0, 0, 0])


def test_call_numbers_are_the_kernels():
    header = next(Path("/usr/include").glob("*/asm/unistd_64.h"), None)
    if header is None:
        pytest.skip("no kernel headers here")
    numbers = dict(line.split()[1:3] for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    ours = {name: x86 for name, x86, _ in (entry.split() for entry in SYSTEM_CALLS.replace("\n", " ").split(","))}
    ours |= {name: str(pair[0]) for name, pair in CHECKED_CALLS.items()}
    assert {name: numbers[f"__NR_{name}"] for name in ours} == ours

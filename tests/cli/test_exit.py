"""Exit statuses and messages of commands that cannot be parsed, fail, or are interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headwise import cli
from headwise.errors import DataError
from headwise.files import lock_file, lock_folder
from helpers.commands import headwise, headwise_process
from helpers.processes import PATIENCE

EXAMPLES = Path(__file__).parents[2] / "examples" / "class"


@pytest.fixture(autouse=True)
def signals():
    """Ctrl-C raises an exception also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process; returns its status and its lines on standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["headwise", *arguments])
        status = cli.run()
        return status, capsys.readouterr().err.splitlines()

    return run


@pytest.fixture
def run_body(run, monkeypatch):
    """Runs a command with another body."""

    def run_body(body):
        monkeypatch.setattr("headwise.cli.attend.attend", body)
        return run("attend")

    return run_body


@pytest.mark.parametrize(
    ("arguments", "named", "suggested"),
    [
        (["chekc"], "chekc", "check"),
        (["--vershun"], "--vershun", "--version"),
        (["check", "--kidn", "auto", "a.py"], "--kidn", "--kind"),
        (["check", "--kind", "multihead", "a.py"], "--kind", "multi_head"),
        (["study", "tokenisers"], "tokenisers", "tokenizers"),
        (["study", "sets", "--seed", "1"], "--seed", "--seeds"),
        (["grade", "a", "--format", "gradscope"], "--format", "gradescope"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(arguments, named, suggested, run):
    status, (line,) = run(*arguments)
    assert status == 2
    assert line.startswith("headwise: ")
    assert named in line
    assert f"Did you mean {suggested}?" in line.replace("'", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["explain"], "input"),
        (["attend", "--heads"], "--heads"),
        (["attend", "--heads", "x"], "--heads"),
        (["attend", "--json=3"], "--json"),
        (["check", "a", "b"], "b"),
        (["report", "--seed", "-1"], "--seed"),
        (["explain", "a.png", "--label", "-1"], "--label"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_usage_error_is_one_line(arguments, named, run):
    status, (line,) = run(*arguments)
    assert status == 2
    assert line.startswith("headwise: ")
    assert named in line


@pytest.mark.parametrize("error", [DataError("x:\nbad"), OSError(28, "No space left on device"), MemoryError("x")])
def test_an_error_is_one_line(error, run_body):
    def fail():
        raise error

    status, (line,) = run_body(fail)
    assert status == 2
    assert " ".join(str(error).split()) in line


def test_an_internal_error_is_one_line_and_not_status_1(run_body, monkeypatch):
    def fail():
        raise ZeroDivisionError("in\nhere")

    status, (line,) = run_body(fail)
    assert status == 2
    assert "ZeroDivisionError in test_exit.py" in line
    monkeypatch.setenv("HEADWISE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run_body(fail)


def test_ctrl_c_is_status_130(run_body):
    status, (line,) = run_body(lambda: signal.raise_signal(signal.SIGINT))
    assert status == 130
    assert "Interrupted" in line


def test_ctrl_c_is_status_130_if_a_library_raises_something_else(run_body):
    def load():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("cannot load") from None

    assert run_body(load)[0] == 130


def test_ctrl_c_in_a_destructor_is_status_130(run_body):
    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def discard():
        Interrupted()
        threading.Event().wait(PATIENCE)

    status, (line,) = run_body(discard)
    assert status == 130
    assert "Interrupted" in line


@pytest.mark.parametrize(
    "program", [["-m", "headwise"], ["-c", "import sys; sys.argv = ['headwise']; import headwise"]]
)
def test_ctrl_c_while_numpy_is_imported_is_status_130(program, tmp_path):
    (tmp_path / "numpy.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    code = (
        f"import signal, os, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, {program!r})"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-c", code.replace("execv(sys.executable, [", "execv(sys.executable, ['python', ")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_reader_that_closes_the_output_of_rich_is_status_141(run_body):
    def write():
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            raise SystemExit(1) from None  # as rich does

    assert run_body(write) == (141, [])


def test_without_an_output_nothing_is_printed(run_body, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as after `headwise attend >&-`
    status = run_body(lambda: print("hello"))
    sys.stdout.close()
    assert status == (0, [])


def test_a_reader_that_closes_the_output_is_status_141(run_body):
    def write():
        raise BrokenPipeError

    assert run_body(write) == (141, [])


def test_status_1_of_check_means_wrong_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("no code")
    (tmp_path / "data.npz").write_bytes(b"PK\x05\x06" + bytes(18))
    (tmp_path / "book.ipynb").write_text("{")
    (tmp_path / "broken.py").write_text("def f(:")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)))
    for name in ("notes.txt", "data.npz", "book.ipynb", "broken.py", "binary.py", "nowhere.py", "."):
        shown = headwise("check", name, folder=tmp_path)
        assert shown.returncode == 2, name
        assert len(shown.stderr.splitlines()) == 1, shown.stderr


@pytest.mark.parametrize(
    ("arguments", "lock"),
    [
        (("explain", "a b"), lock_folder),
        (("caption", "a.npz"), lock_folder),
        (("train",), lock_folder),
        (("report",), lock_folder),
        (("study", "sets"), lock_folder),
        (("explore",), lock_file),
        (("grade", str(EXAMPLES)), lock_file),
        (("grade", str(EXAMPLES), "--format", "gradescope"), lock_file),
    ],
)
def test_of_two_commands_that_write_to_one_place_the_second_gets_an_error(arguments, lock, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").touch()
    with lock(tmp_path / ("out.html" if arguments == ("explore",) else "out")):  # explore adds the suffix
        status, lines = run(*arguments, "--out", "out")
        assert status == 2
        assert "another process is writing to it" in lines[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz"}


def test_what_is_no_exception_is_one_line(run_body):
    def fail():
        raise GeneratorExit("late")

    status, (line,) = run_body(fail)
    assert status == 2
    assert "GeneratorExit: late" in line
    assert run_body(lambda: sys.exit(0))[0] == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOURCE_DATE_EPOCH", "x"),
        ("SOURCE_DATE_EPOCH", "-1"),
        ("SOURCE_DATE_EPOCH", "9" * 4400),
        ("NUMBA_NUM_THREADS", "0"),
        ("NUMBA_NUM_THREADS", ""),
    ],
)
def test_a_variable_on_which_a_library_fails_is_one_line(name, value, monkeypatch, run_body):
    monkeypatch.setenv(name, value)
    status, (line,) = run_body(lambda: None)
    assert status == 2
    assert f"the environment variable {name}: expected a whole number" in line


def test_a_backend_that_matplotlib_rejects_is_not_used(monkeypatch, run_body):
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    assert run_body(lambda: print(os.environ["MPLBACKEND"])) == (0, [])
    assert os.environ["MPLBACKEND"] == "agg"


def test_the_adapter_of_a_refusal_can_be_pasted(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def attention(query, key, value, pages):\n    return query @ key @ value @ pages\n")
    shown = headwise("check", f"{path}:attention")
    assert shown.returncode == 2
    assert "unknown argument `pages`" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert shown.stdout.splitlines() == [
        "def adapter(function, q, k, v):  # q, k, v (B, H, N, d)",
        "    return function(query=q, key=k, value=v, pages=...)",
    ]


def test_json_is_whole_where_the_terminal_shows_only_ascii_characters(tmp_path):
    code = (EXAMPLES.parent / "mine.py").read_text(encoding="utf-8").replace("logits", "größe")
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    for arguments, expected in (["attend"], "√"), (["check", tmp_path / "mine.py"], "größe"):
        done = headwise_process(*arguments, "--json", PYTHONIOENCODING="ascii")
        assert expected in json.dumps(json.loads(done.stdout), ensure_ascii=False)

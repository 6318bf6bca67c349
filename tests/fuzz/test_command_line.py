"""Invalid command lines, generated from the options of every command: one line on standard error and status 2.

Every option with each of its invalid values, more than a thousand lines (the fast tests have one value of each option
of every third command), and random pairs of them: ``FUZZ_EXAMPLES`` is 20 times their number for each command, and
``SEED`` chooses others.
"""

import inspect
import os
import signal
import typing
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from headwise.cli import COMMANDS, application
from headwise.data.ts import read_ts
from headwise.experiments import EXPERIMENTS
from helpers.commands import headwise
from helpers.digits import few

BASES = {  # arguments with which a command would do something, or fail late
    "capture": ["nowhere.onnx", "../arrays.npz"],
    "caption": ["../arrays.npz", "--grid", "4x4"],
    "check": ["../mine.py"],
    "diff": ["../mine.py", "../mine.py"],
    "explain": ["../digit.png"],
    "explore": ["../digit.png"],
    "grade": ["../class"],
    "inspect": ["../arrays.npz"],
    "serve": ["--model", "nowhere.safetensors"],
    "study series": ["nowhere"],
    "study tables": ["nowhere"],
}
MORE = {  # files that cannot be read
    "inspect": [["../empty.onnx"], ["../loop"]],
    "attend": [["../names.csv"]],
    "report": [["--arrays", "../names.csv"]],
    "grade": [["../class", "--notebook", "../loop"]],
    "serve": [["--model", "../loop"]],
}
OUTPUTS = {"out", "feedback", "plot"}
BAD = {
    int: ["x", "1.5", "-1000003", "1e3", "", "9" * 4400],
    float: ["x", "", "nan", "-1e400"],
    bool: [],
    str: ["nonsense", "\x1b[31m💥", "-", f"{'9' * 4400}x4"],
    Path: ["nowhere.xyz", ".", "a" * 5000, "../mine.py/x", "../mine.py", "../loop"],
}
BAD_OUTPUTS = ["/proc/x", "/proc/x.npz", "/proc/x.svg", "../mine.py/x.npz", "../mine.py/x.svg"]


def commands():
    """Name and typer's description of every command."""
    modules = {name: f"headwise.cli.{name}" for name in COMMANDS if name != "study"}
    modules |= {f"study {name}": f"headwise.cli.study.{name}" for name in EXPERIMENTS}
    root = typer.main.get_command(application())
    for name, module in modules.items():
        group = root.commands["study"] if name.startswith("study ") else root
        yield name, group.commands[name.split()[-1]], getattr(import_module(module), name.split()[-1])


def plain_type(hint):
    """The type of one value of a parameter."""
    while (arguments := typing.get_args(hint)) and not isinstance(hint, type):
        hint = next(argument for argument in arguments if argument is not type(None))
    if arguments := typing.get_args(hint):
        return plain_type(arguments[0])
    return str if issubclass(hint, Enum) else hint


def invalid(name, command, function, most=None):
    """Every invalid command line of one command, or at most so many invalid values of each option."""
    start, base = name.split(), BASES.get(name, [])
    hints = typing.get_type_hints(function)
    yield [*start, "--nonsense", *base]
    yield from ([*start, *arguments] for arguments in MORE.get(name, []))
    for parameter in command.params:
        options = [option for option in parameter.opts if option.startswith("--")]
        if parameter.name not in hints or not options:
            continue
        option, kind = options[-1], plain_type(hints[parameter.name])
        yield [*start, *base, f"{option}x"]
        yield [*start, *base, f"{option}=3"] if kind is bool else [*start, *base, option]
        values = BAD_OUTPUTS if parameter.name in OUTPUTS else BAD[kind]
        yield from ([*start, *base, f"{option}={value}"] for value in values[:most])
    if not any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values()):
        yield [*start, *base, *["surplus"] * 5]


def pairs(name, lines):
    """Random pairs of invalid values of one command."""
    values = [line[-1] for line in lines if "=" in line[-1]]
    rng = np.random.default_rng(int(os.environ.get("SEED", "0")))
    for _ in range(int(os.environ.get("FUZZ_EXAMPLES", "40")) // 20 if values else 0):
        yield [*name.split(), *BASES.get(name, []), *rng.choice(values, 2).tolist()]


@pytest.fixture(autouse=True)
def alarm():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, before)


read_once = cache(read_ts)  # an error lists the sets that come with aeon, after reading all of them


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")  # so that . has nothing that a command reads
    monkeypatch.setattr("headwise.cli.train.load_bundled_mnist", few)
    monkeypatch.setattr("headwise.cli.study.tokenizers.load_digits", few)
    monkeypatch.setattr("headwise.data.series.read_ts", read_once)
    np.savez("../arrays.npz", weights=rng.dirichlet(np.ones(17), (3, 2, 17)))
    Image.new("L", (28, 28)).save("../digit.png")
    Path("../mine.py").write_text("def attention(q, k, v): raise ValueError('not here')\n")
    Path("../class").mkdir()
    Path("../loop").symlink_to("loop")
    Path("../empty.onnx").touch()
    Path("../names.csv").write_text("hello world\n")
    return tmp_path


@pytest.mark.sampled
@pytest.mark.parametrize("most", [1, pytest.param(None, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(("name", "command", "function"), [pytest.param(*c, id=c[0]) for c in commands()])
def test_an_invalid_command_line_is_one_line_and_status_2(name, command, function, most, folder):
    few()  # loaded once
    before = sorted(path.name for path in folder.rglob("*"))
    wrong = []
    lines = list(invalid(name, command, function, most))
    for arguments in [*lines, *pairs(name, lines)]:
        signal.alarm(15)  # what is accepted may run for hours
        shown = headwise(*arguments)
        signal.alarm(0)
        code_to_fill_in = name in ("check", "diff") and shown.stdout.startswith("def adapter(")
        if (shown.returncode, len(shown.stderr.splitlines())) != (2, 1) or (shown.stdout and not code_to_fill_in):
            wrong.append((shown.returncode, " ".join(arguments)[:150], shown.stdout[:100], shown.stderr[:200]))
    assert not wrong, "\n" + "\n".join(map(repr, wrong))
    assert sorted(path.name for path in folder.rglob("*")) == before

"""Every example in ``--help`` runs, in a folder with the files that it names and at a small size."""

import re
import subprocess
import sys
from importlib import import_module

import pytest
from typer.testing import CliRunner

from headwise.cli import COMMANDS, application
from headwise.experiments import EXPERIMENTS
from helpers.commands import parse

# these have tests of their own
SLOW = {"bench", "caption", "explain", "report", "serve", "train", *(f"study {name}" for name in EXPERIMENTS)}


def examples():
    """Name and example of every command."""
    modules = {name: f"headwise.cli.{name}" for name in COMMANDS if name != "study"}
    modules |= {f"study {name}": f"headwise.cli.study.{name}" for name in EXPERIMENTS}
    for name, module in modules.items():
        found = re.findall(
            r"^ *Example: `headwise (.*)`$", getattr(import_module(module), name.split()[-1]).__doc__, re.M
        )
        assert found, f"{name} --help shows no example"
        marks = [pytest.mark.exhaustive] * (name in SLOW)
        yield from (pytest.param(example, id=example, marks=marks) for example in found)


@pytest.mark.parametrize("example", [*examples()])
def test_the_example_of_the_help_runs(example, run_small):
    run_small(example)


def test_the_examples_have_options_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in examples():
        parse(*example.values)


@pytest.mark.parametrize("name", [*COMMANDS, *(f"study {name}" for name in EXPERIMENTS)])
def test_the_help_lists_the_command(name):
    shown = CliRunner().invoke(application(), [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert f"headwise {name}" in " ".join(shown.stdout.replace("root", "headwise").split())


def test_the_list_of_commands_is_the_same_without_importing_any(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code = (
        "import sys; sys.argv[1:] = ['--help']; from headwise.cli import run; run(); assert 'numba' not in sys.modules"
    )
    code += "; assert not [m for m in sys.modules if m == 'matplotlib' or m.startswith('headwise.cli.expl')]"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = CliRunner().invoke(application(), ["--help"], prog_name="headwise")
    assert shown.stdout.split() == imported.stdout.split()

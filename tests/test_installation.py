"""``headwise doctor``: what it reports, also where libraries are missing."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import headwise
from headwise.installation import EXTRAS, inspect_installation, installation_text
from helpers.commands import headwise as command
from helpers.commands import headwise_process

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
WITHOUT_TYPER = """
import sys
sys.modules["typer"] = None
sys.argv = ["headwise", *sys.argv[1:]]
from headwise.__main__ import main
sys.exit(main())
"""


def test_doctor_prints_json():
    shown = json.loads(command("doctor", "--json").stdout)
    assert shown["versions"]["headwise"] == headwise.__version__
    assert shown["versions"]["numpy"] == np.__version__
    assert set(shown["extras"]) == set(EXTRAS)
    assert shown["extras"]["lab"]["libraries"]["scikit-learn"] == metadata.version("scikit-learn")
    assert shown["threads"] >= 1


def test_a_missing_library_comes_with_the_command_that_installs_it(monkeypatch):
    version = metadata.version

    def lacking(name):
        if name in ("uvicorn", "torch"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", lacking)
    installation = inspect_installation()
    assert [name.split(">")[0] for name in installation.extras["web"].missing] == ["uvicorn"]
    assert "torch" not in installation.versions
    lines = installation_text(installation).splitlines()
    assert [line for line in lines if "missing" in line and "uvicorn" in line and "'headwise[web]'" in line]


def test_from_a_source_tree_the_extras_are_unknown(monkeypatch):
    def not_installed(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", not_installed)
    installation = inspect_installation()
    assert installation.extras == {}
    assert "not installed as a package" in installation_text(installation)


@pytest.mark.parametrize(("arguments", "status"), [(["doctor"], 0), (["check", "mine.py"], 2)])
def test_without_the_command_lines_libraries(arguments, status):
    shown = subprocess.run([sys.executable, "-c", WITHOUT_TYPER, *arguments], capture_output=True, text=True)
    assert shown.returncode == status
    assert ("threadpoolctl" in shown.stdout) == (status == 0)
    assert ("pip install 'headwise[lab]'" in shown.stderr) == (status == 2)


def test_every_extra_of_the_project_is_reported():
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"all", "dev", "docs", "parity"}


def test_doctor_where_numba_is_disabled():
    done = headwise_process("doctor", NUMBA_DISABLE_JIT="1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("library", ["matplotlib", "latex2mathml"])
def test_a_function_that_lacks_a_library_names_the_extra(library):
    code = f"import sys; sys.modules[{library!r}] = None; import headwise; headwise.explain"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stderr.splitlines()[-1].startswith("headwise.errors.MissingExtraError")
    assert "headwise[lab]" in process.stderr

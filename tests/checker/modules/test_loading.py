"""``headwise check`` of a file with classes, run as a user would."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headwise.cli import application
from headwise.errors import DataError
from layers import plain_layers

SOURCE = Path(plain_layers.__file__).read_text()


def run(*arguments):
    return CliRunner().invoke(application(("check",)), [str(a) for a in arguments])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(f"{SOURCE}\n\nready = MultiHead(15, 5)\n")
    return path


@pytest.mark.exhaustive
def test_a_class_an_object_and_a_method_are_checked_by_name(file):
    for name in ("MultiHead", "ready", "ready.forward"):
        result = run("check", f"{file}:{name}")
        assert result.exit_code == 0, result.output
        assert "is right" in result.stdout
    assert run("check", f"{file}:MergedUnmoved").exit_code == 1


def test_a_part_and_arguments_are_given_as_options(file):
    result = run("check", f"{file}:TwoLayers", "--inside", "layers.0.attention", "--init", "d_model=20, num_heads=5")
    assert result.exit_code == 0, result.output
    assert "5 heads" in " ".join(result.stdout.split())


def test_the_only_module_of_a_file_needs_no_name(tmp_path):
    path = tmp_path / "one.py"
    path.write_text("\n\n\n".join(re.split(r"\n\n\n(?=class|def)", SOURCE)[:3]))
    result = run("check", path)
    assert result.exit_code == 0, result.output


def test_several_modules_are_listed(file):
    result = run("check", file)
    assert isinstance(result.exception, DataError)
    assert "MultiHead" in str(result.exception)

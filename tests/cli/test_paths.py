"""A folder that cannot be written to is an error before anything is computed."""

import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headwise.cli import application
from headwise.cli.paths import check_writable
from headwise.errors import DataError
from headwise.experiments import EXPERIMENTS


@pytest.mark.parametrize("command", ["train", "report", *(f"study {name}" for name in EXPERIMENTS)])
def test_every_command_checks_its_folder_first(command, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"--out: .*file is a file; name a folder"):
        CliRunner().invoke(
            application(), [*command.split(), "--out", str(tmp_path / "file" / "sub")], catch_exceptions=False
        )
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_not_named_like_a_file(tmp_path):
    with pytest.raises(DataError, match=r"--out: expected the name of a folder.*figure\.png"):
        check_writable(tmp_path / "figure.png")
    (tmp_path / "old.png").mkdir()
    check_writable(tmp_path / "old.png")
    check_writable(tmp_path / "v1.2")


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "newer")
    check_writable(tmp_path)
    assert not list(tmp_path.iterdir())

    def refused(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refused)
    with pytest.raises(DataError, match=r"--out: .*Permission denied"):
        check_writable(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that nobody may write to")
def test_a_folder_without_permission():
    with pytest.raises(DataError, match="cannot be written to"):
        check_writable(Path("/proc/headwise"))

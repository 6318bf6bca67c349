"""Check that results can be written before a long computation starts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from headwise.errors import DataError

_FIGURES = (".pdf", ".png", ".svg")


def check_writable(folder: Path, option: str = "--out") -> None:
    """Raise DataError for a folder that cannot be created or written to, or is named like a figure; leave no files."""
    if folder.suffix.lower() in _FIGURES and not folder.exists():
        raise DataError(f"{option}: expected the name of a folder, which gets several files; got {folder}.")
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            path = folder if existing == folder.absolute() else existing
            raise DataError(f"{option}: {path} is a file; name a folder.")
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise DataError(f"{option}: {folder} cannot be written to ({error.strerror}); name another folder.") from None


def check_writable_file(path: Path, option: str = "--out") -> None:
    """Raise DataError for a file that cannot be created or replaced."""
    if path.is_dir():
        raise DataError(f"{option}: {path} is a folder; name a file.")
    if not path.exists() or path.is_file():  # and not a device
        check_writable(path.parent, option)


def check_outside(path: Path, submissions: Path, option: str = "--out") -> None:
    """Raise DataError for a path inside the folder of submissions, where it would be read as a submission."""
    # unlike Path.resolve, this raises nothing for a link to itself
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(submissions)):
        raise DataError(
            f"{option}: expected a path outside {submissions}, where it would be read as a submission; got {path}."
        )

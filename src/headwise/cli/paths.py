"""Check that the output folder is writable before a long computation starts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from headwise.errors import DataError

__all__ = ["check_writable"]


def check_writable(folder: Path) -> None:
    """Raise DataError for a folder that cannot be created or written to; leave no files behind.

    Raises
    ------
    DataError
        If it is a file, a part of its path is a file, or writing is not permitted.
    """
    try:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise DataError(f"--out: {folder if existing == folder.absolute() else existing} is a file; name a folder.")
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise DataError(f"--out: {folder} cannot be written to ({error.strerror}); name another folder.") from None

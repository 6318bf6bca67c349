"""The folder that a command writes to, tried before anything is worked out for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from headwise.errors import DataError

__all__ = ["check_writable"]


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or made; leaves nothing behind.

    Raises
    ------
    DataError
        If it is a file, lies in one, or the system does not let us write there.
    """
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise DataError(f"--out: {folder if there == folder.absolute() else there} is a file; name a folder.")
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise DataError(f"--out: {folder} cannot be written to ({error.strerror}); name another folder.") from None

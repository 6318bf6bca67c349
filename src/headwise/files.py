"""Atomic writing of files, and tables as CSV."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_write", "to_csv", "write_text"]


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path` when the block succeeds, and is removed when it fails.

    The temporary name has the same suffix, from which some libraries choose a format.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a.txt"
    ...     with atomic_write(target) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     target.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:  # the file is created inside, so that Ctrl-C at any moment leaves nothing
        temporary.touch()
        mode = temporary.stat().st_mode  # the system's default; some libraries restrict files to their owner
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    r"""A table as CSV: a row of column names, then the rows, each with a line feed.

    Examples
    --------
    >>> to_csv(["name", "right"], [("rows, reordered", 97), ("7x7", 98)])
    'name,right\n"rows, reordered",97\n7x7,98\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()

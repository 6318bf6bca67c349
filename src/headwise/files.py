"""Writing a file so that it is either the old one or the new one, never half of either; and a table as CSV."""

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
    """A temporary path beside `path`, renamed over it when the block ends well and removed when it does not.

    The temporary name keeps the suffix, from which some libraries choose their format.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a.txt"
    ...     with atomic_write(target) as beside:
    ...         _ = beside.write_text("whole")
    ...     target.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:  # nothing is there before, so that Ctrl-C at any moment leaves nothing behind
        beside.touch()
        mode = beside.stat().st_mode  # as the system gives it; some libraries write files for their owner alone
        yield beside
        beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    r"""A table as CSV, its columns' names first, a line feed after each row.

    Examples
    --------
    >>> to_csv(["name", "right"], [("rows, reordered", 97), ("7x7", 98)])
    'name,right\n"rows, reordered",97\n7x7,98\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()

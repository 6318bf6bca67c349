"""Atomic writing of files, locked files and folders, and tables as CSV."""

from __future__ import annotations

import csv
import glob
import io
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

from headwise.errors import DataError


def check_file(path: Path, prefix: str = "") -> None:
    """Raise DataError if there is no such file, with what is there instead."""
    if os.path.isdir(path):  # unlike Path.is_dir, it raises nothing for a text that is too long for a path
        raise DataError(f"{prefix}{path}: is a folder; expected a file.")
    if not os.path.isfile(path):
        reason = "not a regular file" if os.path.exists(path) else "no such file"
        raise DataError(f"{prefix}{shorten(str(path), 200)}: {reason}.")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path` when the block succeeds, and is removed when it fails.

    The temporary name has the same suffix, from which some libraries choose a format. If the process is killed, the
    next write of the same file removes what it left. A device such as ``/dev/stdout`` is written to directly.

    Raises DataError if it cannot be written, for example because the disk is full.

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
    path = path.resolve()  # a link stays one
    if _is_device(path):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:  # the file is created inside, so that Ctrl-C at any moment leaves nothing
        with _locked(temporary, os.O_CREAT | os.O_RDWR):
            mode = temporary.stat().st_mode  # the system's default; some libraries restrict files to their owner
            yield temporary
            temporary.chmod(mode)
            temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # as when the disk is full
            raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that replaces `path` with all its content when the block succeeds, as in `atomic_write`."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        temporary.mkdir()
        with _locked(temporary, os.O_RDONLY):
            yield temporary
            if path.is_dir():
                shutil.rmtree(path)
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create a folder, and keep other processes that call this from writing to it while the block runs.

    The lock belongs to the process: it does not outlive it, however it ends, and no file is left.

    Raises DataError if another process has locked the folder.
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _locked_once(folder, folder, os.O_RDONLY):
            yield
    finally:
        with suppress(OSError):  # one that is not empty stays
            for path in created:
                path.rmdir()


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Keep other processes that call this from writing the same file, or replacing the same folder, meanwhile.

    The lock belongs to the process, as in `lock_folder`. It is that of a hidden file next to `path`, which is removed
    at the end; one that a killed process has left locks nothing. A device such as ``/dev/stdout`` is not locked.

    Raises DataError if another process has locked the file.
    """
    path = path.resolve()
    if _is_device(path):
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with _locked_once(path, lock, os.O_CREAT | os.O_RDWR):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _locked_once(path: Path, lock: Path, flags: int) -> Iterator[None]:
    """Hold the lock of `path`, or raise DataError if another process does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(lock, flags))
        except BlockingIOError:
            raise DataError(
                f"{path}: another process is writing to it. Wait until it has finished, or choose another name."
            ) from None
        yield


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[None]:
    """Hold the system's lock on a file or folder, where there are such locks.

    Raises BlockingIOError if another process, or another block of this one, holds it.
    """
    if sys.platform == "win32":  # a folder cannot be opened, nor an open file be replaced
        with suppress(FileExistsError):
            if flags & os.O_CREAT:
                path.touch()
        yield
        return
    import fcntl

    descriptor = os.open(path, flags, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files or folders of `path` whose process was killed: no process holds their lock."""
    pattern = f".{glob.escape(path.stem)}-{'[0-9a-f]' * 8}{glob.escape(path.suffix)}"
    for temporary in path.parent.glob(pattern):
        with suppress(OSError), _locked(temporary, os.O_RDONLY):
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


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

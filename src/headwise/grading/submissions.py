"""Find and read the submissions of a class.

A class is a folder. A Python file or notebook in it is the submission of the student it is named after; a folder in it
is one submission, with every Python file and notebook below it. Everything is read as text, and nothing is run.
"""

from __future__ import annotations

import ast
import os
import re
import stat
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path

from headwise.checker.user_code.notebooks import notebook_code
from headwise.errors import DataError

_SUFFIXES = (".py", ".ipynb")
_SKIPPED = ("__pycache__", "__MACOSX")  # and names that start with a dot
_BYTES = {".py": 1 << 20, ".ipynb": 64 << 20}  # a notebook contains its pictures too
_CODE = 4 << 20  # characters of one submission
_FILES = 100
_LEVELS = 8  # of folders in folders


@dataclass(slots=True)
class Submission:
    """The files of one student.

    Attributes
    ----------
    student : str
        The name of the file or folder.
    files : dict of str to str
        Source texts by file name; a notebook's cells are one text.
    notes : list of str
        Files that could not be read, and why.
    """

    student: str
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_class(folder: Path) -> list[Submission]:
    """Read every submission of a class, in the order of their names.

    Raises
    ------
    DataError
        If there is no such folder, or no submission in it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "ada.py").write_text("def self_attention(X, Wq, Wk, Wv): ...")
    ...     [submission.student for submission in read_class(Path(folder))]
    ['ada']
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of submissions; there is none.")
    submissions: dict[str, Submission] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or _skipped(entry.name):
            continue
        if entry.is_dir():
            student = _student(entry.name)
            _read_folder(submissions.setdefault(student, Submission(student)), entry)
        elif entry.suffix in _SUFFIXES:
            student = _student(entry.stem)
            _read_into(submissions.setdefault(student, Submission(student)), entry, entry.name)
    if not submissions:
        raise DataError(f"{folder}: expected submissions (.py or .ipynb files, or a folder for each); there is none.")
    return [submissions[student] for student in sorted(submissions)]


def read_submission(folder: Path) -> Submission:
    """Read a folder as one submission.

    Raises
    ------
    DataError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with a submission; there is none.")
    submission = Submission(_student(folder.resolve().name))
    _read_folder(submission, folder)
    return submission


def uses_torch(source: str) -> bool:
    """Whether functions of this source may take torch's tensors."""
    return bool(re.search(r"\bimport torch\b|\bfrom torch\b", source))


def find_function(submission: Submission, names: tuple[str, ...]) -> tuple[str, str] | None:
    """The file that defines one of these functions, and its name: the first of `names` that is defined.

    If several files define it, notebooks come before Python files, then alphabetical order decides.
    """
    order = sorted(submission.files, key=lambda name: (not name.endswith(".ipynb"), name))
    defined = {file: set(_top_level_names(submission.files[file])) for file in order}
    return next(((file, name) for name in names for file in order if name in defined[file]), None)


def _top_level_names(source: str) -> Iterator[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _student(name: str) -> str:
    """A name that can be printed and be part of a file's name; one that cannot gets another, still its own."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    if printable == name and len(name.encode()) <= 200:
        return name
    return f"{printable[:50]}-{sha256(os.fsencode(name)).hexdigest()[:8]}"


def _read_folder(submission: Submission, folder: Path) -> None:
    try:
        for path in islice(_files_below(folder, _LEVELS), _FILES):
            _read_into(submission, path, path.relative_to(folder).as_posix())
    except OSError as error:
        submission.notes.append(f"a folder cannot be read ({error.strerror})")
    if not submission.files and not submission.notes:
        submission.notes.append("no Python file or notebook was handed in")


def _files_below(folder: Path, levels: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or _skipped(path.name):  # a link could lead to somebody else's solution
            continue
        if path.is_dir():
            yield from _files_below(path, levels - 1) if levels else ()
        elif path.suffix in _SUFFIXES:
            yield path


def _skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def _decode(content: bytes) -> str:
    """The text of a file: UTF-8, or what a comment of a Python file declares; raises UnicodeDecodeError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        with suppress(SyntaxError):  # of a file that declares nothing
            return content.decode(tokenize.detect_encoding(BytesIO(content).readline)[0])
        raise


def _read_into(submission: Submission, path: Path, name: str) -> None:
    name = "".join(c if c.isprintable() else "?" for c in name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > _BYTES[path.suffix]:
            raise ValueError(f"larger than {_BYTES[path.suffix] >> 20} MB")
        text = _decode(path.read_bytes())
        if path.suffix == ".ipynb":
            text, notes = notebook_code(text)
            submission.notes += [f"{name}: {note}" for note in notes]
        else:
            ast.parse(text)
        if len(text) + sum(map(len, submission.files.values())) > _CODE:
            raise ValueError(f"more than {_CODE >> 20} million characters of code in all")
        submission.files[name] = text
    except UnicodeDecodeError:
        submission.notes.append(f"{name}: not UTF-8 text")
    except SyntaxError as error:
        submission.notes.append(f"{name}: not Python, line {error.lineno}: {error.msg}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        submission.notes.append(f"{name}: cannot be read ({type(error).__name__}: {error})")

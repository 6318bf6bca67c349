"""Find and read the submissions of a class.

A class is a folder, or an archive of one. A Python file or notebook in it is the submission of the student it is named
after; a folder or an archive in it is one submission, with every Python file and notebook below it. Names that a
learning platform gives are understood. Everything is read as text, and nothing is run.
"""

from __future__ import annotations

import ast
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from json import JSONDecodeError
from pathlib import Path

from headwise.checker.user_code.notebooks import notebook_code, without_magics
from headwise.checker.user_code.source import decode_source
from headwise.errors import DataError
from headwise.grading.archives import METADATA, class_folder, student_names, unpacked
from headwise.grading.signature import statements

_SUFFIXES = (".py", ".ipynb")
_ARCHIVE = ".zip"
_SKIPPED = ("__pycache__", "__MACOSX")  # and names that start with a dot
_BYTES = {".py": 1 << 20, ".ipynb": 64 << 20}  # a notebook contains its pictures too
_CODE = 4 << 20  # characters of one submission
_FILES = 100
_LEVELS = 8  # of folders in folders
_NAMES = 12  # of functions and classes that a message lists


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
    if folder.is_file() and folder.suffix.lower() == _ARCHIVE:
        try:
            with unpacked(folder, (*_SUFFIXES, _ARCHIVE, METADATA)) as content:
                return _read_class(content, folder)
        except ValueError as error:
            raise DataError(f"{folder}: {error}.") from None
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of submissions, or a .zip of one; there is none.")
    return _read_class(folder, folder)


def _read_class(folder: Path, named: Path) -> list[Submission]:
    submissions: dict[str, Submission] = {}
    for entry, (owner, name) in student_names(_entries(folder)).items():
        student = _student(owner)
        submission = submissions.setdefault(student, Submission(student))
        if entry.is_dir():
            _read_folder(submission, entry)
        elif entry.suffix.lower() == _ARCHIVE:
            _read_archive(submission, entry, name)
        else:
            _read_into(submission, entry, entry.name if name in submission.files else name)
    if not submissions:
        raise DataError(
            f"{named}: expected submissions (.py, .ipynb or .zip files, or a folder for each); there is none."
        )
    return [submissions[student] for student in sorted(submissions)]


def _entries(folder: Path) -> list[Path]:
    """What in the folder of a class is a submission, or part of one, in the order of the names."""
    paths = (path for path in sorted(class_folder(folder).iterdir()) if not path.is_symlink())
    return [p for p in paths if not _skipped(p.name) and (p.is_dir() or p.suffix.lower() in (*_SUFFIXES, _ARCHIVE))]


def other_files(folder: Path) -> list[str]:
    """The names of the files in a class's folder that are no submissions, such as texts and archives of other kinds."""
    if not folder.is_dir():
        return []
    read = (*_SUFFIXES, _ARCHIVE, METADATA)
    return [p.name for p in folder.iterdir() if p.is_file() and not p.name.lower().endswith(read) and p.name[0] != "."]


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


def describe_definitions(submission: Submission) -> str:
    """What the files of a submission define: their functions, and their classes with the methods; empty for nothing."""
    names = []
    for source in submission.files.values():
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            for node in statements(source):
                if isinstance(node, ast.FunctionDef):
                    names.append(node.name)
                elif isinstance(node, ast.ClassDef):
                    methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
                    names.append(f"class {node.name} ({', '.join(methods)})")
    names = list(dict.fromkeys(names))
    return ", ".join((*names[:_NAMES], "…") if len(names) > _NAMES else names)


def uses_torch(source: str) -> bool:
    """Whether functions of this source may take torch's tensors."""
    return bool(re.search(r"\bimport torch\b|\bfrom torch\b", source))


def find_function(submission: Submission, names: tuple[str, ...]) -> tuple[str, str] | None:
    """The file that defines one of these functions, and its name: the first of `names` that is defined.

    If several files define it, notebooks come before Python files, then alphabetical order decides. An object of a
    class of the same file stands for its class.
    """
    order = sorted(submission.files, key=lambda name: (not name.endswith(".ipynb"), name))
    defined = {file: definitions(submission.files[file]) for file in order}
    return next(((file, defined[file][name]) for name in names for file in order if name in defined[file]), None)


def definitions(source: str) -> dict[str, str]:
    """The names that a source defines: of an object its class, of all others the name itself."""
    names: dict[str, str] = {}
    classes = set()
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in statements(source):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names[node.name] = node.name
                classes |= {node.name} if isinstance(node, ast.ClassDef) else set()
            elif isinstance(node, ast.Assign):
                made = node.value.func if isinstance(node.value, ast.Call) else None
                cls = made.id if isinstance(made, ast.Name) and made.id in classes else ""
                names |= {target.id: cls or target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _student(name: str) -> str:
    """A name that can be printed and be part of a file's name; one that cannot gets another, still its own."""
    printable = _printable(name)
    if printable == name and len(name.encode()) <= 200:
        return name
    return f"{printable[:50]}-{sha256(os.fsencode(name)).hexdigest()[:8]}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _read_folder(submission: Submission, folder: Path, prefix: str = "") -> None:
    """Read what is below a folder; names of files start with the prefix."""
    before = len(submission.notes)
    try:
        for path, name in islice(_files_below(folder, _LEVELS, prefix, submission.notes), _FILES):
            _read_into(submission, path, name)
    except OSError as error:
        submission.notes.append(f"a folder cannot be read ({error.strerror})")
    if not submission.files and len(submission.notes) == before:
        names = islice((path.name for path in sorted(folder.rglob("*")) if path.is_file()), _NAMES)
        present = _printable(", ".join(names))
        submission.notes.append(f"no Python file or notebook was handed in{f', but {present}' if present else ''}")


def _read_archive(submission: Submission, archive: Path, name: str) -> None:
    try:
        with unpacked(archive, (*_SUFFIXES, _ARCHIVE)) as content:
            _read_folder(submission, content)
    except ValueError as error:
        submission.notes.append(f"{_printable(name)}: {error}")


def _files_below(folder: Path, levels: int, prefix: str, notes: list[str]) -> Iterator[tuple[Path, str]]:
    """The files below a folder and in its archives, with their names; archives that cannot be read are noted."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or _skipped(path.name):  # a link could lead to somebody else's solution
            continue
        name = prefix + path.name
        if path.is_dir():
            yield from _files_below(path, levels - 1, f"{name}/", notes) if levels else ()
        elif path.suffix.lower() in _SUFFIXES:
            yield path, name
        elif path.suffix.lower() == _ARCHIVE and levels:
            try:
                with unpacked(path, (*_SUFFIXES, _ARCHIVE)) as content:
                    yield from _files_below(content, levels - 1, f"{name[: -len(_ARCHIVE)]}/", notes)
            except ValueError as error:
                notes.append(f"{_printable(name)}: {error}")


def _is_python(text: str) -> bool:
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        ast.parse(text)
        return True
    return False


def _skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def _read_into(submission: Submission, path: Path, name: str) -> None:
    name = _printable(name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        suffix = path.suffix.lower()
        if status.st_size > _BYTES[suffix]:
            raise ValueError(f"larger than {_BYTES[suffix] >> 20} MB{', as its outputs may be' * (suffix != '.py')}")
        text, encoding = decode_source(path.read_bytes())
        if encoding:
            submission.notes.append(f"{name}: read as {encoding}, but Python expects UTF-8")
        name = name[: -len(suffix)] + suffix
        if suffix == ".ipynb":
            text, notes = notebook_code(text)
            submission.notes += [f"{name}: {note}" for note in notes]
        elif _is_python(plain := without_magics(text)) and plain != text:
            submission.notes.append(f"{name}: read without its notebook commands, which are not Python")
            text = plain
        if not ast.parse(text).body and path.name != "__init__.py":
            submission.notes.append(f"{name}: there is no code in it")
        if len(text) + sum(map(len, submission.files.values())) > _CODE:
            raise ValueError(f"more than {_CODE >> 20} million characters of code in all")
        submission.files[name] = text
    except UnicodeDecodeError:
        submission.notes.append(f"{name}: no text in an encoding that is known")
    except SyntaxError as error:
        submission.notes.append(f"{name}: not Python, line {error.lineno}: {error.msg}")
    except JSONDecodeError:
        submission.notes.append(f"{name}: not a notebook, as it is not JSON")
    except ValueError as error:
        submission.notes.append(f"{name}: cannot be read: {error}")
    except (OSError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        submission.notes.append(f"{name}: cannot be read ({type(error).__name__}: {error})")

"""What learning platforms export: archives, and names that contain a student's, with numbers and words of the platform.

An archive is unpacked into a temporary folder, within limits; from there it is read like any other folder.
"""

from __future__ import annotations

import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

from headwise.errors import require_extra

METADATA = "submission_metadata.yml"  # in the folder that Gradescope exports
_ARCHIVE = 256 << 20  # bytes of an archive
_UNPACKED = 1 << 30  # and of its members that are read
_MEMBERS = 20_000
_MOODLE = re.compile(r"(?P<student>.+_\d+)_assignsubmission_(?:file|onlinetext)_?(?P<name>.*)")
_CANVAS = re.compile(r"(?P<student>[^\W\d_]+(?:_LATE)?_\d+)_\d+_(?P<name>.+)")


@contextmanager
def unpacked(archive: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """A temporary folder with the members of an archive; those without one of the suffixes are empty files.

    Raises ValueError if it cannot be unpacked or is too large. No member leaves the folder, and none becomes a link.
    """
    with tempfile.TemporaryDirectory(prefix="headwise-") as name:
        folder = Path(name)
        try:
            if archive.stat().st_size > _ARCHIVE:
                raise ValueError(f"larger than {_ARCHIVE >> 20} MB")
            with ZipFile(archive) as content:
                _unpack(content, folder, suffixes)
        except (BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
            raise ValueError(f"it cannot be unpacked ({error})") from None
        except OSError as error:
            raise ValueError(f"it cannot be unpacked ({error.strerror or error})") from None
        yield folder


def _unpack(content: ZipFile, folder: Path, suffixes: tuple[str, ...]) -> None:
    members = content.infolist()
    read = [member.filename.lower().endswith(suffixes) for member in members]
    size = sum(member.file_size for member, wanted in zip(members, read, strict=True) if wanted)
    if size > _UNPACKED or len(members) > _MEMBERS:
        raise ValueError(f"more than {_MEMBERS} files or {_UNPACKED >> 30} GB when unpacked")
    for member, wanted in zip(members, read, strict=True):
        path = folder.joinpath(
            *(part for part in PurePosixPath(member.filename).parts if part not in ("/", "//", ".."))
        )
        if member.is_dir():
            path.mkdir(parents=True, exist_ok=True)
        elif path != folder:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read(member) if wanted else b"")


def class_folder(folder: Path) -> Path:
    """The folder of a class, or the one within it that Gradescope exported."""
    inner = [path for path in folder.iterdir() if path.is_dir() and (path / METADATA).is_file()]
    return inner[0] if len(inner) == 1 else folder


def student_names(paths: Sequence[Path]) -> dict[Path, tuple[str, str]]:
    """The student and the file name that each entry of a class's folder stands for, as platforms name them.

    Moodle's are recognised by themselves. Names as Canvas exports them could be others', so that they count only if all
    files have such names, of two students or more. The students of Gradescope's folders are in its metadata.
    """
    names = {path: (path.name if path.is_dir() else path.stem, path.name) for path in paths}
    matches = {path: _CANVAS.fullmatch(path.name) for path in paths}
    students = {match["student"] for match in matches.values() if match}
    if not all(matches.values()) or len(students) < 2:
        matches = {path: _MOODLE.fullmatch(path.name) for path in paths}
    names |= {path: (match["student"], match["name"] or path.name) for path, match in matches.items() if match}
    submitters = _submitters(paths[0].parent / METADATA) if paths else {}
    return names | {path: (submitters[path.name], path.name) for path in paths if path.name in submitters}


def _submitters(metadata: Path) -> dict[str, str]:
    """The students of each folder that Gradescope exported; empty without its metadata, or with unknown ones."""
    if not metadata.is_file():
        return {}
    with require_extra("Gradescope's metadata", None, "lab"):
        import yaml
    try:
        content = yaml.load(metadata.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        named = {folder: "+".join(map(_submitter, entry[":submitters"])) for folder, entry in content.items()}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, RecursionError):
        return {}
    return {folder: name.replace("/", "-") for folder, name in named.items() if name}


def _submitter(entry: dict[str, Any]) -> str:
    return "_".join(str(entry[key]) for key in (":name", ":sid") if entry.get(key))

"""A finished report is returned as it is, as long as nothing that it depends on has changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import headwise
from headwise.coursework.report.provenance import software
from headwise.document import browser
from headwise.files import write_text
from headwise.hashing import fingerprint
from headwise.text import Statement, as_text

_FILE = "report.json"


def finished_report(
    folder: Path, key: Sequence[Any]
) -> tuple[Path, Path | None, tuple[Statement, ...], tuple[Path, ...]] | None:
    """Page, PDF, headlines and worked solution of a report with this key, if all its files are there."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        paths = [folder / name for name in content["files"]]
        if content["key"] != _digest(key) or not all(path.is_file() for path in paths):
            return None
        headlines = tuple(Statement("{text}", {"text": text}) for text in content["headlines"])
        pdf = folder / content["pdf"] if content["pdf"] else None
        return folder / content["page"], pdf, headlines, tuple(folder / name for name in content["solution"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save_finished(
    folder: Path,
    key: Sequence[Any],
    page: Path,
    pdf: Path | None,
    headlines: Sequence[Statement],
    solution: Sequence[Path],
) -> None:
    """Record what a report depends on, and its files."""
    files = [path for part in ("figures", "tables", "arrays", "model") for path in (folder / part).glob("*")]
    files += [page, *solution, *([pdf] if pdf else [])]
    content = {
        "key": _digest(key),
        "files": sorted(str(path.relative_to(folder)) for path in files),
        "page": page.name,
        "pdf": pdf.name if pdf else "",
        "solution": [path.name for path in solution],
        "headlines": [as_text(statement) for statement in headlines],
    }
    write_text(folder / _FILE, json.dumps(content, ensure_ascii=False) + "\n")


def _digest(key: Sequence[Any]) -> str:
    """A digest of everything that a report depends on; arrays by their bytes, files by their content."""
    parts = [str(software()), _sources(), str(browser()), *(_describe(item) for item in key)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _sources() -> str:
    """A digest of the package's own files, so that a page is not that of an older version of the code."""
    digest, package = hashlib.sha256(), Path(headwise.__file__).parent
    for path in sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _describe(item: Any) -> str:
    if isinstance(item, Path):
        files = sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
        return " ".join(f"{path}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)
    if isinstance(item, dict) and item and all(hasattr(value, "shape") for value in item.values()):
        return f"{list(item)} {fingerprint(*item.values())}"
    if hasattr(item, "found"):  # a course's notebook, whose arrays are in the key
        return f"{item.inputs.findings} {item.inputs.assumptions} {item.functions} {item.failures} {item.notes}"
    if hasattr(item, "func"):
        return f"{item.func.__qualname__} {[_describe(argument) for argument in item.args]}"
    return getattr(item, "__qualname__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(item))

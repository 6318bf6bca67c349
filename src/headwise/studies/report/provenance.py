"""The report's last part: what it was made of, and how to make it again."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from headwise import __version__
from headwise.data.digits import Digits
from headwise.picture.document import Paragraph, Section, Table
from headwise.picture.text import Statement
from headwise.studies.coursework import Coursework
from headwise.studies.training import Run

__all__ = ["provenance_section"]

_LIBRARIES = ("numpy", "scipy", "matplotlib", "mlxtend", "safetensors", "numba")


def provenance_section(run: Run, digits: Digits, study: Coursework, arrays_name: str, seconds: float) -> Section:
    """Versions, seeds, data with checksums, and the time taken."""
    counts = [len(part.labels) for part in (digits.train, digits.validation, digits.test)]
    rows = [
        ("Headwise", __version__),
        ("Python", platform.python_version()),
        *((library, found) for library in _LIBRARIES if (found := _version(library))),
        ("seed", str(run.recipe.seed)),
        ("digits", f"{digits.name}: {' / '.join(map(str, counts))} to train, validate and test"),
        ("training digits, SHA-256", _checksum(*digits.train)),
        ("test digits, SHA-256", _checksum(*digits.test)),
        ("coursework arrays", arrays_name),
        ("coursework arrays, SHA-256", _checksum(*study.arrays.values())),
        ("trained weights, SHA-256", _checksum(*(run.params[name] for name in sorted(run.params)))),
        ("time taken by this build", f"{seconds:.0f} s"),
    ]
    return Section(
        "provenance",
        "Provenance",
        (
            Paragraph(
                (
                    Statement(
                        "The command headwise report makes this document again, the same but for the time taken; a "
                        "training that it has finished before is kept and not run again."
                    ),
                )
            ),
            Table(Statement("What this document was made of."), ("what", "which"), tuple(rows), "provenance"),
        ),
    )


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _checksum(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

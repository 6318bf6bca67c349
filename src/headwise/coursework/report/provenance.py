"""The report's last part: what it was made of, and how to make it again."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from headwise import __version__
from headwise.coursework.report.context import Chapter
from headwise.document import Paragraph, Section, Table
from headwise.runtime import blas_name, cpu_name
from headwise.text import Statement

__all__ = ["provenance_section"]

_LIBRARIES = ("numpy", "scipy", "numba", "matplotlib", "sympy", "mlxtend", "aeon", "safetensors", "dask")


def provenance_section(
    chapters: Sequence[Chapter], effort: str, command: str, seconds: dict[str, float], number: str
) -> Section:
    """Versions, seeds, data with checksums, the command, and the time each part took."""
    versions = [
        ("Headwise", __version__),
        ("Python", platform.python_version()),
        ("processor", cpu_name()),
        ("BLAS", blas_name()),
    ]
    versions += [(library, found) for library in _LIBRARIES if (found := _version(library))]
    return Section(
        "provenance",
        "Provenance",
        (
            Paragraph(
                (
                    Statement(
                        "This is the {effort} report. It is made again by the command “{command}”.",
                        _of(effort, command),
                    ),
                    Statement(
                        "On the same processor, with the same libraries, it comes out the same byte for byte, but for "
                        "the times; elsewhere the last bits of a sum may differ, and what is trained with them. "
                        "Studies that have been finished in the same folder are kept and not run again, so that the "
                        "times below are those of what was left to do."
                    ),
                )
            ),
            Table(
                Statement("What each part was made of."),
                ("what", "which"),
                tuple(row for chapter in chapters for row in chapter.made_of),
                "provenance",
                words=True,
            ),
            Table(Statement("Where it was made."), ("what", "which"), tuple(versions), "versions"),
            Table(
                Statement("Time taken."),
                ("part", "seconds"),
                tuple((part, f"{taken:.0f} s") for part, taken in {**seconds, "in all": sum(seconds.values())}.items()),
                "times",
            ),
        ),
        number=number,
    )


def _of(effort: str, command: str) -> dict[str, str]:
    words = {"quick": "quick", "default": "standard", "full": "full"}
    return {"effort": words.get(effort, effort), "command": command}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""

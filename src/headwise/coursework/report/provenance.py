"""The report's last part: its inputs, versions and times, and how to reproduce it."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from headwise import __version__
from headwise.coursework.report.context import Chapter
from headwise.document import Paragraph, Section, Table
from headwise.runtime import blas_name, cpu_name, library_version
from headwise.text import Statement

_LIBRARIES = ("numpy", "scipy", "numba", "matplotlib", "sympy", "mlxtend", "aeon", "safetensors", "dask")


def provenance_section(
    chapters: Sequence[Chapter], budget: str, command: str, seconds: dict[str, float], total: float, number: str
) -> Section:
    """Versions, seeds, data with checksums, the command, and the time each part took."""
    return Section(
        "provenance",
        "Provenance",
        (
            Paragraph(
                Statement(
                    "This is the {budget} report. The command “{command}” reproduces it.", _command(budget, command)
                ),
                Statement(
                    "On the same processor with the same libraries it is the same byte for byte, except for the "
                    "times; elsewhere the last bits of sums can differ, and with them the trained models. Runs "
                    "that were finished in the same folder are reused, so the times below are for the rest."
                ),
            ),
            Table(
                Statement("Inputs of each part."),
                ("input", "value"),
                tuple(row for chapter in chapters for row in chapter.inputs),
                "provenance",
                words=True,
            ),
            Table(Statement("Machine and software."), ("item", "value"), software(), "versions"),
            Table(
                Statement("Time of each part, and from beginning to end; parts can run at the same time."),
                ("part", "seconds"),
                tuple((part, f"{time:.0f} s") for part, time in {**seconds, "total": total}.items()),
                "times",
            ),
        ),
        number=number,
    )


def software() -> tuple[tuple[str, str], ...]:
    """The processor, and the versions of Headwise, Python and the libraries."""
    return (
        ("Headwise", __version__),
        ("Python", platform.python_version()),
        ("processor", cpu_name()),
        ("BLAS", blas_name()),
        *((library, version) for library in _LIBRARIES if (version := library_version(library))),
    )


def _command(budget: str, command: str) -> dict[str, str]:
    words = {"quick": "quick", "default": "standard", "full": "full"}
    return {"budget": words.get(budget, budget), "command": command}

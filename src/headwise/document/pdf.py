"""A document on paper: a page printed to PDF by whatever Chromium there is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from headwise.document.blocks import Document
from headwise.files import atomic_write

__all__ = ["browser", "print_page"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_PATIENCE = 120  # seconds


def browser() -> str | None:
    """The path of a browser that can print without a window, if there is one."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def print_page(document: Document, folder: Path, name: str = "report.pdf") -> tuple[Path, Path | None]:
    """Save a document as a page, and where there is a browser also as PDF, to which the page has a link.

    Parameters
    ----------
    document : Document
    folder : Path
    name : str
        Of the PDF.

    Returns
    -------
    page : Path
        ``index.html``.
    pdf : Path or None
        None where there is no browser, or it does not print.
    """
    found, pdf = browser(), folder / name
    page = document.save(folder)  # printed without a link to itself
    if found is None or not _printed(found, page, pdf):
        pdf.unlink(missing_ok=True)  # one that is there is of another page
        return page, None
    return replace(document, files=(*document.files, name)).save(folder), pdf


def _printed(chromium: str, page: Path, pdf: Path) -> bool:
    """Whether the browser wrote it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, atomic_write(pdf) as beside:
        command = [
            *(chromium, "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={profile}"),
            # a sandbox cannot be had as root, in a container; the page is our own and asks for nothing
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            *(f"--print-to-pdf={beside.resolve()}", page.resolve().as_uri()),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)
        except (OSError, subprocess.SubprocessError):
            return False
        return beside.is_file() and beside.stat().st_size > 0

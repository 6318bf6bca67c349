"""Print a document to PDF with an installed Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from headwise.document.blocks import Document
from headwise.files import atomic_write

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_TIMEOUT = 120  # seconds


def browser() -> str | None:
    """The path of an installed browser that can print without a window, if there is one."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def print_page(
    document: Document, folder: Path, name: str = "report.pdf", page_name: str = "index.html"
) -> tuple[Path, Path | None]:
    """Save a document as a page and, if there is a browser, as a PDF that the page links to.

    Parameters
    ----------
    document : Document
    folder : Path
    name : str
        File name of the PDF.
    page_name : str
        File name of the page.

    Returns
    -------
    page : Path
    pdf : Path or None
        None if there is no browser or it cannot print.
    """
    chromium, pdf = browser(), folder / name
    page = document.save(folder, page_name)  # the printed page has no link to itself
    if chromium is None or not _print(chromium, page, pdf):
        pdf.unlink(missing_ok=True)  # an existing file is from another page
        return page, None
    return replace(document, files=(*document.files, name)).save(folder, page_name), pdf


def _print(chromium: str, page: Path, pdf: Path) -> bool:
    """Print the page; return whether the browser wrote a file."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, atomic_write(pdf) as tmp_path:
        command = [
            *(chromium, "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={profile}"),
            # root has no sandbox, as in a container; the page is our own and loads nothing
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            *(f"--print-to-pdf={tmp_path.resolve()}", page.resolve().as_uri()),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT)
        except (OSError, subprocess.SubprocessError):
            return False
        return tmp_path.is_file() and tmp_path.stat().st_size > 0

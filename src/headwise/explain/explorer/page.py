"""The explorer as one HTML file: script, style and arrays inside, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

__all__ = ["explorer_page", "inline"]


def explorer_page(content: Mapping[str, Any], title: str) -> str:
    """The page that shows `content`.

    The arrays are JSON, deflated, in base64; the browser inflates them. A policy in the page's head lets nothing run
    but the script it came with, and nothing be fetched at all.

    Parameters
    ----------
    content : mapping
        As made by `headwise.explain.explorer_data.Explorer.content`.
    title : str

    Returns
    -------
    str
        HTML. The same content gives the same bytes.
    """
    told = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    script, style = _file("drawing.js") + _file("explorer.js"), _file("explorer.css")
    return Template(_file("explorer.html")).substitute(
        title=html.escape(title),
        script=script,
        style=style,
        script_hash=_digest(script),
        style_hash=_digest(style),
        content=base64.b64encode(zlib.compress(told, 9)).decode(),
    )


def inline(page: str) -> str:
    """A page in a frame of its own, for a notebook."""
    return (
        f'<iframe srcdoc="{html.escape(page)}" title="Headwise explorer" loading="lazy" '
        'style="width: 100%; height: 62rem; border: 0"></iframe>'
    )


def _file(name: str) -> str:
    return (files("headwise.explain.explorer") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a content security policy calls the text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""The explorer: what a model attends to in some inputs, as a value that renders as an interactive page."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headwise.document import render_template
from headwise.errors import DataError
from headwise.explanation.explorer.comparison import compare_records, find_differences, have_same_tokens
from headwise.explanation.explorer.content import DECIMALS, input_content
from headwise.explanation.explorer.fixed_point import pack, to_json
from headwise.explanation.word_pieces import merge_pieces
from headwise.figures import AttentionRecord
from headwise.files import write_text

_STATIC = files("headwise.explanation.explorer") / "static"  # scripts and style of the page
SCRIPTS = (
    "drawing.js", "content.js", "image.js", "text.js", "series.js", "tokens.js", "heads.js", "matrix.js", "lines.js",
    "numbers.js", "panel.js", "difference.js", "comparison.js", "svg.js", "explorer.js",
)  # fmt: skip
_MAX_PAGE = 3_000_000  # bytes
_OTHER_SHARE = 0.25  # of a page: everything but weights
_IN_BASE64 = 0.75
_MAX_COMPARED = 4  # inputs, up to which every pair is compared


@dataclass(frozen=True)
class ExplorerInput:
    """One input of the page.

    Attributes
    ----------
    record : AttentionRecord
    name : str
        Of the input, such as its file or the beginning of a text.
    model : str
        Of the model.
    """

    record: AttentionRecord
    name: str
    model: str = ""

    @cached_property
    def merged(self) -> AttentionRecord | None:
        """The record with the pieces of words merged; None if there are none."""
        if self.record.kind != "text" or not self.record.is_self_attention:
            return None
        merged = merge_pieces(self.record)
        return None if merged.weights.shape == self.record.weights.shape else merged

    def content(self, budget: int) -> dict[str, Any]:
        """JSON types and arrays; under ``"merged"`` the same with the pieces of words merged, if there are any."""
        versions = [self.record] + ([] if self.merged is None else [self.merged])
        names = {"name": self.name, "model": self.model}
        contents = [names | input_content(version, budget // len(versions)) for version in versions]
        return contents[0] | {"merged": contents[1] if len(contents) > 1 else None}


@dataclass(frozen=True)
class Explorer:
    """Attention records, to be explored on an interactive page.

    A notebook shows the page for a cell that ends in one of these. The sum of two is a page with the inputs of both,
    such as those of two models.

    Attributes
    ----------
    title : str
    inputs : tuple of ExplorerInput
        At least one.

    Raises
    ------
    DataError
        If there is no input.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.explanation import explore
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> explorer = explore(pretrained_vit("rows"), *load_bundled_mnist().test.images[:2])
    >>> len(explorer.inputs), explorer.page()[:15], len(explorer.page()) < 200_000
    (2, '<!DOCTYPE html>', True)
    """

    title: str
    inputs: tuple[ExplorerInput, ...]

    def __post_init__(self) -> None:
        if not self.inputs:
            raise DataError("inputs: expected at least one; got none.")

    def __add__(self, other: Explorer) -> Explorer:
        return Explorer(self.title, self.inputs + other.inputs)

    @property
    def records(self) -> tuple[AttentionRecord, ...]:
        """The attention records of the inputs."""
        return tuple(entry.record for entry in self.inputs)

    def content(self) -> dict[str, Any]:
        """Everything that the page shows, as JSON types."""
        content: dict[str, Any] = to_json(self._arrays())
        return content

    def page(self) -> str:
        """One HTML file without external parts; the same content gives the same bytes.

        The browser inflates the content. A policy in the page's head allows no script but the page's own, and no
        requests at all.
        """
        script = "".join(_read(name) for name in (*SCRIPTS, "page.js"))
        style = _read("explorer.css")
        return render_template(
            "headwise.explanation.explorer",
            "explorer.html",
            title=self.title,
            script=Markup(script),
            style=Markup(style),
            script_hash=_policy_hash(script),
            style_hash=_policy_hash(style),
            content=pack(self._arrays()),
        )

    def save(self, path: Path | str) -> None:
        """Write the page."""
        write_text(Path(path), self.page())

    def _repr_html_(self) -> str:
        """The page in a frame, for a notebook.

        Behind the frame is a line for notebooks that are not trusted, in which Jupyter removes frames.
        """
        return (
            '<div style="position: relative"><p style="position: absolute">The explorer is shown when this cell has '
            "run, or once the notebook is trusted; <code>.save(path)</code> writes it to a file.</p>"
            f'<iframe srcdoc="{html.escape(self.page())}" title="Headwise explorer" loading="lazy" '
            'style="position: relative; width: 100%; height: 62rem; border: 0"></iframe></div>'
        )

    def _arrays(self) -> dict[str, Any]:
        """Everything that the page shows, as JSON types and arrays."""
        pairs = [(i, j) for j in range(len(self.inputs)) for i in range(j)] if len(self.inputs) <= _MAX_COMPARED else []
        budget = int(_MAX_PAGE * (1 - _OTHER_SHARE) * _IN_BASE64 / len(self.inputs))
        return {
            "decimals": DECIMALS,
            "inputs": [entry.content(budget) for entry in self.inputs],
            "comparisons": {f"{i} {j}": _compare(self.inputs[i], self.inputs[j]) for i, j in pairs},
        }


def _compare(a: ExplorerInput, b: ExplorerInput) -> dict[str, Any]:
    """The comparison of two inputs; under ``"merged_cells"`` what differs once the pieces of words are merged."""
    merged = [version.merged or version.record for version in (a, b)]
    differ = (a.merged or b.merged) and have_same_tokens(*merged)
    return compare_records(a.record, b.record) | {"merged_cells": find_differences(*merged) if differ else None}


def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _policy_hash(text: str) -> str:
    """The hash by which a content security policy allows this script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""What every part of the report works with, and what it hands in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from headwise.coursework.report.presets import Budget
from headwise.data.mnist import Digits
from headwise.document import BACKLINK_LABEL, FigureBlock, Section
from headwise.figures import save_figure, svg_data_uri
from headwise.files import atomic_write
from headwise.progress import Progress
from headwise.shapes import Array
from headwise.text import Statement

__all__ = ["Chapter", "ReportContext"]


class Chapter(NamedTuple):
    """One part of the report.

    Attributes
    ----------
    section : Section
    headline : tuple of Statement
        What it found, in a sentence or two.
    made_of : tuple of (str, str)
        What the page of provenance says of it: seeds, data, checksums.
    """

    section: Section
    headline: tuple[Statement, ...]
    made_of: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportContext:
    """Where a part writes, with what effort, and on what data.

    Attributes
    ----------
    folder : Path
        Gets ``figures/``, ``arrays/``, ``studies/`` and ``model/``.
    effort : Effort
    arrays : mapping
        X, Wq, Wk, Wv (and Wo, biases) of the coursework.
    arrays_name : str
        Where they are from, for the reader.
    load : callable
        Reads the digits, here and in other processes.
    workers : int
        Threads, or processes where a study has independent runs.
    progress : Progress
    """

    folder: Path
    effort: Budget
    arrays: Mapping[str, Array]
    arrays_name: str
    load: Callable[[], Digits]
    workers: int
    progress: Progress

    @cached_property
    def digits(self) -> Digits:
        """Read once."""
        return self.load()

    @property
    def processes(self) -> int:
        """For independent runs: as many as there are workers where that pays and Dask is installed, or this one."""
        return self.workers if self.effort.spread and find_spec("distributed") else 1

    def figure(
        self,
        drawn: Figure,
        name: str,
        title: Statement,
        *,
        shown: tuple[Statement, ...],
        behind: Statement,
        says: tuple[Statement, ...] = (),
        arrays: Mapping[str, Array] | None = None,
    ) -> FigureBlock:
        """Save a figure in three formats, with the arrays it is drawn from, and caption it.

        `behind` says how many seeds or runs stand behind it.
        """
        stem = self.folder / "figures" / name
        paths = save_figure(drawn, stem)
        if arrays:
            paths.append(stem.with_name(f"{name}.npz"))
            with atomic_write(paths[-1]) as beside:
                np.savez(beside, allow_pickle=False, **arrays)
        parts = {
            "What is shown": shown,
            "What it says": says,
            BACKLINK_LABEL: (behind,),
        }
        return FigureBlock(
            svg_data_uri(paths),
            title,
            {heading: said for heading, said in parts.items() if said},
            tuple(str(path.relative_to(self.folder)) for path in paths),
        )

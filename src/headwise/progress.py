"""How a long study says how far it is; the faces decide how that looks."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NoProgress", "Progress"]


class Progress(Protocol):
    """Told of each stage as it begins, and of each step of it."""

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` steps begins; whatever went before is done."""

    def advance(self, note: str = "") -> None:
        """One step of the stage is done."""


class NoProgress:
    """Says nothing."""

    def stage(self, title: str, total: int) -> None:
        """Say nothing."""

    def advance(self, note: str = "") -> None:
        """Say nothing."""

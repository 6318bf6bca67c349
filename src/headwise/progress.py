"""Progress of a long computation; user interfaces decide how to show it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NoProgress", "Progress"]


class Progress(Protocol):
    """Notified of each stage and of each step in it."""

    def stage(self, title: str, total: int) -> None:
        """Start a stage of `total` steps; the previous one is complete."""

    def advance(self, note: str = "") -> None:
        """Complete one step."""


class NoProgress:
    """Shows nothing."""

    def stage(self, title: str, total: int) -> None:
        """Show nothing."""

    def advance(self, note: str = "") -> None:
        """Show nothing."""

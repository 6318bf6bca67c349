"""A verdict in words: for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

from headwise.check.verdict import Verdict


def report(verdict: Verdict, format: str) -> str:
    """Say what was found."""
    return verdict.to_json()

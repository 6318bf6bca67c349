"""Texts that the tests compare with files: the one a test expects, and the command that renews it."""

import os
from pathlib import Path

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"


def assert_snapshot(text, name):
    """Compare with ``tests/snapshots/NAME``; if ``UPDATE_SNAPSHOTS=1`` is set, write that file instead."""
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no snapshot {path}: run the tests with UPDATE_SNAPSHOTS=1 and review the diff"
    assert text == path.read_text(encoding="utf-8"), f"{path} differs: run with UPDATE_SNAPSHOTS=1 and review the diff"

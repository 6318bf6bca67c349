"""Finished studies are kept: a result on disk with what it was made of, taken as it is while that is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headwise import __version__
from headwise.files import write_text

__all__ = ["is_kept", "kept"]


def kept(path: Path, made_of: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """What `make` gave before for the same ingredients and version, else what it gives now.

    Parameters
    ----------
    path : Path
        A JSON file.
    made_of : mapping
        All that the result depends on.
    make : callable
        Returns what JSON can hold. Numbers come back to the last bit.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "study.json"
    ...     [kept(path, {"seed": seed}, lambda seed=seed: print("running") or seed) for seed in (1, 1, 2)]
    running
    running
    [1, 1, 2]
    """
    if is_kept(path, made_of):
        return json.loads(path.read_text(encoding="utf-8"))["result"]
    result = make()
    write_text(path, json.dumps({"made of": _ingredients(made_of), "result": result}) + "\n")
    return result


def is_kept(path: Path, made_of: Mapping[str, Any]) -> bool:
    """Whether `kept` would give what is there, with nothing to make."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return bool(found["made of"] == _ingredients(made_of)) and "result" in found
    except (OSError, ValueError, KeyError, TypeError):
        return False  # nothing there, or nothing that can be used


def _ingredients(made_of: Mapping[str, Any]) -> Any:
    """As they come back from the disk."""
    return json.loads(json.dumps({**made_of, "headwise": __version__}))

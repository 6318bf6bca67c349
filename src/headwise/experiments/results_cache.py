"""Finished studies are kept: a result on disk with what it was made of, taken as it is while that is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headwise import __version__
from headwise.files import to_csv, write_text

__all__ = ["cached_result", "config_digest", "is_cached", "run_file", "runs_table"]


def cached_result(path: Path, made_of: Mapping[str, Any], make: Callable[[], Any]) -> Any:
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
    ...     [cached_result(path, {"seed": seed}, lambda seed=seed: print("running") or seed) for seed in (1, 1, 2)]
    running
    running
    [1, 1, 2]
    """
    if is_cached(path, made_of):
        return json.loads(path.read_text(encoding="utf-8"))["result"]
    result = make()
    write_text(
        path, json.dumps({"made of": _ingredients(made_of), "result": result, "sum": config_digest(result)}) + "\n"
    )
    return result


def is_cached(path: Path, made_of: Mapping[str, Any]) -> bool:
    """Whether `cached_result` would give what is there, with nothing to make."""
    found = _read(path)
    return found is not None and bool(found["made of"] == _ingredients(made_of))


def config_digest(content: Any) -> str:
    """Twelve letters that tell this content, which JSON can hold, from any other."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def run_file(folder: Path, name: str, made_of: Mapping[str, Any]) -> Path:
    """Where to keep one run of many: a file that no run of another configuration or version has."""
    return folder / f"{name}-{config_digest(_ingredients(made_of))}.json"


def runs_table(folder: Path) -> str:
    """All finished runs that are kept in a folder, as CSV: a row each, with what it was made of and what it gave.

    Whatever else is in the folder is passed over. Of what a run gave, lists stay in its own file.
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        found = _read(path)
        if found is None or not path.stem.endswith(f"-{config_digest(found['made of'])}"):
            continue
        gave = {name: value for name, value in _flat(found["result"]) if not isinstance(value, list)}
        rows.append({"run": path.stem, **dict(_flat(found["made of"])), **gave})
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return to_csv(columns, ([row.get(name, "") for name in columns] for row in rows))


def _read(path: Path) -> dict[str, Any] | None:
    """What `cached_result` wrote; nothing if it is not there, or no longer what was written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {**found} if "made of" in found and found["sum"] == config_digest(found["result"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each value, the names of those inside others joined by dots."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", each) for inner, each in _flat(value))
        else:
            yield name, value


def _ingredients(made_of: Mapping[str, Any]) -> Any:
    """As they come back from the disk."""
    return json.loads(json.dumps({**made_of, "headwise": __version__}))

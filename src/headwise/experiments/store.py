"""Results of runs on disk, each in a file named by a digest of everything that the run depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headwise import __version__
from headwise.errors import CheckpointError, DataError
from headwise.files import to_csv, write_text
from headwise.hashing import fingerprint
from headwise.train.checkpoint import load_arrays, save_arrays


@dataclass(frozen=True)
class Outcome:
    """What a run returns: values that JSON can hold, and arrays by name."""

    values: Any
    arrays: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # as they will be read back, so that the order of later sums does not depend on where a run was computed
        object.__setattr__(self, "arrays", {name: np.ascontiguousarray(a) for name, a in self.arrays.items()})


def config_digest(content: Any) -> str:
    """Twelve hexadecimal digits of the SHA-256 of JSON content, the same for every order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


class RunStore:
    """Finished runs in a folder: a JSON file for each, with its arrays in a safetensors file of the same name.

    A run is found again only under the same name, the same configuration and the same version of Headwise; one whose
    files are incomplete or were altered counts as not run.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = RunStore(Path(folder))
    ...     [store.cached("run", {"seed": seed}, lambda seed=seed: print("running") or seed) for seed in (1, 1, 2)]
    running
    running
    [1, 1, 2]
    """

    def __init__(self, folder: Path) -> None:
        for path in (folder, *folder.parents):
            if path.exists() and not path.is_dir():
                raise DataError(f"{path} is a file; name a folder.")
        self.folder = folder

    def path(self, name: str, config: Mapping[str, Any]) -> Path:
        """The JSON file of a run."""
        return self.folder / f"{name}-{config_digest(_with_version(config))}.json"

    def find(self, name: str, config: Mapping[str, Any]) -> Outcome | None:
        """What this run returned, if it is finished."""
        path = self.path(name, config)
        content = _read(path)
        if content is None or content["config"] != _with_version(config):
            return None
        if content["arrays"] is None:
            return Outcome(content["result"])
        try:
            arrays, _ = load_arrays(path.with_suffix(".safetensors"))
        except (DataError, CheckpointError):
            return None
        return Outcome(content["result"], arrays) if _fingerprint(arrays) == content["arrays"] else None

    def save(self, name: str, config: Mapping[str, Any], outcome: Outcome) -> None:
        """Write a finished run; if the process is killed meanwhile, the run counts as not run."""
        path = self.path(name, config)
        if outcome.arrays:
            save_arrays(path.with_suffix(".safetensors"), outcome.arrays, _with_version(config))
        content = {
            "config": _with_version(config),
            "result": outcome.values,
            "arrays": _fingerprint(outcome.arrays) if outcome.arrays else None,
            "digest": config_digest(outcome.values),
        }
        write_text(path, json.dumps(content) + "\n")

    def cached(self, name: str, config: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """The values that `compute` returned before for the same configuration, or returns now."""
        outcome = self.find(name, config)
        if outcome is None:
            outcome = Outcome(compute())
            self.save(name, config, outcome)
        return outcome.values

    def table(self) -> str:
        """All finished runs as CSV: a row for each, with its configuration and its values that are no lists."""
        rows = []
        for path in sorted(self.folder.glob("*.json")):
            content = _read(path)
            if content is None or not path.stem.endswith(f"-{config_digest(content['config'])}"):
                continue
            values = {name: value for name, value in _flatten(content["result"]) if not isinstance(value, list)}
            rows.append({"run": path.stem, **dict(_flatten(content["config"])), **values})
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return to_csv(columns, ([row.get(name, "") for name in columns] for row in rows))


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a run's file; None if it is missing or was altered."""
    try:
        content = dict(json.loads(path.read_text(encoding="utf-8")))
        intact = content.keys() == {"config", "result", "arrays", "digest"} and isinstance(content["config"], dict)
        return content if intact and content["digest"] == config_digest(content["result"]) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _with_version(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as JSON returns it, with the version of Headwise."""
    return dict(json.loads(json.dumps({**config, "headwise": __version__})))


def _fingerprint(arrays: Mapping[str, Any]) -> str:
    names = sorted(arrays)
    return config_digest([names, fingerprint(*(arrays[name] for name in names))])


def _flatten(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of nested mappings, under its keys joined by dots."""
    if not isinstance(content, Mapping):
        yield prefix or "value", content
        return
    for name, value in content.items():
        yield from _flatten(value, f"{prefix}.{name}" if prefix else name)

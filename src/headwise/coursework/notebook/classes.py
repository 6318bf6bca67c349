"""The attention classes of a notebook, and attention in its cells outside functions, checked in a separate process.

A class is checked by making instances of it and looking into them, so the checker runs in the same process as the
notebook; that process is confined in the same way, and sends back verdicts as text.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import headwise
from headwise.checker import Verdict
from headwise.checker.user_code.source import assigned_pairs
from headwise.coursework.notebook.run import LIMITS, NotebookRun
from headwise.grading.sandbox import ENVIRONMENT, early_imports, printable

_FEWEST_ARRAYS = 3  # from which attention can be computed

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from headwise.coursework.notebook.class_worker import main
del sys.path[0]
main()
"""


class CheckedClass(NamedTuple):
    """A class or an array of the notebook: its verdict, or the reason why there is none."""

    name: str
    verdict: Verdict | None
    problem: str = ""


def check_classes(run: NotebookRun) -> tuple[CheckedClass, ...]:
    """Check every class of a notebook that computes something, in the order of their definitions."""
    names = [node.name for node in run.tree.body if isinstance(node, ast.ClassDef)]
    if not names:
        return ()
    replies = {reply["name"]: reply for reply in _replies(run, {"classes": list(dict.fromkeys(names))})}
    unfinished = {"problem": "its check did not come to an end"}
    return tuple(
        CheckedClass(name, _verdict(reply), printable(reply.get("problem", "")))
        for name in dict.fromkeys(names)
        if (reply := replies.get(name, unfinished)).keys() & {"verdict", "problem"}
    )


def check_cells(run: NotebookRun) -> tuple[CheckedClass, ...]:
    """Check the arrays that the cells of a notebook compute as attention, outside functions."""
    if sum(isinstance(value, np.ndarray) for value in run.values.values()) < _FEWEST_ARRAYS:
        return ()
    found = [(reply["name"], _verdict(reply)) for reply in _replies(run, {"arrays": list(run.values)})]
    return tuple(CheckedClass(name, verdict) for name, verdict in found if verdict is not None)


def instances(tree: ast.Module, name: str) -> Iterator[str]:
    """Variables to which the notebook assigns an instance of a class."""
    for node in tree.body:
        for target, value in assigned_pairs(node) if isinstance(node, ast.Assign) else ():
            made = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == name
            if made and isinstance(target, ast.Name):
                yield target.id


def _replies(run: NotebookRun, wanted: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    folder = run.path.resolve().parent
    task = {
        "source": run.source,
        "file": f"{run.path.name} (code)",
        "early": early_imports([run.source]),
        "folder": str(folder),
        "memory": LIMITS.memory_mb << 20,
        "seconds": int(LIMITS.seconds_in_all),
        "seconds_per_statement": LIMITS.seconds_per_statement,
        "classes": [],
        "arrays": [],
    } | wanted
    names = [name for listed in wanted.values() for name in listed]
    command = [sys.executable, "-P", "-s", "-B", "-c", _START, str(Path(headwise.__file__).parents[1])]
    try:
        completed = subprocess.run(
            command,
            input=json.dumps(task),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=folder,
            env=ENVIRONMENT,
            timeout=LIMITS.seconds_in_all,
        )
        output = completed.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode("utf-8", "replace") if isinstance(error.stdout, bytes) else error.stdout or ""
    for line in output.splitlines():
        try:
            reply = json.loads(line)
        except ValueError:  # half a line, or the notebook's own
            continue
        if isinstance(reply, dict) and reply.get("name") in names:
            yield reply


def _verdict(reply: dict[str, str]) -> Verdict | None:
    try:
        return Verdict.from_json(reply["verdict"])
    except (ValueError, KeyError, TypeError):
        return None

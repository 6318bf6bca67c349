"""The process that checks a notebook's classes and cells: it runs the notebook confined, and sends verdicts."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import linecache
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import headwise
from headwise.checker import UncallableError, check
from headwise.checker.modules import is_module
from headwise.checker.script import functions_of_script
from headwise.errors import HeadwiseError, describe_exception
from headwise.grading.sandbox.worker.confinement import confine
from headwise.grading.sandbox.worker.main import run_statements
from headwise.parallel.threads import blas_libraries


def main() -> None:
    """Read the task from standard input, and write a line of JSON for each class and array to standard output."""
    task = json.load(sys.stdin)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what the notebook prints
    for name in task["early"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    blas_libraries()  # which are found in /proc, and kept: a check limits their threads
    confine(task["memory"], task["seconds"], [], [task["folder"], str(Path(headwise.__file__).parent)])
    source, module = task["source"], ModuleType("notebook")
    sys.modules["notebook"] = module  # where dataclasses and inspect look for it
    module.__file__ = task["file"]
    linecache.cache[task["file"]] = (len(source), None, source.splitlines(keepends=True), task["file"])
    run_statements(ast.parse(source), task["file"], module, task["seconds_per_statement"])
    for name in task["classes"]:
        _send(replies, name, _verdict_on_class(vars(module).get(name), module, source))
    for function in functions_of_script(source, vars(module)) if task["arrays"] else ():
        _send(replies, function.name, _verdict(function.define(module), function.text))


def _send(replies: TextIO, name: str, verdict: dict[str, str]) -> None:
    replies.write(json.dumps({"name": name, **verdict}) + "\n")
    replies.flush()


def _verdict_on_class(cls: object, module: ModuleType, source: str) -> dict[str, str]:
    """As `_verdict`, on the notebook's last object of a class that cannot be made; nothing if it computes nothing."""
    if not isinstance(cls, type) or not is_module(cls):
        return {}
    objects = [value for value in vars(module).values() if type(value) is cls]
    verdicts = (_verdict(value, source) for value in (cls, *objects[-1:]))
    first = next(verdicts)
    return first if "verdict" in first else next((v for v in verdicts if "verdict" in v), first)


def _verdict(value: Any, source: str) -> dict[str, str]:
    """The verdict as JSON, or the reason why there is none."""
    try:
        return {"verdict": check(value, source=source).to_json()}
    except (UncallableError, HeadwiseError) as error:
        return {"problem": str(error)}
    except Exception as error:  # whatever the notebook's code raises
        return {"problem": describe_exception(error)}


if __name__ == "__main__":
    main()

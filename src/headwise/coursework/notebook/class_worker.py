"""The process that checks a notebook's classes: it runs the notebook confined, and sends a verdict on each class."""

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

import headwise
from headwise.checker import UncallableError, check
from headwise.checker.modules import is_module
from headwise.errors import HeadwiseError, describe_exception
from headwise.grading.sandbox.worker.confinement import confine
from headwise.grading.sandbox.worker.main import run_statements
from headwise.parallel.threads import blas_libraries


def main() -> None:
    """Read the task from standard input, and write a line of JSON for each class to standard output."""
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
        replies.write(json.dumps({"name": name, **_verdict(vars(module).get(name), source)}) + "\n")
        replies.flush()


def _verdict(value: object, source: str) -> dict[str, str]:
    """The verdict on a class as JSON, or the reason why there is none; neither for a class that computes nothing."""
    if not isinstance(value, type) or not is_module(value):
        return {}
    try:
        return {"verdict": check(value, source=source).to_json()}
    except (UncallableError, HeadwiseError) as error:
        return {"problem": str(error)}
    except Exception as error:  # whatever the notebook's class raises
        return {"problem": describe_exception(error)}


if __name__ == "__main__":
    main()

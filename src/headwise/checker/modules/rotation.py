"""Whether a layer rotates queries and keys while it runs: by the names of what it calls, and by its lines."""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
from types import FrameType
from typing import Any

from headwise.checker.modules.call import Call, CallError
from headwise.checker.user_code.numpy_guard import np

_NAME = re.compile(r"rope(?!r)|rotary|rotate_?(half|halves|every|pairs|neighbou?rs|queries|keys|qk)|apply_?rot", re.I)
# a product with a cosine, or with a complex number
_LINE = re.compile(r"\*\s*(\w+\.)*\w*cos\b|\bcos\w*(\([^()]*\))?\s*\*|\*\s*(self\.)?freqs?_?cis|view_as_complex")
_IDLE = re.compile(r"if .*:|else:|return ([\w, ]*|\([\w, ]*\))")  # lines of a function that leaves everything as it is


def rotates(call: Call, model: int, context: int) -> bool:
    """Return whether one call of a layer runs a function, a part or a line that makes rotary positions."""
    names: set[str] = set()  # of functions that do more than return what they are given
    lines: set[str] = set()
    called: dict[FrameType, set[str]] = {}
    package = call.layer.package

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        others = (
            "site-packages" in frame.f_code.co_filename and frame.f_globals.get("__name__", "").split(".")[0] != package
        )
        if frame.f_code.co_filename.startswith("<frozen") or others:
            return None
        if event == "call":
            owner = type(frame.f_locals.get("self")).__name__
            called[frame] = {frame.f_code.co_name, owner} - {call.layer.owner}
        elif event == "line":
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).partition("#")[0]
            lines.add(line)
            if not _IDLE.fullmatch(line.strip()):
                names.update(called.get(frame, ()))
        return trace

    rng = np.random.default_rng(0)
    X = rng.normal(size=(call.batch, call.rows, model))
    before = sys.gettrace()
    sys.settrace(trace)
    jax = sys.modules.get("jax")  # which would run what it has compiled
    try:
        with jax.disable_jit() if jax else contextlib.nullcontext():
            call(X, rng.normal(size=(call.batch, call.count, context)))
    except CallError:
        return False
    finally:
        sys.settrace(before)
    return any(map(_NAME.search, names)) or any(map(_LINE.search, lines))

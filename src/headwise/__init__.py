"""Headwise: self-attention you can check.

The functions below need NumPy alone; everything else lives in subpackages and is imported where it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headwise import _startup as _startup  # first: NumPy takes a while
from headwise._version import __version__
from headwise.attention import (
    AttentionResult,
    attention,
    attention_backward,
    attention_forward,
    merge,
    multi_head_attention,
    self_attention,
)
from headwise.errors import HeadwiseError, require_extra

if TYPE_CHECKING:
    from headwise.checker import check
    from headwise.explanation import explain
    from headwise.models.loader import load
    from headwise.recorder import capture

__all__ = [
    "AttentionResult",
    "HeadwiseError",
    "__version__",
    "attention",
    "attention_backward",
    "attention_forward",
    "capture",
    "check",
    "explain",
    "load",
    "merge",
    "multi_head_attention",
    "self_attention",
]

# `import headwise.attention.functional as f` takes `attention` from here, where the function hides the package
attention.__dict__ = vars(import_module("headwise.attention"))

_LAZY = {
    "capture": "headwise.recorder",
    "check": "headwise.checker",
    "explain": "headwise.explanation",
    "load": "headwise.models.loader",
}


def __getattr__(name: str) -> Any:
    """Import a function of a subpackage at its first use."""
    if name in _LAZY:
        with require_extra(f"headwise.{name}", None, "models" if name == "load" else "lab"):
            return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Headwise: self-attention you can check.

The functions below need NumPy alone; everything else lives in subpackages and is imported where it is used.
"""

from headwise._version import __version__
from headwise.attention import (
    Attended,
    attention,
    attention_backward,
    attention_forward,
    multi_head_attention,
    self_attention,
)
from headwise.errors import HeadwiseError

__all__ = [
    "Attended",
    "HeadwiseError",
    "__version__",
    "attention",
    "attention_backward",
    "attention_forward",
    "multi_head_attention",
    "self_attention",
]

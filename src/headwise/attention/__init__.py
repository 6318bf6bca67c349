"""The operator: attention as a function of arrays. NumPy only."""

from headwise.attention.merge import merge
from headwise.attention.operator import attention, attention_backward, attention_forward
from headwise.attention.textbook import Attended, multi_head_attention, self_attention

__all__ = [
    "Attended",
    "attention",
    "attention_backward",
    "attention_forward",
    "merge",
    "multi_head_attention",
    "self_attention",
]

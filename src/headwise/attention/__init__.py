"""The operator: attention as a function of arrays. NumPy only."""

from headwise.attention.functional import attention, attention_backward, attention_forward
from headwise.attention.merge import merge
from headwise.attention.textbook import AttentionResult, multi_head_attention, self_attention

__all__ = [
    "AttentionResult",
    "attention",
    "attention_backward",
    "attention_forward",
    "merge",
    "multi_head_attention",
    "self_attention",
]

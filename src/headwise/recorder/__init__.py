"""Attention of models run by any framework: recorded, verified, and computed on demand."""

from headwise.recorder.key_mask import KeyMask
from headwise.recorder.layer import TOLERANCE, AttentionLayer
from headwise.recorder.result import Capture
from headwise.recorder.run import capture, other_framework

__all__ = ["TOLERANCE", "AttentionLayer", "Capture", "KeyMask", "capture", "other_framework"]

"""Reading checkpoints: configuration and named tensors of folders and of .gguf files."""

from headwise.models.files.checkpoint import Checkpoint, Config

__all__ = ["Checkpoint", "Config"]

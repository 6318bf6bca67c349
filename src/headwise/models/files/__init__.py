"""Reading checkpoints: configuration and named tensors of folders and of .gguf files."""

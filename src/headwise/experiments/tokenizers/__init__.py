"""TODO tokenizers."""
